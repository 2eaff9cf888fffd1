//! A picture as a person sees it.

use image::{GrayImage, RgbImage};

use super::convert::{self, Raster};
use super::{Channels, Filter, Header, PictureError, Region, decode, resize};

/// The whole picture, upright, in colour, its transparent parts on `background` (RGB), scaled to
/// `size` (width, height). CPU work: call it off the async runtime.
///
/// `header` must come from [`Header::read`] on the same bytes.
pub fn view(
    bytes: &[u8],
    header: &Header,
    background: [u8; 3],
    size: (u32, u32),
) -> Result<RgbImage, PictureError> {
    let image = decode::decode(bytes, header)?;
    let (raster, _) = convert::to_raster(image, Channels::Colour, background);
    let stored = match resize::swaps_sides(header.orientation) {
        true => (size.1, size.0),
        false => size,
    };
    let whole = Region::whole((raster.width, raster.height));
    let raster = if stored == (raster.width, raster.height) {
        raster
    } else {
        resize::resample(&raster, whole, stored, Filter::Bilinear)
    };
    let Raster { width, height, channels, pixels } = resize::upright(raster, header.orientation);
    let whole = "a raster's buffer has the length of its shape";
    Ok(match channels {
        Channels::Colour => RgbImage::from_raw(width, height, pixels).expect(whole),
        Channels::Grey => {
            let grey = GrayImage::from_raw(width, height, pixels).expect(whole);
            image::DynamicImage::ImageLuma8(grey).into_rgb8()
        }
    })
}
