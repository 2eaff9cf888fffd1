//! Random changes to training pictures that keep their meaning.

use fast_image_resize as fir;
use rand::{Rng, RngExt};

/// What may be done to a picture. Defaults per preset are in [`super::recipe`].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Augment {
    pub crop: Crop,
    /// Mirror left and right in half of the cases.
    pub flip: bool,
    /// Largest relative change of brightness, contrast and saturation, 0 to 1.
    pub jitter: f32,
    /// Side of a square of grey, laid over the picture at a random place, as a share of the
    /// picture's side, 0 to 1 (DeVries & Taylor 2017, arXiv:1708.04552).
    pub cutout: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Shifted by up to this many pixels either way; what comes in from outside repeats the edge.
    Shifted(u32),
    /// A random part of at least this share of the area, aspect ratio 3:4 to 4:3, scaled to size.
    Resized(f32),
    /// Rotated by up to 12°, scaled by up to 15 %, sheared and shifted by up to two pixels.
    Warped,
}

/// Near the mean of most photographs, where it says least.
const MIDDLE_GREY: u8 = 128;

/// Size of pictures `[H, W, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
}

impl Size {
    pub fn bytes(self) -> usize {
        self.width * self.height * self.channels
    }
}

impl Augment {
    /// A changed copy of a picture and its size, `[H, W, C]`, brought to the size `to`.
    pub fn apply(&self, source: (&[u8], Size), to: Size, rng: &mut impl Rng) -> Vec<u8> {
        let mut pixels = match self.crop {
            Crop::Shifted(reach) => shifted(source, to, reach, rng),
            Crop::Resized(least) => resized(source, to, least, rng),
            Crop::Warped => warped(source, to, rng),
        };
        if self.flip && rng.random::<bool>() {
            mirror(&mut pixels, to);
        }
        if self.jitter > 0.0 {
            jitter(&mut pixels, to, self.jitter, rng);
        }
        if self.cutout > 0.0 {
            cut_out(&mut pixels, to, self.cutout, rng);
        }
        pixels
    }
}

fn shifted((pixels, from): (&[u8], Size), to: Size, reach: u32, rng: &mut impl Rng) -> Vec<u8> {
    let reach = i64::from(reach);
    let mut offset =
        |from: usize, to: usize| (from as i64 - to as i64) / 2 + rng.random_range(-reach..=reach);
    let (left, top) = (offset(from.width, to.width), offset(from.height, to.height));
    let inside = |at: i64, side: usize| at.clamp(0, side as i64 - 1) as usize;
    let mut out = Vec::with_capacity(to.bytes());
    for y in 0..to.height as i64 {
        let row = inside(y + top, from.height) * from.width;
        for x in 0..to.width as i64 {
            let at = (row + inside(x + left, from.width)) * from.channels;
            out.extend_from_slice(&pixels[at..at + from.channels]);
        }
    }
    out
}

fn resized((pixels, from): (&[u8], Size), to: Size, least: f32, rng: &mut impl Rng) -> Vec<u8> {
    let area = rng.random_range(least.min(1.0)..=1.0) as f64;
    let ratio = rng.random_range((0.75f64).ln()..=(4.0f64 / 3.0).ln()).exp();
    let (full_width, full_height) = (from.width as f64, from.height as f64);
    let width = (full_width * (area * ratio).sqrt()).clamp(1.0, full_width);
    let height = (full_height * (area / ratio).sqrt()).clamp(1.0, full_height);
    let left = rng.random::<f64>() * (full_width - width);
    let top = rng.random::<f64>() * (full_height - height);
    let pixel_type = if from.channels == 1 { fir::PixelType::U8 } else { fir::PixelType::U8x3 };
    let options = fir::ResizeOptions::new()
        .crop(left, top, width, height)
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear));
    let source =
        fir::images::ImageRef::new(from.width as u32, from.height as u32, pixels, pixel_type)
            .expect("a picture is as long as its size says");
    let mut target = fir::images::Image::new(to.width as u32, to.height as u32, pixel_type);
    fir::Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("the crop lies inside the picture");
    target.into_vec()
}

/// Reads `source` through a random affine map, bilinearly; outside lies the ground, 0.
fn warped((pixels, from): (&[u8], Size), to: Size, rng: &mut impl Rng) -> Vec<u8> {
    let angle = rng.random_range(-12.0f32..=12.0).to_radians();
    let (zoom_x, zoom_y) = (rng.random_range(0.87..=1.15), rng.random_range(0.87..=1.15));
    let shear = rng.random_range(-0.15f32..=0.15);
    let shift = [rng.random_range(-2.0f32..=2.0), rng.random_range(-2.0f32..=2.0)];
    let (sin, cos) = angle.sin_cos();
    let matrix: [f32; 4] =
        [cos * zoom_x, (-sin + shear) * zoom_x, (sin + shear) * zoom_y, cos * zoom_y];
    let (centre_x, centre_y) = ((from.width as f32 - 1.0) / 2.0, (from.height as f32 - 1.0) / 2.0);
    let mut out = Vec::with_capacity(to.bytes());
    for y in 0..to.height {
        for x in 0..to.width {
            let dx = x as f32 - (to.width as f32 - 1.0) / 2.0;
            let dy = y as f32 - (to.height as f32 - 1.0) / 2.0;
            let at_x = matrix[0] * dx + matrix[1] * dy + centre_x + shift[0];
            let at_y = matrix[2] * dx + matrix[3] * dy + centre_y + shift[1];
            for channel in 0..from.channels {
                out.push(bilinear((pixels, from), [at_x, at_y], channel));
            }
        }
    }
    out
}

fn bilinear((pixels, size): (&[u8], Size), [x, y]: [f32; 2], channel: usize) -> u8 {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = (x - left, y - top);
    let at = |x: f32, y: f32| {
        let inside = x >= 0.0 && y >= 0.0 && x < size.width as f32 && y < size.height as f32;
        if !inside {
            return 0.0;
        }
        f32::from(pixels[(y as usize * size.width + x as usize) * size.channels + channel])
    };
    let upper = at(left, top) * (1.0 - right_share) + at(left + 1.0, top) * right_share;
    let lower = at(left, top + 1.0) * (1.0 - right_share) + at(left + 1.0, top + 1.0) * right_share;
    (upper * (1.0 - bottom_share) + lower * bottom_share).round() as u8
}

fn mirror(pixels: &mut [u8], size: Size) {
    for row in pixels.chunks_exact_mut(size.width * size.channels) {
        for x in 0..size.width / 2 {
            let other = size.width - 1 - x;
            for channel in 0..size.channels {
                row.swap(x * size.channels + channel, other * size.channels + channel);
            }
        }
    }
}

/// Brightness and contrast about the middle grey, saturation about each pixel's own grey.
fn jitter(pixels: &mut [u8], size: Size, most: f32, rng: &mut impl Rng) {
    let mut factor = || 1.0 + rng.random_range(-most..=most);
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    for pixel in pixels.chunks_exact_mut(size.channels) {
        let grey = pixel.iter().map(|&v| f32::from(v)).sum::<f32>() / size.channels as f32;
        for value in pixel {
            let saturated = grey + (f32::from(*value) - grey) * saturation;
            *value = ((saturated * brightness - 128.0) * contrast + 128.0).round() as u8;
        }
    }
}

/// The square's centre lies anywhere in the picture, so a part of it may lie outside.
fn cut_out(pixels: &mut [u8], size: Size, share: f32, rng: &mut impl Rng) {
    let mut span = |side: usize| {
        let half = (side as f32 * share / 2.0).round() as usize;
        let centre = rng.random_range(0..side);
        centre.saturating_sub(half)..(centre + half).min(side)
    };
    let (columns, rows) = (span(size.width), span(size.height));
    for row in pixels.chunks_exact_mut(size.width * size.channels).take(rows.end).skip(rows.start) {
        row[columns.start * size.channels..columns.end * size.channels].fill(MIDDLE_GREY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn a_cut_out_square_is_grey_and_of_the_size_asked_for() {
        let size = Size { width: 20, height: 20, channels: 3 };
        let cut = Augment { crop: Crop::Shifted(0), flip: false, jitter: 0.0, cutout: 0.25 };
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let white = vec![255; size.bytes()];
        let grey = |pixels: Vec<u8>| pixels.chunks(3).filter(|&pixel| pixel == [128; 3]).count();
        let counts: Vec<_> =
            (0..200).map(|_| grey(cut.apply((&white, size), size, &mut rng))).collect();
        // 25 % of 20 is 5, rounded to an even side; less where it reaches past the edge.
        assert_eq!(counts.iter().max(), Some(&36));
        assert!(counts.iter().all(|&count| (9..=36).contains(&count)), "{counts:?}");
    }
}
