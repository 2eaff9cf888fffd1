//! Grey pictures: what telling ink from ground takes.

use super::convert::Raster;

/// Row-major values, `[height, width]`.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub width: usize,
    pub height: usize,
    pub values: Vec<u8>,
}

impl Grid {
    /// Grey values, 0–255.
    pub fn of_luma(raster: &Raster) -> Self {
        let (width, height) = (raster.width as usize, raster.height as usize);
        Self { width, height, values: raster.luma() }
    }

    /// `width` by `height` pixels from `left` and `top` on, with zeros where they lie outside.
    pub fn part(&self, [left, top]: [isize; 2], [width, height]: [usize; 2]) -> Self {
        let mut part = Self { width, height, values: vec![0; width * height] };
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

    /// The outermost pixels; the corners more than once.
    pub fn edge(&self) -> impl Iterator<Item = u8> {
        let sides = self.rows().flat_map(|row| row.first().into_iter().chain(row.last()));
        let ends = [self.rows().next(), self.rows().last()];
        sides.chain(ends.into_iter().flatten().flatten()).copied()
    }

    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.values.chunks(self.width)
    }

    pub fn map(mut self, value: impl Fn(u8) -> u8) -> Self {
        self.values.iter_mut().for_each(|v| *v = value(*v));
        self
    }

    pub fn inverted(self) -> Self {
        self.map(|value| 255 - value)
    }

    /// `value(mine, theirs)` pixel by pixel.
    pub fn zip(mut self, other: &Self, value: impl Fn(u8, u8) -> u8) -> Self {
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            *mine = value(*mine, *theirs);
        }
        self
    }

    /// The largest value within `radius` to all sides, a square window cut off at the edges.
    pub fn dilate(&self, radius: usize) -> Self {
        let window = 2 * radius + 1;
        let edge = vec![u8::MIN; radius];
        let mut rows = Vec::with_capacity((self.width + 2 * radius) * self.height);
        for row in self.rows() {
            [&edge, row, &edge].iter().for_each(|part| rows.extend_from_slice(part));
        }
        let across = running_max(rows, window, 1);

        let edge = vec![u8::MIN; radius * self.width];
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
        self.clone().inverted().dilate(radius).inverted()
    }

    /// Takes away what is brighter than its surroundings and narrower than `2 * radius + 1`: what
    /// is left is the ground below the strokes.
    pub fn open(&self, radius: usize) -> Self {
        self.erode(radius).dilate(radius)
    }

    /// How far each pixel is above the mean within `radius`, a square window cut off at the edges.
    pub fn above_mean(&self, radius: usize) -> Vec<f32> {
        let stride = self.width + 1;
        // Sums of all that lies left of and above a corner, modulo 2^32, as those of windows are right.
        let mut sums = vec![0u32; stride];
        for (y, row) in self.rows().enumerate() {
            let mut sum = 0u32;
            sums.push(0);
            for (x, &value) in row.iter().enumerate() {
                sum = sum.wrapping_add(value.into());
                sums.push(sums[y * stride + x + 1].wrapping_add(sum));
            }
        }
        let reach =
            |at: usize, length: usize| at.saturating_sub(radius)..(at + radius + 1).min(length);
        let widths: Vec<_> = (0..self.width).map(|x| reach(x, self.width).len() as f32).collect();
        let (mut columns, mut differences) = (Vec::new(), Vec::with_capacity(self.values.len()));
        for (y, row) in self.rows().enumerate() {
            let rows = reach(y, self.height);
            let [above, below] = [rows.start, rows.end].map(|y| &sums[y * stride..][..stride]);
            // Of all that lies to the left; the same for as far as a window reaches beyond the edges.
            columns.clear();
            columns.resize(radius, 0);
            columns
                .extend(below.iter().zip(above).map(|(below, above)| below.wrapping_sub(*above)));
            columns.resize(columns.len() + radius, columns[radius + self.width]);
            let window = columns[2 * radius + 1..].iter().zip(&columns);
            let means = window.zip(&widths).map(|((right, left), width)| {
                right.wrapping_sub(*left) as f32 / (rows.len() as f32 * width)
            });
            differences.extend(row.iter().zip(means).map(|(&value, mean)| f32::from(value) - mean));
        }
        differences
    }
}

/// The maxima of `count` values `stride` apart, starting at each value; those that would reach past
/// the end mean nothing. Windows double in length, so that this takes log `count` passes.
fn running_max(mut values: Vec<u8>, count: usize, stride: usize) -> Vec<u8> {
    let mut longer = Vec::with_capacity(values.len());
    let mut covered = 1;
    while covered < count {
        let step = covered.min(count - covered);
        let ahead = values.get(step * stride..).unwrap_or_default();
        longer.clear();
        longer.extend(values.iter().zip(ahead).map(|(a, b)| *a.max(b)));
        std::mem::swap(&mut values, &mut longer);
        covered += step;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `value(x, y)` for all pixels.
    fn of(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Grid {
        let values = (0..width * height).map(|i| value(i % width, i / width)).collect();
        Grid { width, height, values }
    }

    #[test]
    fn dilation_takes_the_largest_of_a_square_window() {
        let grid = of(13, 7, |x, y| ((x * 31 + y * 17) % 23) as u8);
        for radius in [0, 1, 2, 5, 20] {
            let expected = of(13, 7, |x, y| {
                let near = |a: usize, b: usize| a.abs_diff(b) <= radius;
                let all = (0..7).flat_map(|v| (0..13).map(move |u| (u, v)));
                let window = all.filter(|&(u, v)| near(u, x) && near(v, y));
                window.map(|(u, v)| grid.values[v * 13 + u]).fold(0, u8::max)
            });
            assert_eq!(grid.dilate(radius).values, expected.values, "radius {radius}");
        }
    }

    #[test]
    fn a_part_may_reach_past_the_edges() {
        let grid = of(4, 3, |x, y| (1 + x + 10 * y) as u8);
        for (place, [width, height]) in [
            ([1, 1], [2, 2]),
            ([-2, -1], [3, 5]),
            ([2, 1], [9, 9]),
            ([-1, -1], [6, 5]),
            ([7, 0], [2, 2]),
        ] {
            let part = grid.part(place, [width, height]);
            let [left, top] = place;
            let expected = of(width, height, |x, y| {
                let (x, y) = (x as isize + left, y as isize + top);
                let is_inside = (0..4).contains(&x) && (0..3).contains(&y);
                if is_inside { (1 + x + 10 * y) as u8 } else { 0 }
            });
            assert_eq!(part.values, expected.values, "{place:?}");
        }
        assert!(grid.part([9, 9], [0, 0]).values.is_empty());
    }

    #[test]
    fn opening_removes_strokes_and_keeps_the_ground() {
        let ground = of(20, 10, |_, y| if y < 5 { 10 } else { 90 });
        let stroked = of(20, 10, |x, y| if x / 3 == 3 { 200 } else { ground.values[y * 20 + x] });
        assert_eq!(stroked.open(2).values, ground.values);
    }

    #[test]
    fn the_mean_is_that_of_what_is_left_of_the_window() {
        let grid = of(5, 4, |x, y| (x * x + 10 * y) as u8);
        for radius in [0, 1, 2, 7] {
            let above = grid.above_mean(radius);
            for (i, above) in above.into_iter().enumerate() {
                let near = |a: usize, b: usize| a.abs_diff(b) <= radius;
                let window = (0..20).filter(|j| near(i % 5, j % 5) && near(i / 5, j / 5));
                let values: Vec<_> = window.map(|j| f32::from(grid.values[j])).collect();
                let mean = values.iter().sum::<f32>() / values.len() as f32;
                assert!((f32::from(grid.values[i]) - mean - above).abs() < 1e-4, "{radius}, {i}");
            }
        }
    }
}
