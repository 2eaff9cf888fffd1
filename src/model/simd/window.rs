//! What the pixels of an output are made of.

use super::elements::Element;
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

    /// What `count` output pixels from `first` on see, `[count, kernel, kernel, channels]` with `stride`
    /// values from one to the next, in `rows` or where it is. `rows` has zeros where nothing is seen.
    pub(super) fn rows<'a, E: Element>(
        self,
        (x, size): (&'a [E], Grid),
        [first, count]: [usize; 2],
        (rows, stride): (&'a mut [E], usize),
    ) -> &'a [E] {
        let depth = self.depth();
        if self.is_pixel() && depth == stride {
            return &x[first * depth..][..count * depth];
        }
        for (pixel, row) in (first..first + count).zip(rows.chunks_exact_mut(stride)) {
            self.gather((x, size), pixel, &mut row[..depth]);
        }
        rows
    }

    /// Writes what an output pixel sees to `row`, `[kernel, kernel, channels]`, with zeros beyond the
    /// picture.
    fn gather<E: Element>(self, (x, size): (&[E], Grid), pixel: usize, row: &mut [E]) {
        let (line, column) = (pixel / size.out_width, pixel % size.out_width);
        let (picture, line) = (line / size.out_height, line % size.out_height);
        let [top, left] = [line, column].map(|at| at * self.stride);
        // Of the window's columns, those within the picture.
        let inside = self.padding.saturating_sub(left)
            ..self.kernel.min((size.width + self.padding).saturating_sub(left));
        let [start, end] = [inside.start, inside.end].map(|at| at * self.channels);
        let wide = self.kernel * self.channels;
        for (line, row) in row.chunks_exact_mut(wide).enumerate() {
            // Above the picture it wraps around to a large number.
            let line = (top + line).wrapping_sub(self.padding);
            if line >= size.height || inside.is_empty() {
                row.fill(E::default());
                continue;
            }
            let pixel =
                (picture * size.height + line) * size.width + left + inside.start - self.padding;
            let seen = &x[pixel * self.channels..][..end - start];
            // Most windows lie within the picture as a whole.
            if seen.len() == wide {
                row.copy_from_slice(seen);
                continue;
            }
            row[..start].fill(E::default());
            row[start..end].copy_from_slice(seen);
            row[end..].fill(E::default());
        }
    }
}
