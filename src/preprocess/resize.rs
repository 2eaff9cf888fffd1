//! Region, antialiased resize and EXIF orientation.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};

use super::convert::Raster;
use super::{Channels, Filter, Header, InputSpec, Region, Resize};
use crate::pair;

/// The part of a picture of `size` (width, height) that the network sees.
pub(super) fn region(size: (u32, u32), spec: &InputSpec) -> Region {
    let whole = Region::whole(size);
    let (width, height) = (whole.width, whole.height);
    if spec.resize == Resize::Squash {
        return whole;
    }
    let aspect = f64::from(spec.width) / f64::from(spec.height);
    let (cut_width, cut_height) = (width.min(height * aspect), height.min(width / aspect));
    Region {
        x: (width - cut_width) / 2.0,
        y: (height - cut_height) / 2.0,
        width: cut_width,
        height: cut_height,
    }
}

/// What the network sees of `raster`, which has all pixels as stored in the file, scaled and turned
/// upright. Regions are centred, so turning the small result is the same as turning the large picture
/// first.
pub(super) fn shrink_upright(raster: &Raster, header: &Header, spec: &InputSpec) -> Raster {
    let (region, size) = stored_region(header, spec);
    upright(resample(raster, region, size, spec.filter), header.orientation)
}

/// What the network sees of a picture, and the size that it gets, both as stored in the file, before
/// EXIF orientation.
pub(super) fn stored_region(header: &Header, spec: &InputSpec) -> (Region, (u32, u32)) {
    let mut stored = spec.clone();
    if swaps_sides(header.orientation) {
        std::mem::swap(&mut stored.width, &mut stored.height);
    }
    (region(header.stored_size(), &stored), stored.size())
}

/// Whether a picture's width becomes its height.
pub(super) fn swaps_sides(turn: Orientation) -> bool {
    use Orientation::*;
    matches!(turn, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Scales `region`, which must lie within `raster`, to `size` (width, height).
pub(super) fn resample(
    raster: &Raster,
    region: Region,
    size: (u32, u32),
    filter: Filter,
) -> Raster {
    let (width, height) = size;
    // The resizer goes down the columns first. Where that would lengthen them, a wide and flat
    // picture would swell, so its rows are shortened beforehand.
    if f64::from(height) > region.height && width < raster.width {
        let rows = Region { y: 0.0, height: f64::from(raster.height), ..region };
        let columns = Region { x: 0.0, width: f64::from(width), ..region };
        let narrow_size = (width, raster.height);
        let narrow = convolve(raster, rows, narrow_size, filter);
        return convolve(&narrow, columns, size, filter);
    }
    convolve(raster, region, size, filter)
}

/// In halves, at the same time if there is somebody for the second one. Each output is the sum of the same
/// pixels as otherwise, since what is beyond a region counts as well.
fn convolve(
    raster: &Raster,
    region: Region,
    (width, height): (u32, u32),
    filter: Filter,
) -> Raster {
    let upper = height / 2;
    if upper == 0 {
        return convolve_part(raster, region, (width, height), filter);
    }
    let above = region.height * f64::from(upper) / f64::from(height);
    let below = Region { y: region.y + above, height: region.height - above, ..region };
    let part = |region, height| convolve_part(raster, region, (width, height), filter).pixels;
    let (mut pixels, mut lower) = pair::join(
        || part(Region { height: above, ..region }, upper),
        || part(below, height - upper),
    );
    pixels.append(&mut lower);
    Raster { width, height, channels: raster.channels, pixels }
}

fn convolve_part(
    raster: &Raster,
    region: Region,
    (width, height): (u32, u32),
    filter: Filter,
) -> Raster {
    let kind = match raster.channels {
        Channels::Grey => PixelType::U8,
        Channels::Colour => PixelType::U8x3,
    };
    let source = ImageRef::new(raster.width, raster.height, &raster.pixels, kind)
        .expect("a raster's buffer has the length of its shape");
    let mut target = Image::new(width, height, kind);
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .crop(region.x, region.y, region.width, region.height)
        .use_alpha(false);
    Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("regions lie within the picture and pixel types agree");
    Raster { width, height, channels: raster.channels, pixels: target.into_vec() }
}

/// `raster` turned as a person sees it.
pub(super) fn upright(raster: Raster, turn: Orientation) -> Raster {
    if turn == Orientation::NoTransforms {
        return raster;
    }
    let Raster { width, height, channels, pixels } = raster;
    let whole = "a raster's buffer has the length of its shape";
    let mut image: DynamicImage = match channels {
        Channels::Grey => GrayImage::from_raw(width, height, pixels).expect(whole).into(),
        Channels::Colour => RgbImage::from_raw(width, height, pixels).expect(whole).into(),
    };
    image.apply_orientation(turn);
    Raster { width: image.width(), height: image.height(), channels, pixels: image.into_bytes() }
}
