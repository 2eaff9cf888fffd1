//! PNG (W3C, third edition) chunks.

use image::metadata::Orientation;

use super::fields::{array, u32_be};
use super::{Facts, Problem};

pub(super) fn read(bytes: &[u8]) -> Result<Facts, Problem> {
    let short = Problem::cut_short;
    if array(bytes, 12).ok_or_else(short)? != *b"IHDR" {
        return Err(Problem::broken("the first chunk is not IHDR"));
    }
    let width = u32_be(bytes, 16).ok_or_else(short)?;
    let height = u32_be(bytes, 20).ok_or_else(short)?;
    let [depth, colour] = array(bytes, 24).ok_or_else(short)?;
    let channels = match colour {
        0 => 1,
        2 | 3 => 3,
        4 => 2,
        6 => 4,
        _ => return Err(Problem::broken("unknown colour type")),
    };
    let sample_bytes = u64::from(depth.div_ceil(8));
    let mut facts = Facts::new(width, height, channels * sample_bytes);
    facts.scratch = 4 * u64::from(width) * facts.pixel_bytes;
    for (kind, data) in chunks(bytes) {
        match &kind {
            b"tRNS" if colour != 4 && colour != 6 => {
                facts.pixel_bytes = (channels + 1) * sample_bytes;
            }
            b"eXIf" => {
                let turn = Orientation::from_exif_chunk(data);
                facts.orientation = turn.unwrap_or(Orientation::NoTransforms);
            }
            b"acTL" => facts.several_frames = u32_be(data, 0).is_some_and(|frames| frames > 1),
            _ => {}
        }
    }
    Ok(facts)
}

/// The whole chunks of the file, in order.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let length = u32_be(bytes, at)? as usize;
        let kind = array(bytes, at + 4)?;
        let data = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        at += 12 + length;
        Some((kind, data))
    })
}
