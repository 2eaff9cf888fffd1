//! Regions, channel order, transparency, polarity, warnings, memory estimates.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use nin_serve::preprocess::{
    ChannelOrder, Channels, Format, Header, Polarity, Region, Resize, Warning,
};

use super::{MAX_PIXELS, picture, pnm, prepare, spec};

#[test]
fn headers_tell_format_and_upright_size() {
    let cases = [
        ("baseline.jpg", Format::Jpeg, 45, 31),
        ("exif1.jpg", Format::Jpeg, 40, 26),
        ("exif5.jpg", Format::Jpeg, 26, 40),
        ("exif6.png", Format::Png, 26, 40),
        ("exif8.webp", Format::WebP, 26, 40),
        ("exif5.tiff", Format::Tiff, 26, 40),
        ("lossy.webp", Format::WebP, 45, 31),
        ("lossless.webp", Format::WebP, 45, 31),
        ("animated.gif", Format::Gif, 31, 23),
        ("rgb.bmp", Format::Bmp, 45, 31),
        ("text.pbm", Format::Pnm, 21, 17),
        ("rgb.qoi", Format::Qoi, 45, 31),
    ];
    for (name, format, width, height) in cases {
        let header = Header::read(&picture(name), MAX_PIXELS).expect(name);
        assert_eq!((header.format, header.width, header.height), (format, width, height), "{name}");
    }
}

#[test]
fn warnings_tell_what_was_done() {
    use Warning::*;
    let cases: [(&str, &[Warning]); 17] = [
        ("rgb.png", &[]),
        ("exif1.jpg", &[]),
        ("exif3.jpg", &[RotatedByExif]),
        ("exif6.png", &[RotatedByExif]),
        ("exif8.webp", &[RotatedByExif]),
        ("exif5.tiff", &[RotatedByExif]),
        ("rgba.png", &[AlphaFlattened]),
        ("palette-clear.png", &[AlphaFlattened]),
        ("clear.gif", &[AlphaFlattened]),
        ("still.gif", &[]),
        ("animated.gif", &[FirstFrameOnly]),
        ("animated.webp", &[FirstFrameOnly]),
        ("pages.tiff", &[FirstFrameOnly]),
        ("cmyk.jpg", &[CmykConverted]),
        ("ycck.jpg", &[CmykConverted]),
        ("cmyk.tiff", &[CmykConverted]),
        ("tiny.png", &[Upscaled]),
    ];
    for (name, expected) in cases {
        let prepared = prepare(&picture(name), &spec(20, 20, Channels::Colour));
        assert_eq!(prepared.warnings, expected, "{name}");
    }
}

#[test]
fn opaque_alpha_channels_are_no_cause_for_a_warning() {
    let opaque = DynamicImage::new_rgb8(30, 30).into_rgba8();
    let mut bytes = Cursor::new(Vec::new());
    opaque.write_to(&mut bytes, ImageFormat::Png).expect("encoding");
    let prepared = prepare(&bytes.into_inner(), &spec(20, 20, Channels::Colour));
    assert_eq!(prepared.warnings, []);
}

#[test]
fn background_shows_through() {
    let clear = image::RgbaImage::from_pixel(9, 9, image::Rgba([9, 9, 9, 0]));
    let mut bytes = Cursor::new(Vec::new());
    clear.write_to(&mut bytes, ImageFormat::Png).expect("encoding");
    let mut spec = spec(2, 1, Channels::Colour);
    spec.background = [10, 20, 30];
    assert_eq!(prepare(bytes.get_ref(), &spec).pixels, [10, 20, 30, 10, 20, 30]);
    spec.order = ChannelOrder::Bgr;
    assert_eq!(prepare(bytes.get_ref(), &spec).pixels, [30, 20, 10, 30, 20, 10]);
}

#[test]
fn grey_is_the_luma_of_itu_601() {
    let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255]].concat();
    let bytes = pnm(3, 1, Channels::Colour, &colours);
    assert_eq!(prepare(&bytes, &spec(3, 1, Channels::Grey)).pixels, [76, 150, 29]);
    let grey = pnm(2, 1, Channels::Grey, &[7, 200]);
    let colour = prepare(&grey, &spec(2, 1, Channels::Colour)).pixels;
    assert_eq!(colour, [7, 7, 7, 200, 200, 200]);
}

/// A red stripe, a green square, a blue stripe, side by side; upright after a turn by EXIF.
#[test]
fn crop_takes_the_middle_and_says_so() {
    let stripes = RgbImage::from_fn(30, 10, |x, _| {
        image::Rgb([[255, 0, 0], [0, 255, 0], [0, 0, 255]][x as usize / 10])
    });
    let mut spec = spec(4, 4, Channels::Colour);
    spec.resize = Resize::Crop;
    let prepared = prepare(&pnm(30, 10, Channels::Colour, &stripes), &spec);
    assert_eq!(prepared.region, Region { x: 10.0, y: 0.0, width: 10.0, height: 10.0 });
    for [red, green, blue] in prepared.pixels.as_chunks().0 {
        assert!(*green > 200 && *red < 50 && *blue < 50, "{:?}", prepared.pixels);
    }
    let turned = prepare(&picture("exif6.jpg"), &spec);
    assert_eq!(turned.region, Region { x: 0.0, y: 7.0, width: 26.0, height: 26.0 });
    spec.resize = Resize::Squash;
    let turned = prepare(&picture("exif6.jpg"), &spec);
    assert_eq!(turned.region, Region { x: 0.0, y: 0.0, width: 26.0, height: 40.0 });
}

#[test]
fn extreme_shapes_work() {
    let line: Vec<u8> = (0..65_535u32).map(|i| (i / 257) as u8).collect();
    for (width, height) in [(65_535, 1), (1, 65_535)] {
        let picture = GrayImage::from_raw(width, height, line.clone()).expect("size");
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Pnm] {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).expect("encoding");
            for resize in [Resize::Squash, Resize::Crop] {
                let mut spec = spec(5, 5, Channels::Grey);
                spec.resize = resize;
                let pixels = prepare(bytes.get_ref(), &spec).pixels;
                if resize == Resize::Squash {
                    let along = if width > 1 { 1 } else { 5 };
                    assert!(pixels[4 * along] > 200 && pixels[0] < 50, "{format:?} {pixels:?}");
                }
            }
        }
    }
}

#[test]
fn polarity_is_turned_only_where_asked_for_and_needed() {
    let stroke = |ground: u8, ink: u8| {
        let value = |x: u32, y: u32| {
            if (12..16).contains(&x) && (4..24).contains(&y) { ink } else { ground }
        };
        let pixels: Vec<u8> = (0..28).flat_map(|y| (0..28).map(move |x| value(x, y))).collect();
        pnm(28, 28, Channels::Grey, &pixels)
    };
    let keep = spec(28, 28, Channels::Grey);
    let mut auto = keep.clone();
    auto.polarity = Polarity::Auto;

    assert_eq!(prepare(&stroke(255, 0), &keep).pixels[0], 255);
    let turned = prepare(&stroke(255, 0), &auto);
    assert_eq!((turned.pixels[0], turned.warnings), (0, vec![Warning::Inverted]));
    let right = prepare(&stroke(0, 255), &auto);
    assert_eq!((right.pixels[0], right.warnings), (0, vec![]));
    let blank = prepare(&stroke(230, 230), &auto);
    assert_eq!((blank.pixels[0], blank.warnings), (230, vec![]));
}

#[test]
fn memory_estimates_cover_the_decoded_picture_and_stay_sane() {
    for (name, bytes) in super::pictures() {
        let header = Header::read(&bytes, MAX_PIXELS).expect("header");
        let pixels = u64::from(header.width) * u64::from(header.height);
        let sane = 3 * pixels..(4 << 20) + 32 * pixels;
        assert!(sane.contains(&header.decoded_bytes), "{name}: {}", header.decoded_bytes);
    }
}
