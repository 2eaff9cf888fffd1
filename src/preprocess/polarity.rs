//! Dark on light or light on dark?

use super::convert::Raster;

/// Below this distance of the two grey classes a picture counts as blank.
const FAINT: f64 = 12.0;
/// With this share of the border in one class, that class is the ground.
const CLEAR_BORDER: f64 = 0.6;

/// Otsu's threshold splits a picture in two classes; the one that holds the border is the ground,
/// or, with an undecided border, the larger one: strokes are the minority. A blank picture is
/// neither (`false`).
pub(super) fn is_dark_on_light(raster: &Raster) -> bool {
    let luma = raster.luma();
    let Some(split) = otsu(&luma) else {
        return false;
    };
    if split.light_mean - split.dark_mean < FAINT {
        return false;
    }
    let share = |values: &mut dyn Iterator<Item = u8>| {
        let (mut light, mut all) = (0.0, 0.0);
        for value in values {
            all += 1.0;
            if value > split.threshold {
                light += 1.0;
            }
        }
        light / all
    };
    let (width, height) = (raster.width as usize, raster.height as usize);
    let ring = width.min(height).div_ceil(16);
    let on_border = |i: usize| {
        let (x, y) = (i % width, i / width);
        x < ring || y < ring || x + ring >= width || y + ring >= height
    };
    let border_light =
        share(&mut luma.iter().enumerate().filter(|(i, _)| on_border(*i)).map(|(_, &v)| v));
    if border_light >= CLEAR_BORDER {
        true
    } else if border_light <= 1.0 - CLEAR_BORDER {
        false
    } else {
        share(&mut luma.iter().copied()) > 0.5
    }
}

/// The two classes of a grey picture.
pub(super) struct Split {
    /// Values above it are light.
    pub threshold: u8,
    pub dark_mean: f64,
    pub light_mean: f64,
}

/// Otsu's threshold: the one with the largest variance between the classes (Otsu, 1979). `None`
/// if all values are the same.
pub(super) fn otsu(values: &[u8]) -> Option<Split> {
    let mut histogram = [0u64; 256];
    for &value in values {
        histogram[usize::from(value)] += 1;
    }
    let count = values.len() as f64;
    let sum: f64 = (0u8..=255).map(|v| f64::from(v) * histogram[usize::from(v)] as f64).sum();
    let mut best: Option<(f64, Split)> = None;
    let (mut dark_count, mut dark_sum) = (0.0, 0.0);
    for threshold in 0u8..255 {
        let here = histogram[usize::from(threshold)] as f64;
        dark_count += here;
        dark_sum += here * f64::from(threshold);
        let light_count = count - dark_count;
        if dark_count == 0.0 || light_count == 0.0 {
            continue;
        }
        let (dark_mean, light_mean) = (dark_sum / dark_count, (sum - dark_sum) / light_count);
        let between = dark_count * light_count * (light_mean - dark_mean).powi(2);
        if best.as_ref().is_none_or(|(most, _)| between > *most) {
            let split = Split { threshold, dark_mean, light_mean };
            best = Some((between, split));
        }
    }
    best.map(|(_, split)| split)
}
