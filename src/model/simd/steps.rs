//! The three steps of Winograd's algorithm: transform inputs, multiply, transform products.

#![expect(unsafe_code, reason = "threads write parts of one output")]

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
        // Overwritten for each channel: zeros take longer than a part of the transform.
        let mut columns = [[registers.splat(0.0); REACH]; REACH];
        for channel in (0..channels).step_by(M::Registers::LANES) {
            for (column, points) in columns.iter_mut().enumerate() {
                let mut values = [registers.splat(0.0); REACH];
                for (value, pixels) in values.iter_mut().zip(&pixels) {
                    *value = E::load(registers, &pixels[column][channel..]);
                }
                *points = F::input(registers, values);
            }
            for row in 0..REACH {
                let mut values = [registers.splat(0.0); REACH];
                for (value, points) in values.iter_mut().zip(&columns) {
                    *value = points[row];
                }
                for (column, point) in F::input(registers, values).iter().enumerate() {
                    let place = row * REACH + column;
                    registers.store(*point, &mut tile[place * channels + channel..]);
                }
            }
        }
    }

    /// Multiplies `count` tiles by the panel of filters from `first` on, point by point.
    #[inline(always)]
    pub(super) fn multiply(
        &self,
        [first, count]: [usize; 2],
        Scratch { tiles, scales, products, .. }: &mut Scratch<M::Element>,
    ) {
        let (depth, multiplier) = (self.channels, self.multiplier);
        let panel = panel_of::<M::Registers>().min(self.filters - first);
        let weights = &self.weights.panels[first * Self::POINTS * depth..];
        for point in 0..Self::POINTS {
            let values = &tiles[point * count * depth..][..count * depth];
            let tiles = Rows { values, count, depth, stride: depth };
            let weights = &weights[point * depth * panel..][..depth * panel];
            let products = &mut products[point * count * panel..][..count * panel];
            let rows = &scales[point..];
            let columns = &self.weights.scales[point * self.filters + first..][..panel];
            multiply(
                multiplier,
                (tiles, Panels::of(&self.weights.panels, weights)),
                products,
                #[inline(always)]
                |sums, [row, column]| {
                    multiplier.scaled(sums, rows[row * Self::POINTS], &columns[column..])
                },
            );
        }
    }

    /// Transforms `[count, filters of a panel]` for each point to outputs, of the filters from
    /// `first_filter` on.
    #[inline(always)]
    pub(super) fn scatter<E: Element>(
        &self,
        (first_filter, grid): (usize, Grid),
        ([first, count], products): ([usize; 2], &[f32]),
        y: Output<'_, E>,
    ) {
        let (filters, registers) = (self.filters, self.multiplier.registers());
        let panel = panel_of::<M::Registers>().min(filters - first_filter);
        let mut columns = [[registers.splat(0.0); TILE]; REACH];
        for tile in 0..count {
            let Place { picture, top, left } = grid.place(first + tile);
            let [rows, width] = [grid.out_height - top, grid.out_width - left];
            let corner = (picture * grid.out_height + top) * grid.out_width + left;
            for filter in (first_filter..first_filter + panel).step_by(M::Registers::LANES) {
                for (column, outputs) in columns.iter_mut().enumerate() {
                    let mut values = [registers.splat(0.0); REACH];
                    for (row, value) in values.iter_mut().enumerate() {
                        let place = (row * REACH + column) * count + tile;
                        *value = registers.load(&products[place * panel + filter - first_filter..]);
                    }
                    *outputs = F::output(registers, values);
                }
                for row in 0..rows.min(TILE) {
                    let mut values = [registers.splat(0.0); REACH];
                    for (value, outputs) in values.iter_mut().zip(&columns) {
                        *value = outputs[row];
                    }
                    let outputs = F::output(registers, values);
                    for (column, output) in outputs.iter().enumerate().take(width) {
                        let output = self.epilogue.apply(registers, *output, filter);
                        let pixel = corner + row * grid.out_width + column;
                        // SAFETY: a tile's outputs of a panel's filters are written by one thread.
                        let place =
                            unsafe { y.part(pixel * filters + filter, M::Registers::LANES) };
                        E::store(registers, output, place);
                    }
                }
            }
        }
    }
}
