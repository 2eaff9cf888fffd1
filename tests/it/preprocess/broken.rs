//! What is no picture, too large, broken, cut short or a trap.

use std::time::{Duration, Instant};

use nin_serve::preprocess::{Channels, Format, Header, PictureError};

use super::{MAX_PIXELS, picture, pictures, pnm, prepare, spec, try_prepare};
use crate::hostile::crafted::many_scans;

/// A PNG of `width`×`height` with nothing but a header and junk.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let start = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    [start, &sides[..], b"\x08\x06\0\0\0", b"no checksum, no pixels"].concat()
}

fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let sides = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let start = b"\xFF\xD8\xFF\xC0\0\x11\x08";
    [start, &sides[..], b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"].concat()
}

fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let sides = [width.to_le_bytes(), height.to_le_bytes()].concat();
    [b"GIF89a", &sides[..], b"\0\0\0", b"\x2C\0\0\0\0", &sides, b"\0\x08\x01\0\0;"].concat()
}

fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let sides = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let start = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0";
    [start, &sides[..], b"\x01\0\x18\0", &[0; 24]].concat()
}

fn webp_header(width: u32, height: u32) -> Vec<u8> {
    let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    let sides = [side(width), side(height)].concat();
    [b"RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0", &sides[..], b"VP8 \0\0\0\0"].concat()
}

fn qoi_header(width: u32, height: u32) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"qoif", &sides[..], b"\x04\0"].concat()
}

fn tiff_header(width: u32, height: u32) -> Vec<u8> {
    let entry = |tag: u16, value: u32| {
        let fixed = [tag.to_le_bytes(), 4u16.to_le_bytes()].concat();
        [fixed, 1u32.to_le_bytes().to_vec(), value.to_le_bytes().to_vec()].concat()
    };
    let tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)];
    let tags = tags.into_iter().chain([(278, height), (279, u32::MAX)]);
    let entries: Vec<u8> = tags.flat_map(|(tag, value)| entry(tag, value)).collect();
    [b"II*\0\x08\0\0\0\x09\0", &entries[..], &[0; 4]].concat()
}

#[test]
fn other_content_is_unsupported() {
    let contents: [&[u8]; 9] = [
        b"",
        b"\x89PN",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>",
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        b"BMW builds cars, and this is a text about them.",
        b"P4 is the fourth paragraph.",
        b"GIF90a\x01\0\x01\0\0\0\0",
        b"RIFF\x24\0\0\0WAVEfmt ",
        &[0x5A; 20],
    ];
    for content in contents {
        let result = try_prepare(content, &spec(8, 8, Channels::Colour));
        assert!(
            matches!(result, Err(PictureError::Unsupported)),
            "{:?} gave {result:?}",
            content.escape_ascii().to_string()
        );
    }
}

#[test]
fn known_magic_with_a_broken_header_is_corrupt() {
    let contents: [(Format, &[u8]); 9] = [
        (Format::Jpeg, b"\xFF\xD8\xFF\xE0\0\x10JFIF"),
        (Format::Jpeg, b"\xFF\xD8\xFF\xD9"),
        (Format::Png, b"\x89PNG\r\n\x1a\n\0\0\0\rJUNKJUNKJUNKJUNK"),
        (Format::Gif, b"GIF89a\x01"),
        (Format::WebP, b"RIFF\x24\0\0\0WEBPjunkjunk"),
        (Format::Bmp, b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01"),
        (Format::Tiff, b"II*\0\xFF\xFF\xFF\x7F"),
        (Format::Pnm, b"P6 8 high 255 "),
        (Format::Qoi, b"qoif\0\0"),
    ];
    for (expected, content) in contents {
        match Header::read(content, MAX_PIXELS) {
            Err(PictureError::Corrupt { format, .. }) => assert_eq!(format, expected),
            other => panic!("{expected} gave {other:?}"),
        }
    }
}

#[test]
fn sides_of_zero_pixels_are_corrupt() {
    let empty = [png_header(0, 9), jpeg_header(0, 9), gif_header(9, 0), bmp_header(9, 0)];
    let more = [qoi_header(0, 0), tiff_header(0, 9), pnm(0, 9, Channels::Grey, b"")];
    for content in empty.into_iter().chain(more) {
        let result = Header::read(&content, MAX_PIXELS);
        assert!(matches!(result, Err(PictureError::Corrupt { .. })), "{result:?}");
    }
}

#[test]
fn too_many_pixels_are_refused_by_the_header_alone() {
    let (width, height) = (50_000, 50_000);
    let huge = [
        png_header(width, height),
        jpeg_header(width as u16, height as u16),
        gif_header(width as u16, height as u16),
        bmp_header(width as i32, -(height as i32)),
        webp_header(width, height),
        qoi_header(width, height),
        tiff_header(width, height),
        pnm(width, height, Channels::Colour, b"none"),
    ];
    for content in huge {
        match Header::read(&content, MAX_PIXELS) {
            Err(PictureError::TooLarge { width: 50_000, height: 50_000, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let header = Header::read(&picture("rgb.png"), 45 * 31).expect("exactly the limit");
    assert_eq!((header.width, header.height), (45, 31));
    assert!(Header::read(&picture("rgb.png"), 45 * 31 - 1).is_err());
}

/// Headers that stay below the limit but have nothing behind them.
#[test]
fn bombs_fail_fast() {
    let start = Instant::now();
    let side = 7_000;
    let bombs = [
        png_header(side, side),
        jpeg_header(side as u16, side as u16),
        gif_header(side as u16, side as u16),
        gif_header(1, 1).into_iter().chain(*b"\x2C\0\0\0\0\xFF\xFF\xFF\xFF\0").collect(),
        bmp_header(side as i32, side as i32),
        webp_header(side, side),
        qoi_header(side, side),
        tiff_header(side, side),
        pnm(side, side, Channels::Colour, b"few"),
    ];
    for content in bombs {
        let result = try_prepare(&content, &spec(8, 8, Channels::Colour));
        assert!(matches!(result, Err(PictureError::Corrupt { .. })), "{result:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_frame_larger_than_its_canvas_is_corrupt() {
    let mut gif = picture("still.gif");
    // The logical screen becomes 1×1; the frame stays.
    gif[6..10].copy_from_slice(&[1, 0, 1, 0]);
    let mut webp = picture("lossy-alpha.webp");
    webp[24..30].fill(0);
    for content in [gif, webp] {
        let result = Header::read(&content, MAX_PIXELS);
        assert!(matches!(result, Err(PictureError::Corrupt { .. })), "{result:?}");
    }
}

#[test]
fn thousands_of_scans_are_corrupt_at_once() {
    let content = many_scans(&picture("progressive.jpg"), 5_000);
    let start = Instant::now();
    let result = try_prepare(&content, &spec(8, 8, Channels::Colour));
    assert!(matches!(result, Err(PictureError::Corrupt { .. })), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Formats end in padding, checksums and further frames: a shorter file may hold the whole picture,
/// but then it must give the same pixels.
#[test]
fn cut_pictures_are_corrupt_or_whole() {
    let spec = spec(24, 18, Channels::Colour);
    for (name, bytes) in pictures() {
        let whole = prepare(&bytes, &spec).pixels;
        let tenths = (0..10).map(|tenth| bytes.len() * tenth / 10);
        for cut in tenths.chain(bytes.len().saturating_sub(4)..bytes.len()) {
            match try_prepare(&bytes[..cut], &spec) {
                Ok(prepared) => {
                    // In text, the last number may have lost a digit.
                    let text = name.starts_with("text") && cut > bytes.len() * 9 / 10;
                    let same = prepared.pixels == whole;
                    assert!(same || text, "{name}, {cut} of {} bytes, differs", bytes.len());
                }
                Err(PictureError::TooLarge { .. }) => panic!("{name}, {cut} bytes: too large"),
                Err(PictureError::Unsupported) => assert!(cut < 18, "{name}, {cut} bytes"),
                Err(PictureError::Corrupt { .. }) => {}
            }
        }
    }
}

#[test]
fn half_a_jpeg_is_corrupt() {
    for name in ["baseline.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "restarts.jpg"] {
        let bytes = picture(name);
        let result = try_prepare(&bytes[..bytes.len() / 2], &spec(8, 8, Channels::Colour));
        assert!(matches!(result, Err(PictureError::Corrupt { .. })), "{name}: {result:?}");
    }
}

/// Flips bits all over the pictures. Whatever comes of it, it must not panic.
#[test]
fn damaged_pictures_do_no_harm() {
    let spec = spec(8, 8, Channels::Colour);
    for (seed, (_, bytes)) in pictures().into_iter().enumerate() {
        let mut state = seed as u64 + 1;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..20 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random(4) {
                let (at, bit) = (random(bytes.len()), random(8));
                damaged[at] ^= 1 << bit;
            }
            if let Ok(prepared) = try_prepare(&damaged, &spec) {
                assert_eq!(prepared.pixels.len(), spec.bytes());
            }
        }
    }
}
