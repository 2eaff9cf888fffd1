//! Grey pictures in floating point: what telling ink from ground takes.

use super::convert::Raster;

/// Row-major values, `[height, width]`.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f32>,
}

impl Grid {
    /// `value(x, y)` for all pixels.
    pub fn of(width: usize, height: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            values.extend((0..width).map(|x| value(x, y)));
        }
        Self { width, height, values }
    }

    /// Grey values, 0–255.
    pub fn of_luma(raster: &Raster) -> Self {
        let values = raster.luma().into_iter().map(f32::from).collect();
        Self { width: raster.width as usize, height: raster.height as usize, values }
    }

    /// `width` by `height` pixels from `left` and `top` on, with zeros where they lie outside.
    pub fn part(&self, [left, top]: [isize; 2], [width, height]: [usize; 2]) -> Self {
        let mut part = Self { width, height, values: vec![0.0; width * height] };
        // Columns of both that show the same.
        let first = left.max(0) as usize;
        let end = left.saturating_add_unsigned(width).clamp(0, self.width as isize) as usize;
        if first >= end {
            return part;
        }
        let start = first.saturating_add_signed(left.saturating_neg());
        for (y, row) in part.values.chunks_mut(width).enumerate() {
            let place = usize::try_from(top.saturating_add_unsigned(y)).ok();
            if let Some(y) = place.filter(|&y| y < self.height) {
                let seen = &self.values[y * self.width..][first..end];
                row[start..start + seen.len()].copy_from_slice(seen);
            }
        }
        part
    }

    /// All `(x, y, value)`.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let places = self.values.iter().enumerate();
        places.map(|(i, &value)| (i % self.width, i / self.width, value))
    }

    /// The outermost pixels; the corners more than once.
    pub fn edge(&self) -> impl Iterator<Item = f32> {
        let sides = self.rows().flat_map(|row| row.first().into_iter().chain(row.last()));
        let ends = [self.rows().next(), self.rows().last()];
        sides.chain(ends.into_iter().flatten().flatten()).copied()
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks(self.width)
    }

    pub fn map(mut self, value: impl Fn(f32) -> f32) -> Self {
        self.values.iter_mut().for_each(|v| *v = value(*v));
        self
    }

    /// `value(mine, theirs)` pixel by pixel.
    pub fn zip(mut self, other: &Self, value: impl Fn(f32, f32) -> f32) -> Self {
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            *mine = value(*mine, *theirs);
        }
        self
    }

    /// The values rounded and clipped to 0–255.
    pub fn to_bytes(&self) -> Vec<u8> {
        // By way of `i32`, for which there are instructions.
        self.values.iter().map(|value| (value + 0.5).clamp(0.0, 255.0) as i32 as u8).collect()
    }

    /// The largest value within `radius` to all sides, a square window cut off at the edges.
    pub fn dilate(&self, radius: usize) -> Self {
        let window = 2 * radius + 1;
        let edge = vec![f32::NEG_INFINITY; radius];
        let mut rows = Vec::with_capacity((self.width + 2 * radius) * self.height);
        for row in self.rows() {
            [&edge, row, &edge].iter().for_each(|part| rows.extend_from_slice(part));
        }
        let across = running_max(rows, window, 1);

        let edge = vec![f32::NEG_INFINITY; radius * self.width];
        let mut columns = edge.clone();
        for row in across.chunks(self.width + 2 * radius) {
            columns.extend_from_slice(&row[..self.width]);
        }
        columns.extend_from_slice(&edge);
        let mut values = running_max(columns, window, self.width);
        values.truncate(self.values.len());
        Self { values, ..*self }
    }

    /// The smallest value within `radius`, as [`Grid::dilate`].
    pub fn erode(&self, radius: usize) -> Self {
        self.clone().map(|v| -v).dilate(radius).map(|v| -v)
    }

    /// Takes away what is brighter than its surroundings and narrower than `2 * radius + 1`: what
    /// is left is the ground below the strokes.
    pub fn open(&self, radius: usize) -> Self {
        self.erode(radius).dilate(radius)
    }

    /// The mean within `radius`, a square window cut off at the edges.
    pub fn blur(&self, radius: usize) -> Self {
        let stride = self.width + 1;
        // Sums of all that lies left of and above a corner.
        let mut sums = vec![0.0f64; stride * (self.height + 1)];
        for (y, row) in self.rows().enumerate() {
            let mut sum = 0.0;
            for (x, &value) in row.iter().enumerate() {
                sum += f64::from(value);
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + sum;
            }
        }
        Self::of(self.width, self.height, |x, y| {
            let (left, right) = (x.saturating_sub(radius), (x + radius + 1).min(self.width));
            let (top, bottom) = (y.saturating_sub(radius), (y + radius + 1).min(self.height));
            let at = |x: usize, y: usize| sums[y * stride + x];
            let sum = at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top);
            (sum / ((right - left) * (bottom - top)) as f64) as f32
        })
    }
}

/// The maxima of `count` values `stride` apart, starting at each value; those that would reach past
/// the end mean nothing. Windows double in length, so that this takes log `count` passes.
fn running_max(mut values: Vec<f32>, count: usize, stride: usize) -> Vec<f32> {
    let mut longer = Vec::with_capacity(values.len());
    let mut covered = 1;
    while covered < count {
        let step = covered.min(count - covered);
        let ahead = values.get(step * stride..).unwrap_or_default();
        longer.clear();
        longer.extend(values.iter().zip(ahead).map(|(a, b)| if a > b { *a } else { *b }));
        std::mem::swap(&mut values, &mut longer);
        covered += step;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dilation_takes_the_largest_of_a_square_window() {
        let grid = Grid::of(13, 7, |x, y| ((x * 31 + y * 17) % 23) as f32);
        for radius in [0, 1, 2, 5, 20] {
            let expected = Grid::of(13, 7, |x, y| {
                let near = |a: usize, b: usize| a.abs_diff(b) <= radius;
                let all = (0..7).flat_map(|v| (0..13).map(move |u| (u, v)));
                let window = all.filter(|&(u, v)| near(u, x) && near(v, y));
                window.map(|(u, v)| grid.values[v * 13 + u]).fold(0.0, f32::max)
            });
            assert_eq!(grid.dilate(radius).values, expected.values, "radius {radius}");
        }
    }

    #[test]
    fn a_part_may_reach_past_the_edges() {
        let grid = Grid::of(4, 3, |x, y| (1 + x + 10 * y) as f32);
        for (place, [width, height]) in [
            ([1, 1], [2, 2]),
            ([-2, -1], [3, 5]),
            ([2, 1], [9, 9]),
            ([-1, -1], [6, 5]),
            ([7, 0], [2, 2]),
        ] {
            let part = grid.part(place, [width, height]);
            let [left, top] = place;
            let expected = Grid::of(width, height, |x, y| {
                let (x, y) = (x as isize + left, y as isize + top);
                let is_inside = (0..4).contains(&x) && (0..3).contains(&y);
                if is_inside { (1 + x + 10 * y) as f32 } else { 0.0 }
            });
            assert_eq!(part.values, expected.values, "{place:?}");
        }
        assert!(grid.part([9, 9], [0, 0]).values.is_empty());
    }

    #[test]
    fn opening_removes_strokes_and_keeps_the_ground() {
        let ground = Grid::of(20, 10, |_, y| if y < 5 { 10.0 } else { 90.0 });
        let stroked =
            Grid::of(20, 10, |x, y| if x / 3 == 3 { 200.0 } else { ground.values[y * 20 + x] });
        assert_eq!(stroked.open(2).values, ground.values);
    }

    #[test]
    fn blur_keeps_the_mean_of_the_window() {
        let grid = Grid::of(5, 4, |x, y| (x + 10 * y) as f32);
        let blurred = grid.blur(1);
        assert_eq!(blurred.values[0], 5.5);
        assert_eq!(blurred.values[2 * 5 + 2], 22.0);
    }
}
