//! TIFF 6.0 and BigTIFF.

use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;
use image::{ExtendedColorType, ImageDecoder, ImageError};

use super::{Facts, Problem};

/// The most values of a tag that the decoder reads: enough for the strips or tiles of any picture
/// within reason. It takes 32 bytes for each.
const MAX_VALUES: u64 = 1 << 18;
/// Tags below it describe the picture; the others (profiles, notes) are not read.
const PRIVATE_TAGS: u64 = 600;
const WIDTH: u64 = 256;
const HEIGHT: u64 = 257;

pub(super) fn read(bytes: &[u8]) -> Result<Facts, Problem> {
    let directory = Directory::read(bytes).ok_or_else(Problem::cut_short)??;
    let mut facts = decoder_facts(bytes).unwrap_or_else(|problem| {
        // The decoder looks for more than the size before it tells it.
        let mut facts = Facts::new(directory.width, directory.height, 1);
        facts.problem = Some(problem);
        facts
    });
    facts.several_frames = directory.has_next;
    Ok(facts)
}

fn decoder_facts(bytes: &[u8]) -> Result<Facts, Problem> {
    let problem = |error| match error {
        ImageError::Unsupported(_) => Problem::Flavour,
        other => Problem::broken(other.to_string()),
    };
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(problem)?;
    let (width, height) = decoder.dimensions();
    let pixel_bytes = u64::from(decoder.color_type().bytes_per_pixel());
    let mut facts = Facts::new(width, height, pixel_bytes);
    let colour = decoder.original_color_type();
    facts.cmyk = matches!(colour, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16);
    // The decoder fills a buffer of its own, strip by strip, and copies it at the end.
    facts.scratch = 2 * facts.pixels() * (pixel_bytes + u64::from(facts.cmyk) * 2);
    facts.orientation = decoder.orientation().map_err(problem)?;
    Ok(facts)
}

/// The first image file directory.
struct Directory {
    width: u32,
    height: u32,
    /// Whether another page follows.
    has_next: bool,
}

impl Directory {
    /// `None` if the file ends within it. The decoder believes what an entry says about the number
    /// of its values, so those that cannot be true are refused here.
    fn read(bytes: &[u8]) -> Option<Result<Self, Problem>> {
        let file = Numbers { bytes, little_endian: bytes.first() == Some(&b'I') };
        let is_big = file.number(2, 2)? == 43;
        // Bytes of the number of entries, of an entry, and of counts and offsets in it.
        let (head, entry, field) = if is_big { (8, 20, 8) } else { (2, 12, 4) };
        let start = file.number(if is_big { 8 } else { 4 }, field)?;
        let entries = file.number(start, head)?;
        let mut directory = Self { width: 0, height: 0, has_next: false };
        let mut at = start.checked_add(head)?;
        for _ in 0..entries {
            let (tag, kind) = (file.number(at, 2)?, file.number(at + 2, 2)?);
            let (count, value) = (file.number(at + 4, field)?, at + 4 + field);
            let width = value_bytes(kind);
            let size = count.saturating_mul(width);
            let outside = size > field
                && file.number(value, field)?.saturating_add(size) > bytes.len() as u64;
            if tag < PRIVATE_TAGS && (outside || count > MAX_VALUES) {
                return Some(Err(Problem::broken(format!("tag {tag} has impossible values"))));
            }
            let side = || file.number(value, width.min(field)).unwrap_or(0);
            match tag {
                WIDTH => directory.width = u32::try_from(side()).unwrap_or(u32::MAX),
                HEIGHT => directory.height = u32::try_from(side()).unwrap_or(u32::MAX),
                _ => {}
            }
            at += entry;
        }
        directory.has_next = file.number(at, field)? != 0;
        Some(Ok(directory))
    }
}

/// Bytes of a value of a field type.
fn value_bytes(kind: u64) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        _ => 8,
    }
}

/// Unsigned numbers in the file's byte order.
struct Numbers<'a> {
    bytes: &'a [u8],
    little_endian: bool,
}

impl Numbers<'_> {
    /// The number of `size` bytes, at most 8, at `at`.
    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let digits = self.bytes.get(usize::try_from(at).ok()?..)?.get(..size as usize)?;
        let append = |number, digit: &u8| number << 8 | u64::from(*digit);
        Some(match self.little_endian {
            true => digits.iter().rev().fold(0, append),
            false => digits.iter().fold(0, append),
        })
    }
}
