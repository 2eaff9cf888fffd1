//! The three steps of Winograd's algorithm: transform inputs, multiply, transform products.

#![expect(unsafe_code, reason = "threads write parts of one output; checks that take too long")]

use super::elements::Element;
use super::fixed::Scaling;
use super::output::Output;
use super::product::{Panels, Rows, multiply};
use super::registers::{Registers, panel_of};
use super::tiled::{Scratch, Tiled};
use super::tiles::{Grid, Place};
use super::transform::{Filtering, TILE};

impl<M, F, const REACH: usize, const KERNEL: usize> Tiled<M, F, REACH, KERNEL>
where
    M: Scaling,
    F: Filtering<REACH, KERNEL>,
{
    /// Transforms `count` input tiles to `[count, channels]` for each point.
    #[inline(always)]
    pub(super) fn gather<E: Element>(
        &self,
        (x, grid): (&[E], Grid),
        [first, count]: [usize; 2],
        Scratch { tile, tiles, scales, .. }: &mut Scratch<M::Element>,
    ) {
        let channels = self.channels;
        for place in 0..count {
            self.transform((x, grid), grid.place(first + place), tile);
            let narrowed = (&mut tiles[place * channels..], count * channels);
            let scales = &mut scales[place * Self::POINTS..][..Self::POINTS];
            self.multiplier.narrow((tile, channels), narrowed, scales);
        }
    }

    /// Transforms the input tile at a `place` to `[channels]` for each point.
    #[inline(always)]
    fn transform<E: Element>(&self, (x, grid): (&[E], Grid), place: Place, tile: &mut [f32]) {
        let (channels, registers) = (self.channels, self.multiplier.registers());
        let Place { picture, top, left } = place;
        let mut pixels = [[&E::ZEROS[..channels]; REACH]; REACH];
        for (row, pixels) in pixels.iter_mut().enumerate() {
            for (column, pixel) in pixels.iter_mut().enumerate() {
                // Above and left of the picture they wrap around to large numbers.
                let row = (top + row).wrapping_sub(self.padding);
                let column = (left + column).wrapping_sub(self.padding);
                if row < grid.height && column < grid.width {
                    let place = (picture * grid.height + row) * grid.width + column;
                    *pixel = &x[place * channels..][..channels];
                }
            }
        }
        assert_eq!(tile.len(), Self::POINTS * channels);
        // Overwritten for each channel: zeros take longer than a part of the transform.
        let mut columns = [[registers.splat(0.0); REACH]; REACH];
        for channel in (0..channels).step_by(M::Registers::LANES) {
            for (column, points) in columns.iter_mut().enumerate() {
                let mut values = [registers.splat(0.0); REACH];
                for (value, pixels) in values.iter_mut().zip(&pixels) {
                    // SAFETY: a pixel has all `channels`, a whole number of registers.
                    *value = E::load(registers, unsafe { part::<M, _>(pixels[column], channel) });
                }
                *points = F::input(registers, values);
            }
            for row in 0..REACH {
                let mut values = [registers.splat(0.0); REACH];
                for (value, points) in values.iter_mut().zip(&columns) {
                    *value = points[row];
                }
                for (column, point) in F::input(registers, values).iter().enumerate() {
                    let place = (row * REACH + column) * channels + channel;
                    // SAFETY: there are all channels of each point, see above.
                    registers.store(*point, unsafe { part_mut::<M, _>(tile, place) });
                }
            }
        }
    }

    /// Multiplies `count` tiles by the panel of filters from `first` on, point by point.
    #[inline(always)]
    pub(super) fn multiply(
        &self,
        [first, count]: [usize; 2],
        Scratch { tiles, products, .. }: &mut Scratch<M::Element>,
    ) {
        let depth = self.channels;
        let panel = panel_of::<M::Registers>().min(self.filters - first);
        let weights = &self.weights.panels[first * Self::POINTS * depth..];
        for point in 0..Self::POINTS {
            let values = &tiles[point * count * depth..][..count * depth];
            let tiles = Rows { values, count, depth, stride: depth };
            let weights = &weights[point * depth * panel..][..depth * panel];
            let products = &mut products[point * count * panel..][..count * panel];
            let factors = (tiles, Panels::of(&self.weights.panels, weights));
            multiply(self.multiplier, factors, products, None);
        }
    }

    /// Transforms `[count, filters of a panel]` for each point to outputs, of the filters from
    /// `first_filter` on.
    #[inline(always)]
    pub(super) fn scatter<E: Element>(
        &self,
        (first_filter, grid): (usize, Grid),
        ([first, count], Scratch { scales, products, .. }): ([usize; 2], &Scratch<M::Element>),
        y: Output<'_, E>,
    ) {
        let (filters, multiplier) = (self.filters, self.multiplier);
        let registers = multiplier.registers();
        let panel = panel_of::<M::Registers>().min(filters - first_filter);
        assert!(products.len() >= Self::POINTS * count * panel);
        assert_eq!(self.weights.scales.len(), Self::POINTS * filters);
        let mut columns = [[registers.splat(0.0); TILE]; REACH];
        for (tile, scales) in (0..count).zip(scales.chunks_exact(Self::POINTS)) {
            let Place { picture, top, left } = grid.place(first + tile);
            let [rows, width] = [grid.out_height - top, grid.out_width - left];
            let corner = (picture * grid.out_height + top) * grid.out_width + left;
            for filter in (first_filter..first_filter + panel).step_by(M::Registers::LANES) {
                for (column, outputs) in columns.iter_mut().enumerate() {
                    let mut values = [registers.splat(0.0); REACH];
                    for (row, value) in values.iter_mut().enumerate() {
                        let point = row * REACH + column;
                        let place = (point * count + tile) * panel + filter - first_filter;
                        // SAFETY: for each point there are as many products and scales, see above.
                        let (products, filters) = unsafe {
                            let scales = &self.weights.scales;
                            (
                                part::<M, _>(products, place),
                                part::<M, _>(scales, point * filters + filter),
                            )
                        };
                        let sums = registers.load(products);
                        *value = multiplier.scaled(sums, scales[point], filters);
                    }
                    *outputs = F::output(registers, values);
                }
                let finish = self.epilogue.of(registers, filter);
                for row in 0..rows.min(TILE) {
                    let mut values = [registers.splat(0.0); REACH];
                    for (value, outputs) in values.iter_mut().zip(&columns) {
                        *value = outputs[row];
                    }
                    let outputs = F::output(registers, values);
                    for (column, output) in outputs.iter().enumerate().take(width) {
                        let pixel = corner + row * grid.out_width + column;
                        // SAFETY: a tile's outputs of a panel's filters are written by one thread.
                        let place =
                            unsafe { y.part(pixel * filters + filter, M::Registers::LANES) };
                        E::store(registers, finish.apply(registers, *output), place);
                    }
                }
            }
        }
    }
}

/// As many values from `first` on as a register holds. Without a check, since there would be as many checks
/// as there is arithmetic.
///
/// # Safety
///
/// There are so many.
#[inline(always)]
unsafe fn part<M: Scaling, E>(values: &[E], first: usize) -> &[E] {
    // SAFETY: as above.
    unsafe { values.get_unchecked(first..first + M::Registers::LANES) }
}

/// As [`part`].
///
/// # Safety
///
/// As there.
#[inline(always)]
unsafe fn part_mut<M: Scaling, E>(values: &mut [E], first: usize) -> &mut [E] {
    // SAFETY: as above.
    unsafe { values.get_unchecked_mut(first..first + M::Registers::LANES) }
}
