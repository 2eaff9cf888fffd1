//! Much larger JPEGs are not decoded in full; nobody shall see a difference.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, RgbImage};
use nin_serve::preprocess::{
    Channels, Framing, Header, InputSpec, PictureError, Polarity, Prepared, Resize, Warning,
    prepare, prepare_in_full,
};

use super::{MAX_PIXELS, pictures, spec};

/// Waves, an edge and some grain.
fn photo(width: u32, height: u32) -> DynamicImage {
    let mut state = 1u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (state >> 27) as f32;
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let edge = if u + v > 1.0 { 60.0 } else { 0.0 };
        let value = |a: f32| (60.0 + edge + grain + 50.0 * (a * u).sin() * (9.0 * v).cos()) as u8;
        image::Rgb([value(5.0), value(11.0), value(23.0)])
    });
    picture.into()
}

fn jpeg(picture: &DynamicImage) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 90).encode_image(picture).expect("encodable");
    file
}

/// The file with an EXIF segment that turns it by 90°.
fn turned(file: &[u8]) -> Vec<u8> {
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [&b"\xff\xe1"[..], &(tiff.len() as u16 + 8).to_be_bytes(), b"Exif\0\0", tiff];
    [&file[..2], &segment.concat(), &file[2..]].concat()
}

/// What comes out, and what decoding in full makes of it.
fn both(file: &[u8], spec: &InputSpec) -> (Prepared, Prepared) {
    let header = Header::read(file, MAX_PIXELS).expect("a header");
    let shrunk = prepare(file, &header, spec).expect("a picture");
    (shrunk, prepare_in_full(file, &header, spec).expect("a picture"))
}

/// The mean difference of two pictures, in grey levels, and the largest one.
fn difference(a: &Prepared, b: &Prepared) -> (f64, u8) {
    assert_eq!(a.pixels.len(), b.pixels.len());
    assert_eq!((a.region, &a.warnings), (b.region, &b.warnings));
    let each = || a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b));
    (each().map(f64::from).sum::<f64>() / a.pixels.len() as f64, each().max().unwrap_or(0))
}

/// A seventh or so of the picture's sides, and nearly half of them.
const SIZES: [(u32, u32); 2] = [(52, 34), (180, 170)];

#[test]
fn the_picture_is_the_one_that_decoding_in_full_gives() {
    for (width, height) in [(400, 380), (403, 377), (783, 417), (371, 1500)] {
        let colour = photo(width, height);
        let grey = DynamicImage::from(colour.to_luma8());
        for file in [jpeg(&colour), jpeg(&grey), turned(&jpeg(&colour))] {
            for resize in [Resize::Squash, Resize::Crop] {
                for (size, channels) in SIZES
                    .into_iter()
                    .flat_map(|size| [(size, Channels::Colour), (size, Channels::Grey)])
                {
                    let mut spec = spec(size.0, size.1, channels);
                    spec.resize = resize;
                    let (shrunk, full) = both(&file, &spec);
                    let (mean, largest) = difference(&shrunk, &full);
                    let case = format!(
                        "{width}×{height}, {size:?}, {channels:?}, {resize:?}: {mean}, {largest}"
                    );
                    assert!(mean < 0.4 && largest <= 3, "{case}");
                    assert!(mean > 0.0, "{case}: decoded in full");
                }
            }
        }
    }
}

/// A cross of dark strokes on paper that lies half in the shade.
fn cross(width: u32, height: u32) -> DynamicImage {
    let mut state = 1u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let paper = if u + v > 1.0 { 180.0 } else { 220.0 } - 60.0 * u + (state >> 28) as f32;
        let is_ink = |along: f32, across: f32| along.abs() < 0.2 && across.abs() < 0.025;
        let (u, v) = (u - 0.4, v - 0.5);
        let left = if is_ink(u, v) || is_ink(v, u) { 0.3 } else { 1.0 };
        image::Rgb([1.0, 0.96, 0.9].map(|tint| (paper * left * tint) as u8))
    });
    picture.into()
}

/// However little there is to be scaled down, strokes of ink are found in what is not decoded in full.
#[test]
fn ink_is_framed_as_in_what_is_decoded_in_full() {
    let mut spec = spec(28, 28, Channels::Grey);
    (spec.framing, spec.polarity) = (Framing::Ink, Polarity::Auto);
    for (width, height) in [(270, 250), (400, 380), (500, 375), (371, 900), (1500, 1100)] {
        let file = jpeg(&cross(width, height));
        for file in [turned(&file), file] {
            let (shrunk, full) = both(&file, &spec);
            let each = || shrunk.pixels.iter().zip(&full.pixels).map(|(a, b)| a.abs_diff(*b));
            let mean = each().map(f64::from).sum::<f64>() / 784.0;
            let case = format!("{width}×{height}: {mean}, {:?}", each().max());
            assert!(mean < 1.0, "{case}");
            assert!(shrunk.pixels != full.pixels, "{case}: decoded in full");
            assert_eq!(shrunk.warnings, full.warnings);
            let [a, b] = [shrunk.region, full.region];
            let near = |a: f64, b: f64| (a - b).abs() < 0.01 * a.abs().max(100.0);
            assert!(near(a.x, b.x) && near(a.y, b.y), "{case}: {a:?}, {b:?}");
            assert!(near(a.width, b.width) && near(a.height, b.height), "{case}: {a:?}, {b:?}");
        }
    }
}

#[test]
fn a_blank_page_has_no_ink_to_frame() {
    let mut spec = spec(28, 28, Channels::Grey);
    (spec.framing, spec.polarity) = (Framing::Ink, Polarity::Auto);
    let page = RgbImage::from_pixel(400, 300, image::Rgb([200, 190, 180]));
    let (shrunk, full) = both(&jpeg(&page.into()), &spec);
    assert_eq!(shrunk.pixels, full.pixels);
    assert_eq!(shrunk.region, full.region);
}

/// Colour stored at half the size, along one side or both, in one go or with restart markers.
#[test]
fn colour_may_be_stored_coarser() {
    for (name, file) in pictures() {
        if !["baseline.jpg", "422.jpg", "444.jpg", "restarts.jpg", "exif6.jpg"].contains(&&*name) {
            continue;
        }
        for size in [(4, 3), (6, 5), (1, 1), (18, 14)] {
            let (shrunk, full) = both(&file, &spec(size.0, size.1, Channels::Colour));
            let (mean, largest) = difference(&shrunk, &full);
            assert!(mean < 2.0 && largest <= 3, "{name} to {size:?}: {mean}, {largest}");
        }
    }
}

#[test]
fn what_is_not_baseline_ycbcr_is_decoded_in_full() {
    for (name, file) in pictures() {
        if ["progressive.jpg", "rgb-coded.jpg", "ycck.jpg", "cmyk.jpg"].contains(&&*name) {
            let (shrunk, full) = both(&file, &spec(4, 3, Channels::Colour));
            assert_eq!(shrunk.pixels, full.pixels, "{name}");
        }
    }
}

#[test]
fn exif_turns_it() {
    let spec = spec(32, 64, Channels::Colour);
    let (shrunk, full) = both(&turned(&jpeg(&photo(640, 320))), &spec);
    assert_eq!(shrunk.warnings, [Warning::RotatedByExif]);
    let (mean, _) = difference(&shrunk, &full);
    assert!(mean < 0.4, "{mean}");
}

#[test]
fn one_that_is_cut_short_is_corrupt() {
    let file = jpeg(&photo(400, 370));
    for share in [0.3, 0.7, 0.99] {
        let cut = &file[..(file.len() as f64 * share) as usize];
        let header = Header::read(cut, MAX_PIXELS).expect("a header");
        let outcome = prepare(cut, &header, &spec(32, 32, Channels::Colour));
        assert!(matches!(outcome, Err(PictureError::Corrupt { .. })), "{share}");
    }
}

/// Where the scan holds less or more than it should, both decoders see the same file.
#[test]
fn damage_is_judged_by_the_decoder_of_full_pictures() {
    let file = jpeg(&photo(400, 370));
    let spec = spec(32, 32, Channels::Colour);
    let body = file.len() - 2;
    let shortened = [&file[..body - 5000], &file[body..]].concat();
    let lengthened = [&file[..body], &[0x55; 40], &file[body..]].concat();
    for damaged in [shortened, lengthened] {
        let header = Header::read(&damaged, MAX_PIXELS).expect("a header");
        let pixels = |prepared: Result<Prepared, PictureError>| prepared.map(|p| p.pixels).ok();
        let shrunk = pixels(prepare(&damaged, &header, &spec));
        assert_eq!(shrunk, pixels(prepare_in_full(&damaged, &header, &spec)));
    }
}
