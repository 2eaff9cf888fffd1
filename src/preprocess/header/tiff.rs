//! TIFF 6.0 and BigTIFF.

use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;
use image::{ExtendedColorType, ImageDecoder, ImageError};

use super::fields::array;
use super::{Facts, Problem};

pub(super) fn read(bytes: &[u8]) -> Result<Facts, Problem> {
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(|error| match error {
        ImageError::Unsupported(_) => Problem::Flavour,
        other => Problem::broken(other.to_string()),
    })?;
    let (width, height) = decoder.dimensions();
    let pixel_bytes = decoder.color_type().bytes_per_pixel().into();
    let mut facts = Facts::new(width, height, pixel_bytes);
    let colour = decoder.original_color_type();
    facts.cmyk = matches!(colour, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16);
    // The decoder fills a buffer of its own, strip by strip, and copies it.
    facts.scratch = 3 * facts.pixels() * (pixel_bytes + u64::from(facts.cmyk) * 2);
    match decoder.orientation() {
        Ok(turn) => facts.orientation = turn,
        Err(error) => facts.problem = Some(Problem::broken(error.to_string())),
    }
    facts.several_frames = has_second_page(bytes).unwrap_or(false);
    Ok(facts)
}

/// Whether the first directory links to another one.
fn has_second_page(bytes: &[u8]) -> Option<bool> {
    let little = bytes.first() == Some(&b'I');
    let short =
        |at| array(bytes, at).map(if little { u16::from_le_bytes } else { u16::from_be_bytes });
    let long =
        |at| array(bytes, at).map(if little { u32::from_le_bytes } else { u32::from_be_bytes });
    let huge =
        |at| array(bytes, at).map(if little { u64::from_le_bytes } else { u64::from_be_bytes });
    if short(2)? == 42 {
        let directory = usize::try_from(long(4)?).ok()?;
        let entries = usize::from(short(directory)?);
        Some(long(directory + 2 + 12 * entries)? != 0)
    } else {
        let directory = usize::try_from(huge(8)?).ok()?;
        let entries = usize::try_from(huge(directory)?).ok()?;
        let link = entries.checked_mul(20)?.checked_add(directory)?.checked_add(8)?;
        Some(huge(link)? != 0)
    }
}
