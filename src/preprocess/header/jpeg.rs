//! JPEG (ITU-T T.81) markers.

use image::metadata::Orientation;

use super::fields::{array, u16_be};
use super::{Facts, Problem};

/// Encoders write about ten scans for a progressive picture. Every scan walks all coefficients
/// again, so a small file with thousands of them would keep a decoder busy for minutes.
const MAX_SCANS: usize = 100;

/// Reads up to the first scan.
pub(super) fn read(bytes: &[u8]) -> Result<Facts, Problem> {
    let mut facts = None;
    let mut orientation = None;
    let mut at = 2;
    while let Some((marker, segment)) = segment(bytes, at) {
        match marker {
            // Start of scan, end of image.
            0xDA | 0xD9 => break,
            0xC4 | 0xC8 | 0xCC => {}
            0xC0..=0xCF if facts.is_none() => facts = Some(frame(marker, segment)?),
            0xE1 => orientation = orientation.or_else(|| exif(segment)),
            _ => {}
        }
        at += 4 + segment.len() + fill_bytes(bytes, at);
    }
    let mut facts = facts.ok_or_else(|| Problem::broken("no frame header"))?;
    facts.orientation = orientation.unwrap_or(Orientation::NoTransforms);
    facts.scratch += bytes.len() as u64;
    if !matches!(segment(bytes, at), Some((0xDA, _))) {
        facts.problem = Some(Problem::broken("no scan follows the header"));
    }
    Ok(facts)
}

/// Walks the scans: there must be a sane number of them, and an end of image behind them. Decoders
/// fill what is missing with grey instead.
pub(in super::super) fn check_scans(bytes: &[u8]) -> Result<(), String> {
    let mut scans = 0;
    let mut at = 2;
    loop {
        let Some((marker, segment)) = segment(bytes, at) else {
            return Err("the end-of-image marker is missing".into());
        };
        if marker == 0xD9 {
            return match scans {
                0 => Err("there is no scan".into()),
                _ => Ok(()),
            };
        }
        at += 4 + segment.len() + fill_bytes(bytes, at);
        if marker == 0xDA {
            scans += 1;
            if scans > MAX_SCANS {
                return Err(format!("there are more than {MAX_SCANS} scans"));
            }
            at = skip_entropy_coded(bytes, at);
        }
    }
}

/// The first marker segment from `at` on: its marker, its payload, and where it ends.
pub(in super::super) fn next_segment(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let (marker, payload) = segment(bytes, at)?;
    Some((marker, payload, at + 4 + payload.len() + fill_bytes(bytes, at)))
}

/// The marker at `at` and its payload without the length field. Where junk precedes the marker, as
/// some cameras write it, it is skipped like the decoder does.
fn segment(bytes: &[u8], at: usize) -> Option<(u8, &[u8])> {
    let at = at + fill_bytes(bytes, at);
    let [_, marker] = array(bytes, at)?;
    if marker == 0xD9 {
        return Some((marker, &[]));
    }
    let length = usize::from(u16_be(bytes, at + 2)?);
    Some((marker, bytes.get(at + 4..(at + 2 + length).max(at + 4))?))
}

/// How many bytes lie between `at` and the next marker's 0xFF.
fn fill_bytes(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let marker = |&at: &usize| rest.get(at + 1).is_some_and(|&code| is_marker(code));
    memchr::memchr_iter(0xFF, rest).find(marker).unwrap_or(rest.len())
}

/// Stuffed zeros, fill bytes, restart markers, TEM and a second SOI carry nothing.
fn is_marker(code: u8) -> bool {
    !matches!(code, 0x00 | 0x01 | 0xFF | 0xD0..=0xD8)
}

fn skip_entropy_coded(bytes: &[u8], at: usize) -> usize {
    at + fill_bytes(bytes, at)
}

fn frame(marker: u8, segment: &[u8]) -> Result<Facts, Problem> {
    let short = Problem::cut_short;
    let [precision] = array(segment, 0).ok_or_else(short)?;
    let height = u16_be(segment, 1).ok_or_else(short)?;
    let width = u16_be(segment, 3).ok_or_else(short)?;
    let [components] = array(segment, 5).ok_or_else(short)?;
    let pixel_bytes = if components == 1 { 1 } else { 3 };
    let mut facts = Facts::new(width.into(), height.into(), pixel_bytes);
    facts.cmyk = components == 4;
    // 16-bit samples of some rows of whole units, which are up to 32×32 pixels. Progressive decoders
    // keep all coefficients until the last scan.
    let padded = |side: u16| u64::from(side).next_multiple_of(32);
    let rows = if marker == 0xC2 { 64 + padded(height) } else { 64 };
    facts.scratch = 2 * u64::from(components) * padded(width) * rows;
    // Lossless, hierarchical and arithmetic coding, and 12 bits, are left to special software.
    if precision != 8 || !matches!(marker, 0xC0..=0xC2) {
        facts.problem = Some(Problem::Flavour);
    }
    Ok(facts)
}

fn exif(segment: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(segment.strip_prefix(b"Exif\0\0")?)
}
