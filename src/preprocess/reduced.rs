//! JPEGs decoded at a part of their size, by libjpeg-turbo as `mozjpeg` carries it.
//!
//! A JPEG stores the frequencies of blocks of 8×8 pixels. At 1/8 of the size the lowest frequency,
//! the block's mean, is all that is computed, and colour that is stored coarser than brightness
//! needs no enlarging.

use image::{DynamicImage, GrayImage, RgbImage};
use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys::{jpeg_common_struct, jpeg_error_mgr, jpeg_std_error};
use std::os::raw::c_int;

use super::header::Header;

/// A grey or colour JPEG, smaller by `reduction` (4 or 8) along each side, the last row and
/// column rounded up. `None` for all other kinds, and for files that are not as they should be.
///
/// # Panics
/// Unwinds, without a word from the panic hook, where the decoder finds a mistake in the file.
pub(super) fn decode(bytes: &[u8], header: &Header, reduction: u32) -> Option<DynamicImage> {
    let mut decoder = Decompress::builder().with_err(strict_errors()).from_mem(bytes).ok()?;
    let (stored_width, stored_height) = header.stored_size();
    if decoder.size() != (stored_width as usize, stored_height as usize) {
        return None;
    }
    decoder.scale((8 / reduction) as u8);
    let grey = match decoder.color_space() {
        ColorSpace::JCS_GRAYSCALE => true,
        ColorSpace::JCS_YCbCr => false,
        _ => return None,
    };
    let mut started = if grey { decoder.grayscale() } else { decoder.rgb() }.ok()?;
    let (width, height) = (started.width() as u32, started.height() as u32);
    let pixels = started.read_scanlines::<u8>().ok()?;
    // Reads to the end of the file, so that one that was cut short is found out.
    started.finish().ok()?;
    let expected = (stored_width.div_ceil(reduction), stored_height.div_ceil(reduction));
    match grey {
        _ if (width, height) != expected => None,
        true => Some(GrayImage::from_raw(width, height, pixels)?.into()),
        false => Some(RgbImage::from_raw(width, height, pixels)?.into()),
    }
}

/// Ends decoding at the first error or warning: libjpeg warns of damage and paints over it.
#[expect(unsafe_code, reason = "libjpeg's table of callbacks is a C struct")]
fn strict_errors() -> jpeg_error_mgr {
    extern "C-unwind" fn message(_: &mut jpeg_common_struct, level: c_int) {
        // Warnings have level -1; from 0 on it is talk.
        if level < 0 {
            give_up();
        }
    }
    extern "C-unwind" fn error(_: &mut jpeg_common_struct) {
        give_up();
    }
    // SAFETY: the struct holds integers, optional functions and pointers, all of which may be
    // zero; `jpeg_std_error` fills in all that libjpeg reads.
    let mut errors = unsafe {
        let mut errors = std::mem::zeroed();
        jpeg_std_error(&mut errors);
        errors
    };
    errors.emit_message = Some(message);
    errors.error_exit = Some(error);
    errors
}

/// Unwinds through the decoder's C frames, which are compiled for it.
fn give_up() -> ! {
    std::panic::resume_unwind(Box::new("libjpeg gave up"))
}
