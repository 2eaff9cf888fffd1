//! Bytes → pixels: sniff, limits, decode, orientation, resize to `[H, W, C]` u8.
//!
//! [`Header::read`] looks at the first bytes only and allocates nothing that grows with the
//! picture; admission happens between it and [`prepare`]. No tch and no axum in here.

mod spec;

pub use spec::{ChannelOrder, Channels, Filter, Framing, InputSpec, Polarity, Resize};

/// What the header says, before any pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// Pixels, as a person sees the picture: after EXIF orientation.
    pub width: u32,
    pub height: u32,
    /// The most memory that decoding and resizing will hold at once, in bytes.
    pub decoded_bytes: u64,
}

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

/// What was done to a picture that its sender may not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    RotatedByExif,
    AlphaFlattened,
    FirstFrameOnly,
    CmykConverted,
    Upscaled,
    Inverted,
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

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The content is no picture that we decode. 415
    #[error("...")]
    Unsupported,
    /// 413
    #[error("...")]
    TooLarge { width: u32, height: u32, max_pixels: u64 },
    /// 422
    #[error("...")]
    Corrupt { format: Format, detail: String },
}

impl Header {
    /// Reads the header of `bytes`; the format is judged by content alone.
    pub fn read(bytes: &[u8], max_pixels: u64) -> Result<Self, PictureError> {
        let _ = (bytes, max_pixels);
        todo!()
    }
}

/// Decodes `bytes` and brings them to the shape of `spec`. CPU work: call it off the async runtime.
pub fn prepare(bytes: &[u8], header: &Header, spec: &InputSpec) -> Result<Prepared, PictureError> {
    let _ = (bytes, header, spec);
    todo!()
}
