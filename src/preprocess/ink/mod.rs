//! Ink framing: a digit, drawn or photographed, is brought to what MNIST looks like.
//!
//! MNIST's makers scaled each digit to fit a box of 20×20 pixels, aspect ratio kept and
//! antialiased, and placed it in a field of 28×28 with its centre of mass in the middle (LeCun,
//! Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998). Here:
//!
//! 1. The picture is shrunk to [`WORK_SIDE`] pixels.
//! 2. Light on dark or dark on light is decided.
//! 3. The ground is evened out: what a morphological opening with a window wider than the strokes
//!    leaves (uneven light, shadows) is taken off.
//! 4. Otsu's threshold finds strokes; specks, and what comes in from the edges, are dropped.
//! 5. Strokes thinner than MNIST's are thickened, or they would fade when scaled down.
//! 6. The box is scaled to 20 of 28 parts, and its centre of mass put in the middle.
//!
//! A picture that comes out of this nearly as it went in is taken as it is, unscaled: MNIST's own
//! digits are not scaled a second time.

mod strokes;

use image::metadata::Orientation;

use super::convert::Raster;
use super::grid::Grid;
use super::polarity::{Split, dark_on_light, otsu};
use super::{Channels, InputSpec, Polarity, Region, Shown, resize};
use crate::pair;
use strokes::Strokes;

/// Longer side of the picture that strokes are looked for in, pixels.
const WORK_SIDE: u32 = 256;
/// Half the opening's window, as shares of the picture's longer side. Narrow windows follow the
/// light best; the first that is wider than the strokes is taken.
const RADII: [f64; 3] = [0.05, 0.1, 0.2];
/// A window is too narrow if less than this share of the best contrast is left,
const CONTRAST: f64 = 0.8;
/// or if it is less than this many times as wide as the strokes that are left.
const MARGIN: f32 = 1.5;
/// The longer side of the box, as a share of the input: 20 of 28.
const BOX: f64 = 20.0 / 28.0;
/// MNIST's centres of mass are half a pixel of 28 right of and below the middle, on average: they
/// were placed by whole pixels.
const PLACEMENT: f64 = 0.5 / 28.0;
/// Strokes are thickened to this share of the box's longer side: 2.2 of 20 pixels. MNIST's median
/// is 2.8, its first percentile 2.
const THIN: f32 = 2.2 / 20.0;
/// A picture of the input's size is taken as it is if framing would move its middle by less than
/// this, pixels of 28,
const STILL: f64 = 1.5;
/// scale it by less than this factor,
const SAME_SCALE: f64 = 1.2;
/// and its ground is darker than this.
const DARK: f64 = 24.0;

/// The size (width, height) at which strokes are looked for in a picture of `size`, both as stored in the
/// file or both upright.
pub(super) fn work_size(size: (u32, u32), spec: &InputSpec) -> (u32, u32) {
    let work_side = WORK_SIDE.max(spec.width).max(spec.height);
    let scale = (f64::from(work_side) / f64::from(size.0.max(size.1))).min(1.0);
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    (side(size.0), side(size.1))
}

/// The picture at [`work_size`], upright.
pub(super) fn shrink(raster: &Raster, turn: Orientation, spec: &InputSpec) -> Raster {
    let stored = (raster.width, raster.height);
    let size = work_size(stored, spec);
    resize::upright(resize::resample(raster, Region::whole(stored), size, spec.filter), turn)
}

/// Frames the ink of `small`, grey, upright, and of [`work_size`]; the picture is `width` pixels wide.
/// `None` if there is none, as on a blank picture.
pub(super) fn frame(small: Raster, width: u32, spec: &InputSpec) -> Option<Shown> {
    let inverted = dark_on_light(&small)? && spec.polarity == Polarity::Auto;
    let small = if inverted { small.inverted() } else { small };
    let ink = Ink::of(&small)?;
    let region = frame_of(&ink, spec);

    let whole = Region::whole((small.width, small.height));
    let fits = (small.width, small.height) == (spec.width, spec.height);
    if fits && ink.ground < DARK && is_nearly(region, whole) {
        let region = whole;
        return Some(Shown { raster: small, region, inverted });
    }
    let shown = cut(&ink.values, region, spec);
    let zoom = f64::from(width) / whole.width;
    let region = Region {
        x: region.x * zoom,
        y: region.y * zoom,
        width: region.width * zoom,
        height: region.height * zoom,
    };
    Some(Shown { raster: shown, region, inverted })
}

/// Ink on a ground of 0, at most 255, and where it is.
struct Ink {
    values: Grid,
    strokes: Strokes,
    /// Mean of the ground that was taken off.
    ground: f64,
}

impl Ink {
    /// `None` if nothing is lighter than the ground.
    fn of(picture: &Raster) -> Option<Self> {
        let picture = Grid::of_luma(picture);
        let relief =
            Relief::on_even_ground(&picture).or_else(|| Relief::on_uneven_ground(&picture))?;
        Some(Self { values: relief.to_ink(), strokes: relief.strokes, ground: relief.ground })
    }
}

/// How far pixels rise above the ground.
struct Relief {
    height: Grid,
    split: Split,
    strokes: Strokes,
    /// Mean of the ground.
    ground: f64,
}

impl Relief {
    fn of(height: Grid, ground: f64) -> Option<Self> {
        let split = otsu(&height)?;
        let strokes = Strokes::find(&height, split.threshold)?;
        Some(Self { height, split, strokes, ground })
    }

    fn on_even_ground(picture: &Grid) -> Option<Self> {
        let split = otsu(picture).filter(|split| split.on_even_ground(picture))?;
        let ground = split.dark_mean.round() as u8;
        Self::of(picture.clone().map(|value| value.saturating_sub(ground)), split.dark_mean)
    }

    fn on_uneven_ground(picture: &Grid) -> Option<Self> {
        let longer = picture.width.max(picture.height) as f64;
        let relief = |share: f64| {
            let radius = (share * longer).ceil() as usize;
            let ground = picture.open(radius);
            let height = picture.clone().zip(&ground, |value, ground| value - ground);
            let sum: u64 = ground.values.iter().map(|&value| u64::from(value)).sum();
            let mean = sum as f64 / ground.values.len() as f64;
            Some((2 * radius + 1, Self::of(height, mean)?))
        };
        let [narrow, middle, wide] = RADII;
        let ((narrow, middle), wide) =
            pair::join(|| (relief(narrow), relief(middle)), || relief(wide));
        let mut reliefs: Vec<_> = [narrow, middle, wide].into_iter().flatten().collect();
        let contrast = |relief: &Self| relief.split.light_mean;
        let best = reliefs.iter().map(|(_, relief)| contrast(relief)).fold(0.0, f64::max);
        let fits = |(window, relief): &(usize, Self)| {
            let wide = *window as f32 >= MARGIN * relief.strokes.width();
            wide && contrast(relief) >= CONTRAST * best
        };
        let chosen = reliefs.iter().position(fits).or(reliefs.len().checked_sub(1))?;
        Some(reliefs.swap_remove(chosen).1)
    }

    /// Full ink on the strokes, none beyond their soft edges; thin strokes thickened.
    fn to_ink(&self) -> Grid {
        let Self { split, strokes, .. } = self;
        let reach = strokes.longer_side().div_ceil(20);
        let noise = (split.dark_mean + 2.0 * split.dark_deviation) as f32;
        let floor = noise.min(split.threshold.into());
        let full = (split.light_mean as f32).max(floor + 1.0);
        let shares: [u8; 256] = std::array::from_fn(|height| {
            let share = ((height as f32 - floor) / (full - floor)).clamp(0.0, 1.0);
            (255.0 * share).round() as u8
        });
        let near = strokes.mask.dilate(reach);
        let ink = near.zip(&self.height, |near, height| near & shares[usize::from(height)]);
        let missing = THIN * strokes.longer_side() as f32 - strokes.width();
        match (missing / 2.0).round() {
            more if more >= 1.0 => ink.dilate(more as usize),
            _ => ink,
        }
    }
}

/// The part of the working picture to show.
fn frame_of(ink: &Ink, spec: &InputSpec) -> Region {
    let strokes = &ink.strokes;
    let (width, height) = (f64::from(spec.width), f64::from(spec.height));
    let box_width = (strokes.right - strokes.left) as f64;
    let box_height = (strokes.bottom - strokes.top) as f64;
    // Working pixels for one of the input's.
    let scale = (box_width / (BOX * width)).max(box_height / (BOX * height));
    let (mut sum, mut sum_x, mut sum_y) = (0, 0, 0);
    for (y, row) in (0u64..).zip(ink.values.rows()) {
        let row_sum: u64 = row.iter().map(|&value| u64::from(value)).sum();
        sum += row_sum;
        sum_x += (0u64..).zip(row).map(|(x, &value)| x * u64::from(value)).sum::<u64>();
        sum_y += y * row_sum;
    }
    let mean = |moment: u64| moment as f64 / sum as f64 + 0.5;
    let (width, height) = (width * scale, height * scale);
    Region {
        x: mean(sum_x) - width * (0.5 + PLACEMENT),
        y: mean(sum_y) - height * (0.5 + PLACEMENT),
        width,
        height,
    }
}

/// Whether showing `region` or `whole` makes no difference worth a second resampling.
fn is_nearly(region: Region, whole: Region) -> bool {
    let middle = |start: f64, length: f64| start + length / 2.0;
    let right = middle(region.x, region.width) - middle(whole.x, whole.width);
    let down = middle(region.y, region.height) - middle(whole.y, whole.height);
    right.abs() < STILL / 28.0 * whole.width
        && down.abs() < STILL / 28.0 * whole.height
        && (1.0 / SAME_SCALE..SAME_SCALE).contains(&(region.width / whole.width))
}

/// Scales `region`, which may reach past the edges onto empty ground, to the input's size.
fn cut(ink: &Grid, region: Region, spec: &InputSpec) -> Raster {
    let (left, top) = (region.x.floor(), region.y.floor());
    let inner = Region { x: region.x - left, y: region.y - top, ..region };
    let width = (inner.x + inner.width).ceil();
    let height = (inner.y + inner.height).ceil();
    let part = ink.part([left, top].map(|at| at as isize), [width, height].map(|n| n as usize));
    let canvas = Raster {
        width: width as u32,
        height: height as u32,
        channels: Channels::Grey,
        pixels: part.values,
    };
    resize::resample(&canvas, inner, (spec.width, spec.height), spec.filter)
}
