//! The formats with a short fixed header: GIF, BMP, PNM and QOI.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::pnm::PnmDecoder;

use super::fields::{array, u16_le, u32_be, u32_le};
use super::{Facts, Problem};

/// GIF89a: the logical screen and the first two image descriptors.
pub(super) fn gif(bytes: &[u8]) -> Result<Facts, Problem> {
    let short = Problem::cut_short;
    let width = u16_le(bytes, 6).ok_or_else(short)?;
    let height = u16_le(bytes, 8).ok_or_else(short)?;
    let [flags] = array(bytes, 10).ok_or_else(short)?;
    let mut facts = Facts::new(width.into(), height.into(), 4);
    let mut frames = gif_frames(bytes, 13 + colour_table(flags));
    match frames.next() {
        Some((frame_width, frame_height)) => {
            let frame = u64::from(frame_width) * u64::from(frame_height);
            if frame > facts.pixels() {
                facts.problem = Some(Problem::broken("the first frame leaves the screen"));
            }
            facts.scratch = 5 * frame;
        }
        None => facts.problem = Some(Problem::broken("there is no frame")),
    }
    facts.several_frames = frames.next().is_some();
    Ok(facts)
}

/// Width and height of the frames, found by stepping over the sub-blocks.
fn gif_frames(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (u16, u16)> {
    std::iter::from_fn(move || {
        loop {
            match bytes.get(at)? {
                0x21 => at = after_sub_blocks(bytes, at + 2)?,
                0x2C => {
                    let size = (u16_le(bytes, at + 5)?, u16_le(bytes, at + 7)?);
                    let [flags] = array(bytes, at + 9)?;
                    // The code size stands between the table and the data.
                    at += 10 + colour_table(flags) + 1;
                    at = after_sub_blocks(bytes, at).unwrap_or(bytes.len());
                    return Some(size);
                }
                _ => return None,
            }
        }
    })
}

fn colour_table(flags: u8) -> usize {
    match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    }
}

fn after_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(*length),
        }
    }
}

/// BITMAPCOREHEADER with 16-bit sides, or BITMAPINFOHEADER and its successors with signed 32-bit
/// ones; a negative height means top-down.
pub(super) fn bmp(bytes: &[u8]) -> Result<Facts, Problem> {
    let short = Problem::cut_short;
    let (width, height) = match u32_le(bytes, 14).ok_or_else(short)? {
        12 => (
            u16_le(bytes, 18).ok_or_else(short)?.into(),
            u16_le(bytes, 20).ok_or_else(short)?.into(),
        ),
        _ => {
            let width = u32_le(bytes, 18).ok_or_else(short)?;
            let height = u32_le(bytes, 22).ok_or_else(short)?;
            (width, height.cast_signed().unsigned_abs())
        }
    };
    let mut facts = Facts::new(width, height, 4);
    facts.scratch = 8 * u64::from(width);
    if width > i32::MAX as u32 {
        facts.problem = Some(Problem::broken("the width is negative"));
    }
    Ok(facts)
}

/// The header is text of any length.
pub(super) fn pnm(bytes: &[u8]) -> Result<Facts, Problem> {
    let decoder =
        PnmDecoder::new(Cursor::new(bytes)).map_err(|error| Problem::broken(error.to_string()))?;
    let (width, height) = decoder.dimensions();
    let pixel_bytes = decoder.color_type().bytes_per_pixel().into();
    let mut facts = Facts::new(width, height, pixel_bytes);
    facts.scratch = facts.pixels() * pixel_bytes;
    Ok(facts)
}

pub(super) fn qoi(bytes: &[u8]) -> Result<Facts, Problem> {
    let short = Problem::cut_short;
    let width = u32_be(bytes, 4).ok_or_else(short)?;
    let height = u32_be(bytes, 8).ok_or_else(short)?;
    let [channels] = array(bytes, 12).ok_or_else(short)?;
    if !matches!(channels, 3 | 4) {
        return Err(Problem::broken("channels must be 3 or 4"));
    }
    Ok(Facts::new(width, height, channels.into()))
}
