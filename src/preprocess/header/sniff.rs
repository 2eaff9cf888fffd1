//! The format by its magic bytes.

use super::super::Format;
use super::fields::u32_le;

/// Two letters are too little to go by, since text may start with them: BMP and PNM have to go on as
/// they should.
pub(super) fn format(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        // 42 is classic TIFF, 43 BigTIFF.
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        [b'P', b'1'..=b'7', rest @ ..] if is_pnm_header(rest) => Some(Format::Pnm),
        [b'q', b'o', b'i', b'f', ..] => Some(Format::Qoi),
        [b'B', b'M', ..] if is_bmp_info(u32_le(bytes, 14)) => Some(Format::Bmp),
        _ => None,
    }
}

/// Whether the length of the information header is one that Windows defined.
fn is_bmp_info(length: Option<u32>) -> bool {
    matches!(length, Some(12 | 40 | 52 | 56 | 108 | 124))
}

/// Whether blanks and then a number, a comment or PAM's first keyword follow.
fn is_pnm_header(rest: &[u8]) -> bool {
    let blank = rest.first().is_some_and(u8::is_ascii_whitespace);
    let next = rest.trim_ascii_start().first();
    blank && next.is_none_or(|next| matches!(next, b'0'..=b'9' | b'#' | b'A'..=b'Z'))
}
