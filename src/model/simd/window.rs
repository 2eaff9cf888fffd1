//! What the pixels of an output are made of.

use super::aligned::Aligned;
use super::elements::Element;
use super::tiles::Grid;

/// Values that are copied at a time: so few are not worth a call.
pub(super) const CHUNK: usize = 16;

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

    /// Whether windows lie in a picture as they are wanted, with so many values from one to the next.
    pub(super) fn is_row(self, stride: usize) -> bool {
        self.is_pixel() && self.depth() == stride
    }

    pub(super) fn depth(self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// How many there are along a side; none if there is no room for one.
    pub(super) fn outputs(self, side: usize) -> Option<usize> {
        Some((side + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }

    /// `pictures` of `x`, `[N, H, W, C]`, with zeros around each, and so many values `beyond` all of them.
    pub(super) fn padded<E: Element>(
        self,
        (x, size): (&[E], Grid),
        pictures: usize,
        beyond: usize,
    ) -> Aligned<E> {
        let Self { channels, padding, .. } = self;
        let [high, wide] = [size.height, size.width].map(|side| side + 2 * padding);
        let mut padded = Aligned::filled(E::default(), pictures * high * wide * channels + beyond);
        let to = padded.chunks_exact_mut(high * wide * channels);
        for (to, from) in to.zip(x.chunks_exact(size.height * size.width * channels)) {
            let lines = to.chunks_exact_mut(wide * channels).skip(padding);
            for (to, from) in lines.zip(from.chunks_exact(size.width * channels)) {
                to[padding * channels..][..from.len()].copy_from_slice(from);
            }
        }
        padded
    }

    /// Where the window of an output pixel begins, in pictures with zeros around each.
    pub(super) fn corner(self, size: Grid, pixel: usize) -> usize {
        let [high, wide] = [size.height, size.width].map(|side| side + 2 * self.padding);
        let (line, column) = (pixel / size.out_width, pixel % size.out_width);
        let (picture, line) = (line / size.out_height, line % size.out_height);
        ((picture * high + line * self.stride) * wide + column * self.stride) * self.channels
    }

    /// Values from a line of a window to the next one, in pictures with zeros around each.
    pub(super) fn pitch(self, size: Grid) -> usize {
        (size.width + 2 * self.padding) * self.channels
    }

    /// What `count` output pixels from `first` on see, `[count, kernel, kernel, channels]` with `stride`
    /// values from one to the next, in `rows` or where it is. `x` has zeros around each picture and a
    /// [`CHUNK`] beyond all, `rows` has room for one beyond.
    pub(super) fn rows<'a, E: Element>(
        self,
        (x, size): (&'a [E], Grid),
        [first, count]: [usize; 2],
        (rows, stride): (&'a mut [E], usize),
    ) -> &'a [E] {
        let depth = self.depth();
        if self.is_row(stride) {
            return &x[first * depth..][..count * depth];
        }
        let (wide, pitch) = (self.kernel * self.channels, self.pitch(size));
        for (place, pixel) in (first..first + count).enumerate() {
            let (corner, row) = (self.corner(size, pixel), place * stride);
            for line in 0..self.kernel {
                let from = &x[corner + line * pitch..];
                let to = &mut rows[row + line * wide..];
                // What the last chunk of a line has too much of, the next line overwrites.
                for start in (0..wide).step_by(CHUNK) {
                    to[start..start + CHUNK].copy_from_slice(&from[start..start + CHUNK]);
                }
            }
            rows[row + depth..row + stride].fill(E::default());
        }
        rows
    }
}
