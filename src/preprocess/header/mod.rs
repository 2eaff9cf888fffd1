//! Format, size, orientation and memory need, from the first bytes.
//!
//! The sizes are read here and not by the decoders, since some of those allocate, or want to see
//! more of the file, before they tell.

mod fields;
mod jpeg;
mod png;
mod raster;
mod sniff;
mod tiff;
mod webp;

use image::metadata::Orientation;

use super::{Format, PictureError, Warning, decode, resize};

pub(super) use jpeg::{check_scans, next_segment as jpeg_segment};

/// Decoders' fixed needs: windows, tables, row buffers.
const DECODER_BASE: u64 = 1 << 20;
/// The network input up to which [`Header::decoded_bytes`] counts the resizer's buffer, in pixels.
const USUAL_INPUT: u64 = 512;

/// What the header says, before any pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// Pixels, as a person sees the picture: after EXIF orientation.
    pub width: u32,
    pub height: u32,
    /// The most memory that decoding and resizing will hold at once, in bytes, for a network input
    /// of up to 512×512 pixels. An upper estimate.
    pub decoded_bytes: u64,
    pub(super) orientation: Orientation,
    pub(super) several_frames: bool,
    pub(super) cmyk: bool,
    /// What decoders may allocate besides the picture they return, in bytes.
    pub(super) scratch_bytes: u64,
}

impl Header {
    /// Reads the header of `bytes`; the format is judged by content alone.
    pub fn read(bytes: &[u8], max_pixels: u64) -> Result<Self, PictureError> {
        let format = sniff::format(bytes).ok_or(PictureError::Unsupported)?;
        let facts = decode::shielded(|| read_as(format, bytes))
            .unwrap_or_else(|| Err(Problem::broken("the decoder gave up on its header")))
            .map_err(|problem| problem.of(format))?;
        let (width, height) = match resize::swaps_sides(facts.orientation) {
            true => (facts.height, facts.width),
            false => (facts.width, facts.height),
        };
        if width == 0 || height == 0 {
            return Err(Problem::broken("a side is zero pixels long").of(format));
        }
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(PictureError::TooLarge { width, height, max_pixels });
        }
        if let Some(problem) = facts.problem {
            return Err(problem.of(format));
        }
        Ok(Self {
            format,
            width,
            height,
            decoded_bytes: facts.peak_bytes(),
            orientation: facts.orientation,
            several_frames: facts.several_frames,
            cmyk: facts.cmyk,
            scratch_bytes: DECODER_BASE + facts.scratch,
        })
    }

    /// Pixels as stored in the file, (width, height).
    pub(super) fn stored_size(&self) -> (u32, u32) {
        match resize::swaps_sides(self.orientation) {
            true => (self.height, self.width),
            false => (self.width, self.height),
        }
    }

    /// Those that need no pixels to know.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        [
            (self.several_frames, Warning::FirstFrameOnly),
            (self.cmyk, Warning::CmykConverted),
            (self.orientation != Orientation::NoTransforms, Warning::RotatedByExif),
        ]
        .into_iter()
        .filter_map(|(holds, warning)| holds.then_some(warning))
        .collect()
    }
}

fn read_as(format: Format, bytes: &[u8]) -> Result<Facts, Problem> {
    match format {
        Format::Jpeg => jpeg::read(bytes),
        Format::Png => png::read(bytes),
        Format::Gif => raster::gif(bytes),
        Format::WebP => webp::read(bytes),
        Format::Bmp => raster::bmp(bytes),
        Format::Tiff => tiff::read(bytes),
        Format::Pnm => raster::pnm(bytes),
        Format::Qoi => raster::qoi(bytes),
    }
}

/// What the reader of a format finds.
struct Facts {
    /// As stored.
    width: u32,
    height: u32,
    /// Bytes of a pixel as the decoder returns it.
    pixel_bytes: u64,
    /// Bytes that the decoder needs besides the picture it returns.
    scratch: u64,
    orientation: Orientation,
    several_frames: bool,
    cmyk: bool,
    /// What is wrong further on. A picture that is too large is refused for that first.
    problem: Option<Problem>,
}

impl Facts {
    fn new(width: u32, height: u32, pixel_bytes: u64) -> Self {
        Self {
            width,
            height,
            pixel_bytes,
            scratch: 0,
            orientation: Orientation::NoTransforms,
            several_frames: false,
            cmyk: false,
            problem: None,
        }
    }

    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Decoding, converting to 8-bit RGB and resizing follow each other, and each drops what the
    /// one before needed; the largest of the three counts.
    fn peak_bytes(&self) -> u64 {
        let native = self.pixels() * self.pixel_bytes;
        let rgb = self.pixels() * 3;
        let columns = u64::from(self.width.max(self.height)) * USUAL_INPUT * 3;
        let weights = 64 * (u64::from(self.width) + u64::from(self.height));
        let resizing = rgb + columns.min(rgb) + weights + USUAL_INPUT * USUAL_INPUT * 6;
        DECODER_BASE + (native + self.scratch).max(native + rgb).max(resizing)
    }
}

/// Why a header is refused.
enum Problem {
    Broken(String),
    /// A flavour of the format that no decoder here knows.
    Flavour,
}

impl Problem {
    fn broken(detail: impl Into<String>) -> Self {
        Self::Broken(detail.into())
    }

    fn cut_short() -> Self {
        Self::broken("the file ends within its header")
    }

    fn of(self, format: Format) -> PictureError {
        match self {
            Self::Broken(detail) => PictureError::Corrupt { format, detail },
            Self::Flavour => PictureError::Unsupported,
        }
    }
}
