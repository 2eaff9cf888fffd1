//! What the pixels of an output are made of.

use super::tiles::Grid;

/// What an output pixel depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Window {
    /// Whether it is the pixel itself.
    pub(super) fn is_pixel(self) -> bool {
        (self.kernel, self.stride, self.padding) == (1, 1, 0)
    }

    pub(super) fn depth(self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// How many there are along a side; none if there is no room for one.
    pub(super) fn outputs(self, side: usize) -> Option<usize> {
        Some((side + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }

    /// What `count` output pixels from `first` on see, `[count, kernel, kernel, channels]`, in `rows` or
    /// where it is.
    #[inline(always)]
    pub(super) fn rows<'a>(
        self,
        (x, size): (&'a [f32], Grid),
        [first, count]: [usize; 2],
        rows: &'a mut [f32],
    ) -> &'a [f32] {
        let depth = self.depth();
        if self.is_pixel() {
            return &x[first * depth..][..count * depth];
        }
        for (pixel, row) in (first..first + count).zip(rows.chunks_exact_mut(depth)) {
            self.gather((x, size), pixel, row);
        }
        rows
    }

    /// Writes what an output pixel sees to `row`, `[kernel, kernel, channels]`, with zeros beyond the
    /// picture.
    #[inline(always)]
    fn gather(self, (x, size): (&[f32], Grid), pixel: usize, row: &mut [f32]) {
        let (line, column) = (pixel / size.out_width, pixel % size.out_width);
        let (picture, line) = (line / size.out_height, line % size.out_height);
        let [top, left] = [line, column].map(|at| at * self.stride);
        // Of the window's columns, those within the picture.
        let inside = self.padding.saturating_sub(left)
            ..self.kernel.min((size.width + self.padding).saturating_sub(left));
        let wide = self.kernel * self.channels;
        for (line, row) in row.chunks_exact_mut(wide).enumerate() {
            // Above the picture it wraps around to a large number.
            let line = (top + line).wrapping_sub(self.padding);
            if line >= size.height || inside.is_empty() {
                row.fill(0.0);
                continue;
            }
            let [start, end] = [inside.start, inside.end].map(|at| at * self.channels);
            let pixel =
                (picture * size.height + line) * size.width + left + inside.start - self.padding;
            row[..start].fill(0.0);
            row[start..end].copy_from_slice(&x[pixel * self.channels..][..end - start]);
            row[end..].fill(0.0);
        }
    }
}
