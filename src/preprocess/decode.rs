//! The decoders, kept from doing harm.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::{bmp, gif, jpeg, png, pnm, qoi, tiff, webp};
use image::{DynamicImage, ImageDecoder, ImageError, ImageResult, Limits};

use super::header::{self, Header};
use super::{Format, PictureError};

/// Decodes the first frame.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<DynamicImage, PictureError> {
    let format = header.format;
    let corrupt = |detail: String| PictureError::Corrupt { format, detail };
    if format == Format::Jpeg {
        header::check_scans(bytes).map_err(corrupt)?;
    }
    match shielded(|| run(bytes, header)) {
        Some(Ok(image)) => Ok(image),
        Some(Err(ImageError::Unsupported(_))) => Err(PictureError::Unsupported),
        Some(Err(ImageError::Limits(_))) => {
            Err(corrupt("it needs more memory than its header admits".into()))
        }
        Some(Err(error)) => Err(corrupt(error.to_string())),
        None => Err(corrupt("the decoder gave up on it".into())),
    }
}

/// Runs a decoder; `None` if it panics.
///
/// A panic of a decoder is a defect that some crafted file brings to light. It is that file's
/// problem, not the process's: the decoder is dropped and the picture counts as corrupt. Decoders
/// share no state, so nothing half-done survives the unwinding. The panic hook still reports it.
pub(super) fn shielded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn run(bytes: &[u8], header: &Header) -> ImageResult<DynamicImage> {
    let decoder = open(bytes, header)?;
    if decoder.dimensions() != header.stored_size() {
        let lie = "the size differs from the one in the header";
        let format = decoder_format(header.format);
        let error = image::error::DecodingError::new(format.into(), lie);
        return Err(ImageError::Decoding(error));
    }
    DynamicImage::from_decoder(decoder)
}

fn open<'a>(bytes: &'a [u8], header: &Header) -> ImageResult<Box<dyn ImageDecoder + 'a>> {
    let reader = Cursor::new(bytes);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(header.scratch_bytes);
    if header.format == Format::Png {
        // This decoder allocates on construction.
        return Ok(Box::new(png::PngDecoder::with_limits(reader, limits)?));
    }
    let mut decoder: Box<dyn ImageDecoder> = match header.format {
        Format::Jpeg => Box::new(jpeg::JpegDecoder::new(reader)?),
        Format::Png | Format::Gif => Box::new(gif::GifDecoder::new(reader)?),
        Format::WebP => Box::new(webp::WebPDecoder::new(reader)?),
        Format::Bmp => Box::new(bmp::BmpDecoder::new(reader)?),
        Format::Tiff => Box::new(tiff::TiffDecoder::new(reader)?),
        Format::Pnm => Box::new(pnm::PnmDecoder::new(reader)?),
        Format::Qoi => Box::new(qoi::QoiDecoder::new(reader)?),
    };
    decoder.set_limits(limits)?;
    Ok(decoder)
}

fn decoder_format(format: Format) -> image::ImageFormat {
    match format {
        Format::Jpeg => image::ImageFormat::Jpeg,
        Format::Png => image::ImageFormat::Png,
        Format::Gif => image::ImageFormat::Gif,
        Format::WebP => image::ImageFormat::WebP,
        Format::Bmp => image::ImageFormat::Bmp,
        Format::Tiff => image::ImageFormat::Tiff,
        Format::Pnm => image::ImageFormat::Pnm,
        Format::Qoi => image::ImageFormat::Qoi,
    }
}
