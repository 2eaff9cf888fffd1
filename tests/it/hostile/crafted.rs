//! Files that do more than they seem to.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat};

/// A picture of nothing, large only once it is decoded.
pub fn blank(side: u32, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let blank: DynamicImage = GrayImage::new(side, side).into();
    let blank = if format == ImageFormat::WebP { blank.into_rgb8().into() } else { blank };
    blank.write_to(&mut file, format).expect("it can be encoded");
    file.into_inner()
}

/// A PNG whose header says 8×8 and whose pixels unpack to `side`×`side`.
pub fn overfull_png(side: u32) -> Vec<u8> {
    let mut png = blank(side, ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0, 8, 0, 0, 0, 8]);
    let check = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&check.to_be_bytes());
    png
}

/// A PNG of 8×8 with a compressed text, a colour profile or the like that unpacks to `side`×`side`.
pub fn stuffed_png(kind: [u8; 4], side: u32) -> Vec<u8> {
    let large = blank(side, ImageFormat::Png);
    let mut content = b"name\0\0".to_vec();
    for (kind, data) in chunks(&large) {
        if kind == b"IDAT" {
            content.extend(data);
        }
    }
    let small = blank(8, ImageFormat::Png);
    let (start, rest) = small.split_at(33);
    [start, &chunk(kind, &content), rest].concat()
}

fn chunks(png: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut rest = &png[8..];
    let mut chunks = Vec::new();
    while let [a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        chunks.push((&after[..4], &after[4..4 + length]));
        rest = &after[4 + length + 4..];
    }
    chunks
}

fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let checked = [&kind, content].concat();
    let length = (content.len() as u32).to_be_bytes();
    [&length[..], &checked, &crc32(&checked).to_be_bytes()].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| (0..8).fold(byte, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1))))
        .collect();
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| table[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

/// A grey TIFF of `side`×`side` in one strip of PackBits: two bytes for 128 pixels.
pub fn packed_tiff(side: u32) -> Vec<u8> {
    let strip: Vec<u8> = [0x81, 0].repeat((side as usize).pow(2).div_ceil(128));
    let tags = [(256, side), (257, side), (258, 8), (259, 32_773), (262, 1), (273, 8), (277, 1)];
    let tags = tags.into_iter().chain([(278, side), (279, strip.len() as u32)]);
    let entry = |(tag, value): (u16, u32)| {
        let fixed = [tag.to_le_bytes(), 4u16.to_le_bytes()].concat();
        [fixed, 1u32.to_le_bytes().to_vec(), value.to_le_bytes().to_vec()].concat()
    };
    let entries: Vec<u8> = tags.flat_map(entry).collect();
    let directory = 8 + strip.len() as u32;
    [b"II*\0", &directory.to_le_bytes()[..], &strip, b"\x09\0", &entries, &[0; 4]].concat()
}

/// A GIF of one small frame on a screen of `side`×`side`.
pub fn wide_screen_gif(mut gif: Vec<u8>, side: u16) -> Vec<u8> {
    gif[6..8].copy_from_slice(&side.to_le_bytes());
    gif[8..10].copy_from_slice(&side.to_le_bytes());
    gif
}

/// An animation of `count` frames.
pub fn long_gif(count: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let frame = image::Frame::new(image::RgbaImage::new(4, 4));
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    encoder.encode_frames(std::iter::repeat_n(frame, count)).expect("it can be encoded");
    drop(encoder);
    file
}

/// `progressive`, with one of its scans repeated.
pub fn many_scans(progressive: &[u8], count: usize) -> Vec<u8> {
    let find = |from: usize, marker: [u8; 2]| {
        let found = progressive[from..].windows(2).position(|pair| pair == marker);
        from + found.expect("the marker")
    };
    let first = find(0, [0xFF, 0xDA]);
    let second = find(first + 2, [0xFF, 0xC4]);
    let last = find(second, [0xFF, 0xD9]);
    let scan = progressive[second..last].repeat(count);
    [&progressive[..second], &scan, &progressive[last..]].concat()
}
