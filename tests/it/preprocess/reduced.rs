//! Large JPEGs are decoded at a part of their size; nobody shall see a difference.

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use nin_serve::preprocess::{
    Channels, Header, PictureError, Prepared, Resize, Warning, prepare, prepare_in_full,
};

use super::{MAX_PIXELS, spec};

/// Waves, an edge and some grain.
fn photo(width: u32, height: u32) -> RgbImage {
    let mut state = 1u32;
    RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (state >> 27) as f32;
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let edge = if u + v > 1.0 { 60.0 } else { 0.0 };
        let value = |a: f32| (60.0 + edge + grain + 50.0 * (a * u).sin() * (9.0 * v).cos()) as u8;
        image::Rgb([value(5.0), value(11.0), value(23.0)])
    })
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

/// The mean difference of two pictures, in grey levels, and the largest one.
fn difference(a: &Prepared, b: &Prepared) -> (f64, u8) {
    assert_eq!(a.pixels.len(), b.pixels.len());
    let each = || a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b));
    (each().map(f64::from).sum::<f64>() / a.pixels.len() as f64, each().max().unwrap_or(0))
}

#[test]
fn reduced_decoding_shows_the_same_picture() {
    for (width, height) in [(1400, 1380), (1403, 1377), (2783, 1417), (1371, 1500)] {
        let colour = DynamicImage::from(photo(width, height));
        let grey: GrayImage = colour.to_luma8();
        for file in [jpeg(&colour), jpeg(&grey.into()), turned(&jpeg(&colour))] {
            for resize in [Resize::Squash, Resize::Crop] {
                let mut spec = spec(64, 48, Channels::Colour);
                spec.resize = resize;
                let header = Header::read(&file, MAX_PIXELS).expect("a header");
                let reduced = prepare(&file, &header, &spec).expect("a picture");
                let whole = prepare_in_full(&file, &header, &spec).expect("a picture");
                let (mean, largest) = difference(&reduced, &whole);
                let case = format!("{width}×{height}, {resize:?}: {mean}, {largest}");
                assert!(mean < 2.0 && largest < 24, "{case}");
                assert!(mean > 0.0, "{case}: not reduced");
                assert_eq!(reduced.region, whole.region, "{case}");
                assert_eq!(reduced.warnings, whole.warnings, "{case}");
            }
        }
    }
}

#[test]
fn exif_turns_reduced_pictures_too() {
    let file = turned(&jpeg(&photo(2560, 1280).into()));
    let header = Header::read(&file, MAX_PIXELS).expect("a header");
    assert_eq!((header.width, header.height), (1280, 2560));
    let prepared = prepare(&file, &header, &spec(32, 64, Channels::Colour)).expect("a picture");
    assert_eq!(prepared.warnings, [Warning::RotatedByExif]);
    let mut upright = DynamicImage::from(photo(2560, 1280));
    upright.apply_orientation(Orientation::Rotate90);
    let file = jpeg(&upright);
    let header = Header::read(&file, MAX_PIXELS).expect("a header");
    let expected = prepare_in_full(&file, &header, &spec(32, 64, Channels::Colour));
    let (mean, _) = difference(&prepared, &expected.expect("a picture"));
    assert!(mean < 2.0, "{mean}");
}

#[test]
fn a_large_jpeg_cut_short_is_corrupt_as_before() {
    let file = jpeg(&photo(1200, 1100).into());
    for share in [0.3, 0.7, 0.99] {
        let cut = &file[..(file.len() as f64 * share) as usize];
        let header = Header::read(cut, MAX_PIXELS).expect("a header");
        let outcome = prepare(cut, &header, &spec(32, 32, Channels::Colour));
        assert!(matches!(outcome, Err(PictureError::Corrupt { .. })), "{share}");
    }
}
