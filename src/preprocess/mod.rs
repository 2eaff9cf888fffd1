//! Bytes → pixels: sniff, limits, decode, orientation, resize to `[H, W, C]` u8.
//!
//! [`Header::read`] looks at headers only and allocates nothing that grows with the picture;
//! admission happens between it and [`prepare`]. No tch and no axum in here.
//!
//! # The pipeline
//! 1. Decode the first frame, at its native depth. Colour profiles and gamma are ignored. Most JPEGs
//!    of twice the network's input and more, and all that are larger where only grey is wanted, skip
//!    steps 1 to 4: `jpeg/mod.rs` gets the small picture straight from the file's frequencies.
//! 2. 16-bit samples are rounded to the nearest of 8 bits; alpha is flattened on
//!    [`InputSpec::background`]; CMYK becomes RGB as in Pillow, `(255 - ink) * (255 - black) / 255`.
//! 3. A grey network gets ITU-R 601-2 luma, in Pillow's fixed point.
//! 4. The region is cut out and scaled, antialiased bilinear, as Pillow's `resize(…, BILINEAR)` does
//!    within a rounding step. With [`Framing::Ink`] a region of its own is found in a picture that is
//!    scaled to 256 pixels, see `ink/mod.rs`.
//! 5. EXIF orientation (JPEG APP1, PNG eXIf, WebP EXIF, the TIFF tag) turns the small result, which is
//!    the same as turning the large picture first.
//! 6. Polarity, channel order.
//!
//! # Formats
//! By content, never by name. What is known but cannot be decoded counts as unsupported:
//!
//! | format | decoded | not decoded |
//! | --- | --- | --- |
//! | JPEG | baseline, extended, progressive; grey, YCbCr, RGB, CMYK and YCCK (taken as inverted, as Adobe writes them) | 12 bits, lossless, arithmetic coding |
//! | PNG | all of it; of an APNG the default picture | |
//! | GIF, WebP | the first frame | |
//! | BMP | Windows bitmaps, RLE included | OS/2 2.x; embedded JPEG and PNG |
//! | TIFF | first page; 1, 8 and 16 bits, float; grey, RGB, RGBA, CMYK; BigTIFF | palette, YCbCr, grey with alpha |
//! | PNM | P1–P7 | |
//! | QOI | all of it | |
//!
//! # What goes wrong, and how it ends
//! - Sides are read before any decoder sees the file: too many pixels end as
//!   [`PictureError::TooLarge`], even if the rest of the file is missing.
//! - Lengths and counts that would make a decoder allocate are checked against the file, decoders run
//!   with allocation limits, and the decoded size must be the announced one.
//! - Half a picture is no picture: a file cut short is [`PictureError::Corrupt`]. A JPEG must end in an
//!   end-of-image marker; one that has it but lacks data in between shows grey there, as in browsers.
//! - A progressive JPEG of more than 100 scans is refused; it could keep a core busy for minutes.
//! - A decoder that panics has met a corrupt picture.

use serde::Serialize;
use utoipa::ToSchema;

mod convert;
mod decode;
mod grid;
mod header;
mod ink;
mod jpeg;
mod polarity;
mod resize;
mod spec;
mod view;

pub use header::Header;
pub use spec::{ChannelOrder, Channels, Filter, Framing, InputSpec, Polarity, Resize};
pub use view::view;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Pnm,
    Qoi,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
        })
    }
}

/// What was done to a picture that its sender may not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The EXIF orientation is not "as stored".
    RotatedByExif,
    /// At least one pixel was not opaque; [`InputSpec::background`] shows through it.
    AlphaFlattened,
    /// The file holds more frames or pages than the one that was classified.
    FirstFrameOnly,
    /// CMYK was turned to RGB without a colour profile.
    CmykConverted,
    /// The part of the picture that is shown is smaller than the network's input on some side.
    Upscaled,
    /// Dark on light was turned to light on dark.
    Inverted,
    /// The declared media type is not that of the content. Added by the HTTP layer.
    ContentTypeMismatch,
}

/// A picture ready for the network.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// `[H, W, C]`, row-major, channels last, `spec.bytes()` long.
    pub pixels: Vec<u8>,
    /// Which part of the picture (after EXIF orientation, in its pixels) the network sees.
    pub region: Region,
    /// In the order of the pipeline.
    pub warnings: Vec<Warning>,
}

/// A rectangle in picture pixels. With ink framing it may reach past the picture's edges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Region {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Region {
    /// All of a picture of `size` (width, height).
    fn whole(size: (u32, u32)) -> Self {
        Self { x: 0.0, y: 0.0, width: size.0.into(), height: size.1.into() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The content is no picture that we decode. 415
    #[error("the content is not a picture in a supported format")]
    Unsupported,
    /// 413
    #[error("the picture has {width}×{height} pixels; at most {max_pixels} in all are accepted")]
    TooLarge { width: u32, height: u32, max_pixels: u64 },
    /// 422
    #[error("the {format} picture is broken or cut short: {detail}")]
    Corrupt { format: Format, detail: String },
}

/// Decodes `bytes` and brings them to the shape of `spec`. CPU work: call it off the async runtime.
///
/// `header` must come from [`Header::read`] on the same bytes.
///
/// Most JPEGs that are much larger than what is asked for are not decoded in full: see `jpeg/mod.rs`.
pub fn prepare(bytes: &[u8], header: &Header, spec: &InputSpec) -> Result<Prepared, PictureError> {
    match shrink_jpeg(bytes, header, spec) {
        Some(shown) => Ok(shown.prepared(header, spec)),
        None => prepare_in_full(bytes, header, spec),
    }
}

/// As [`prepare`], but every pixel is decoded before resizing: what [`prepare`] is measured by.
pub fn prepare_in_full(
    bytes: &[u8],
    header: &Header,
    spec: &InputSpec,
) -> Result<Prepared, PictureError> {
    let image = decode::decode(bytes, header)?;
    let channels = match spec.framing {
        Framing::Whole => spec.channels,
        Framing::Ink => Channels::Grey,
    };
    let (raster, flattened) = convert::to_raster(image, channels, spec.background);
    let mut prepared = Shown::of(raster, header, spec).prepared(header, spec);
    if flattened {
        // In the order of the pipeline: after what the header tells.
        prepared.warnings.insert(header.warnings().len(), Warning::AlphaFlattened);
    }
    Ok(prepared)
}

/// Not where there is CMYK, whose inks are not linear in what is seen, nor where no ink is found to be framed.
fn shrink_jpeg(bytes: &[u8], header: &Header, spec: &InputSpec) -> Option<Shown> {
    if header.format != Format::Jpeg || header.cmyk {
        return None;
    }
    let Filter::Bilinear = spec.filter;
    let stored = header.stored_size();
    let ((region, size), channels) = match spec.framing {
        Framing::Whole => (resize::stored_region(header, spec), spec.channels),
        Framing::Ink => ((Region::whole(stored), ink::work_size(stored, spec)), Channels::Grey),
    };
    let raster = decode::shielded(|| jpeg::shrink(bytes, region, size, channels)).flatten()?;
    let raster = resize::upright(raster, header.orientation);
    match spec.framing {
        Framing::Whole => Some(Shown::whole(raster, header, spec)),
        Framing::Ink => ink::frame(raster, header.width, spec),
    }
}

/// What the network sees of a picture.
struct Shown {
    /// Of the input's size, upright.
    raster: convert::Raster,
    region: Region,
    inverted: bool,
}

impl Shown {
    /// `raster` has all pixels, as stored in the file.
    fn of(raster: convert::Raster, header: &Header, spec: &InputSpec) -> Self {
        if spec.framing == Framing::Ink {
            let small = ink::shrink(&raster, header.orientation, spec);
            if let Some(framed) = ink::frame(small, header.width, spec) {
                return framed;
            }
        }
        Self::whole(resize::shrink_upright(&raster, header, spec), header, spec)
    }

    /// `raster` is of the input's size, and upright.
    fn whole(raster: convert::Raster, header: &Header, spec: &InputSpec) -> Self {
        let region = resize::region((header.width, header.height), spec);
        let inverted =
            spec.polarity == Polarity::Auto && polarity::dark_on_light(&raster) == Some(true);
        let raster = if inverted { raster.inverted() } else { raster };
        Self { raster, region, inverted }
    }

    fn prepared(self, header: &Header, spec: &InputSpec) -> Prepared {
        let Self { raster, region, inverted } = self;
        let mut warnings = header.warnings();
        let small = |side: f64, input: u32| side < f64::from(input);
        let upscaled = small(region.width, spec.width) || small(region.height, spec.height);
        warnings.extend(upscaled.then_some(Warning::Upscaled));
        warnings.extend(inverted.then_some(Warning::Inverted));
        Prepared { pixels: raster.into_network_order(spec), region, warnings }
    }
}
