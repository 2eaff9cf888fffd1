//! Bytes → pixels: sniff, limits, decode, orientation, resize to `[H, W, C]` u8.
//!
//! [`Header::read`] looks at headers only and allocates nothing that grows with the picture;
//! admission happens between it and [`prepare`]. No tch and no axum in here.

mod convert;
mod decode;
mod grid;
mod header;
mod ink;
mod polarity;
mod resize;
mod spec;

pub use header::Header;
pub use spec::{ChannelOrder, Channels, Filter, Framing, InputSpec, Polarity, Resize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq)]
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
pub fn prepare(bytes: &[u8], header: &Header, spec: &InputSpec) -> Result<Prepared, PictureError> {
    let image = decode::decode(bytes, header)?;
    let channels = match spec.framing {
        Framing::Whole => spec.channels,
        Framing::Ink => Channels::Grey,
    };
    let (raster, flattened) = convert::to_raster(image, channels, spec.background);
    let shown = Shown::of(raster, header, spec);

    let mut warnings = header.warnings();
    let small = |side: f64, input: u32| side < f64::from(input);
    let region = shown.region;
    let upscaled = small(region.width, spec.width) || small(region.height, spec.height);
    warnings.extend(flattened.then_some(Warning::AlphaFlattened));
    warnings.extend(upscaled.then_some(Warning::Upscaled));
    warnings.extend(shown.inverted.then_some(Warning::Inverted));
    Ok(Prepared { pixels: shown.raster.into_network_order(spec), region, warnings })
}

/// What the network sees of a picture.
struct Shown {
    /// Of the input's size, upright.
    raster: convert::Raster,
    region: Region,
    inverted: bool,
}

impl Shown {
    fn of(raster: convert::Raster, header: &Header, spec: &InputSpec) -> Self {
        if spec.framing == Framing::Ink
            && let Some(framed) = ink::frame(&raster, header.orientation, spec)
        {
            return framed;
        }
        let region = resize::region((header.width, header.height), spec);
        let raster = resize::shrink_upright(raster, header.orientation, spec);
        let inverted =
            spec.polarity == Polarity::Auto && polarity::dark_on_light(&raster) == Some(true);
        let raster = if inverted { raster.inverted() } else { raster };
        Self { raster, region, inverted }
    }
}
