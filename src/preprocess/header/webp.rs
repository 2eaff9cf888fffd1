//! WebP (RFC 9649) chunks.

use image::metadata::Orientation;

use super::fields::{array, u16_le, u24_le, u32_le};
use super::{Facts, Problem};

pub(super) fn read(bytes: &[u8]) -> Result<Facts, Problem> {
    let short = Problem::cut_short;
    let kind: [u8; 4] = array(bytes, 12).ok_or_else(short)?;
    if &kind != b"VP8X" {
        let body = bytes.get(20..).ok_or_else(short)?;
        let (width, height) = bitstream(kind, body).ok_or_else(short)?;
        let mut facts = Facts::new(width, height, 4);
        facts.scratch = 4 * facts.pixels();
        facts.problem = chunks(bytes, 12).find_map(Result::err);
        return Ok(facts);
    }
    let [flags] = array(bytes, 20).ok_or_else(short)?;
    let width = 1 + u24_le(bytes, 24).ok_or_else(short)?;
    let height = 1 + u24_le(bytes, 27).ok_or_else(short)?;
    let mut facts = Facts::new(width, height, 4);
    // Planes and alpha, or a frame and a canvas.
    facts.scratch = 8 * facts.pixels();
    let animated = flags & 0b10 != 0;
    let mut frames = 0;
    for chunk in chunks(bytes, 12) {
        match chunk {
            Ok((b"EXIF", data)) => {
                let data = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
                let turn = Orientation::from_exif_chunk(data);
                facts.orientation = turn.unwrap_or(Orientation::NoTransforms);
            }
            Ok((b"ANMF", data)) if animated => {
                frames += 1;
                if frames == 1 && !frame_fits(data, (width, height)) {
                    facts.problem = Some(Problem::broken("the first frame leaves the canvas"));
                }
            }
            Ok((kind @ (b"VP8 " | b"VP8L"), data))
                if bitstream(*kind, data) != Some((width, height)) =>
            {
                facts.problem = Some(Problem::broken("canvas and picture differ in size"));
            }
            Ok(_) => {}
            Err(problem) => facts.problem = Some(problem),
        }
    }
    facts.several_frames = frames > 1;
    Ok(facts)
}

/// Width and height by the bitstream itself.
fn bitstream(kind: [u8; 4], data: &[u8]) -> Option<(u32, u32)> {
    match &kind {
        b"VP8 " => {
            let side = |at| Some(u32::from(u16_le(data, at)? & 0x3FFF));
            Some((side(6)?, side(8)?))
        }
        b"VP8L" => {
            let bits = u32_le(data, 1)?;
            Some((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)))
        }
        _ => None,
    }
}

/// Whether an animation frame lies on the canvas and its bitstream has the size it declares.
fn frame_fits(data: &[u8], canvas: (u32, u32)) -> bool {
    let fits = || {
        let (x, y) = (2 * u24_le(data, 0)?, 2 * u24_le(data, 3)?);
        let (width, height) = (1 + u24_le(data, 6)?, 1 + u24_le(data, 9)?);
        let (kind, picture) = chunks(data, 16)
            .filter_map(Result::ok)
            .find(|&(kind, _)| matches!(kind, b"VP8 " | b"VP8L"))?;
        let honest = bitstream(*kind, picture)? == (width, height);
        Some(honest && x + width <= canvas.0 && y + height <= canvas.1)
    };
    fits().unwrap_or(false)
}

type Chunk<'a> = (&'a [u8; 4], &'a [u8]);

/// Chunks from `at` on; an error ends them if one reaches past the end of `bytes`. Decoders
/// allocate what a chunk's length claims.
fn chunks(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Result<Chunk<'_>, Problem>> {
    std::iter::from_fn(move || {
        let kind = bytes.get(at..)?.first_chunk()?;
        let length = u32_le(bytes, at + 4).map(|length| length as usize);
        let data = length.and_then(|length| bytes.get(at + 8..(at + 8).checked_add(length)?));
        let Some(data) = data else {
            at = bytes.len();
            return Some(Err(Problem::broken("a chunk reaches past the end")));
        };
        at += 8 + data.len() + data.len() % 2;
        Some(Ok((kind, data)))
    })
}
