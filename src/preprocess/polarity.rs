//! Dark on light or light on dark?

use super::convert::Raster;
use super::grid::Grid;

/// Half the window that a pixel is compared with, as a share of the picture's longer side.
const SURROUNDINGS: f64 = 0.12;
/// A pixel that differs this much from its surroundings stands out.
const FAINT: f32 = 20.0;
/// If a smaller share of the pixels stands out, the picture is blank.
const SPECKS: f32 = 0.002;
/// The ground is even if its standard deviation is less than this share of the contrast,
const EVEN: f64 = 0.12;
/// and at least this share of the picture's edge belongs to it.
const ENCLOSED: f64 = 0.95;

/// Whether strokes are darker than the ground; `None` if there are none.
///
/// If one of Otsu's two classes is of even brightness and encloses the other, it is the ground.
/// Otherwise the light is uneven. Strokes are few among the pixels around them, so they differ from
/// the mean of these more than the ground does: the sign of the third moment tells. Slow changes of
/// the light follow their own mean, and the edge of a shadow differs from it alike on both sides.
pub(super) fn dark_on_light(picture: &Raster) -> Option<bool> {
    let grid = Grid::of_luma(picture);
    let radius = (SURROUNDINGS * grid.width.max(grid.height) as f64).ceil() as usize;
    let relief = grid.above_mean(radius);
    let strong = relief.iter().filter(|v| v.abs() >= FAINT).count();
    if strong as f32 <= SPECKS * relief.len() as f32 {
        return None;
    }
    let has_even_ground = |grid: &Grid| otsu(grid).is_some_and(|split| split.on_even_ground(grid));
    if has_even_ground(&grid) {
        return Some(false);
    }
    if has_even_ground(&grid.inverted()) {
        return Some(true);
    }
    Some(relief.iter().map(|&v| f64::from(v).powi(3)).sum::<f64>() < 0.0)
}

/// The two classes of a grey picture.
pub(super) struct Split {
    /// Values above it are light.
    pub threshold: u8,
    pub dark_mean: f64,
    /// Standard deviation of the dark class.
    pub dark_deviation: f64,
    pub light_mean: f64,
}

impl Split {
    /// Whether the dark class of `picture` is a ground of even brightness around the light one.
    pub fn on_even_ground(&self, picture: &Grid) -> bool {
        let is_dark = |value: u8| value <= self.threshold;
        let dark = picture.edge().filter(|&value| is_dark(value)).count() as f64;
        let enclosed = dark >= ENCLOSED * picture.edge().count() as f64;
        let even = self.dark_deviation < EVEN * (self.light_mean - self.dark_mean);
        even && enclosed
    }
}

/// Otsu's threshold: the one with the largest variance between the classes (Otsu, 1979). `None`
/// if all values are the same.
pub(super) fn otsu(picture: &Grid) -> Option<Split> {
    let mut histogram = [0u32; 256];
    for &value in &picture.values {
        histogram[usize::from(value)] += 1;
    }
    let mut below = [Moments::default(); 256];
    let mut all = Moments::default();
    for (value, count) in histogram.into_iter().enumerate() {
        all = all.with(value as f64, count.into());
        below[value] = all;
    }
    let splits = (0u8..255).filter_map(|threshold| {
        let dark = below[usize::from(threshold)];
        let light_count = all.count - dark.count;
        if dark.count == 0.0 || light_count == 0.0 {
            return None;
        }
        let (dark_mean, light_mean) = (dark.sum / dark.count, (all.sum - dark.sum) / light_count);
        let between = dark.count * light_count * (light_mean - dark_mean).powi(2);
        let dark_deviation = (dark.squares / dark.count - dark_mean.powi(2)).max(0.0).sqrt();
        Some((between, Split { threshold, dark_mean, dark_deviation, light_mean }))
    });
    splits.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, split)| split)
}

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn with(self, value: f64, count: f64) -> Self {
        Self {
            count: self.count + count,
            sum: self.sum + count * value,
            squares: self.squares + count * value * value,
        }
    }
}
