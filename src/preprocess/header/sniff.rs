//! The format by its magic bytes.

use super::super::Format;
use super::fields::u32_le;

pub(super) fn format(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        // 42 is classic TIFF, 43 BigTIFF.
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..] => Some(Format::Pnm),
        [b'q', b'o', b'i', b'f', ..] => Some(Format::Qoi),
        // Two letters are too little to go by: text may start with them.
        [b'B', b'M', ..] if is_bmp_info(u32_le(bytes, 14)) => Some(Format::Bmp),
        _ => None,
    }
}

/// Whether the length of the information header is one that was ever defined.
fn is_bmp_info(length: Option<u32>) -> bool {
    matches!(length, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}
