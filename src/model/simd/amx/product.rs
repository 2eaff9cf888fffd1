//! A product of matrices, two tiles of rows by two of columns at a time.

#![expect(unsafe_code, reason = "tiles are reached by instructions")]

use std::arch::x86_64::{__m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_storeu_si512};
use std::mem::transmute;

use super::{
    Amx, Configuration, DEEP, PANEL, SIDE, TOGETHER, clear, configure, load, multiply, release,
    store,
};
use crate::model::simd::elements::Bf16;
use crate::model::simd::multiplier::Multiplier;
use crate::model::simd::registers::Registers;

/// Bytes from one row of a panel to the next one: two values of each column.
const PANEL_PITCH: usize = size_of::<Bf16>() * 2 * PANEL;
const SUMS_PITCH: usize = size_of::<f32>() * PANEL;

/// A matrix, in tiles of rows. Each row consists of some `lines`, which lie apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [Bf16],
    /// Where each tile's first row begins.
    pub(super) tiles: [usize; TOGETHER],
    /// Of the tiles.
    pub(super) count: usize,
    /// Of each tile.
    pub(super) rows: usize,
    /// Values from one row to the next.
    pub(super) stride: usize,
    pub(super) lines: usize,
    /// Values from one line to the next.
    pub(super) pitch: usize,
    /// Values of a line, a multiple of [`DEEP`].
    pub(super) depth: usize,
}

/// Weights, and what is done with the sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right<'a> {
    /// `[panels, lines * depth / 2, PANEL, 2]`.
    pub(super) panels: &'a [Bf16],
    /// As in [`Epilogue`], of these panels.
    pub(super) bias: &'a [f32],
    pub(super) floor: f32,
}

/// Where a product goes.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [Bf16],
    /// Where each tile's first row begins.
    pub(super) tiles: [usize; TOGETHER],
    /// Of each tile so many rows.
    pub(super) wanted: [usize; TOGETHER],
    /// Values from one row to the next.
    pub(super) stride: usize,
}

/// Of two tiles of rows and a panel.
#[repr(C, align(64))]
struct Sums([[f32; PANEL]; 2 * SIDE]);

/// Writes the product of `left` and `right` to `target`.
pub(super) fn product(amx: Amx, left: Left<'_>, right: Right<'_>, mut target: Target<'_>) {
    left.check();
    let mut sums = Sums([[0.0; PANEL]; 2 * SIDE]);
    amx.0.call(
        #[inline(always)]
        || {
            // SAFETY: there are tiles, since there is `amx`.
            unsafe { configure(&Configuration::of(left.rows)) };
            let panels = right.panels.chunks_exact(left.lines * left.depth * PANEL);
            for (place, panel) in panels.enumerate() {
                for (pair, tiles) in left.tiles[..left.count].chunks(2).enumerate() {
                    match *tiles {
                        [upper, lower] => left.multiply_both([upper, lower], panel),
                        [tile, ..] => left.multiply_one(tile, panel),
                        [] => {}
                    }
                    sums.store(tiles.len());
                    for half in 0..tiles.len() {
                        let sums = &sums.0[half * SIDE..][..SIDE];
                        target.write(amx, (sums, right), 2 * pair + half, place * PANEL);
                    }
                }
            }
            // SAFETY: as above; all sums have been stored.
            unsafe { release() };
        },
    );
}

impl Right<'_> {
    /// One of `panels`.
    pub(super) fn panel(self, panel: usize, panels: usize) -> Self {
        let size = self.panels.len() / panels;
        Self {
            panels: &self.panels[panel * size..][..size],
            bias: &self.bias[panel * PANEL..][..PANEL],
            ..self
        }
    }
}

impl Left<'_> {
    fn check(&self) {
        let last = self.tiles[..self.count].iter().max().copied().unwrap_or_default();
        let rows = (self.rows - 1) * self.stride;
        let lines = (self.lines - 1) * self.pitch;
        assert!(last + rows + lines + self.depth <= self.values.len());
        assert!(self.rows <= SIDE && self.depth.is_multiple_of(DEEP));
    }

    /// Sums in tiles 0 and 1, and 2 and 3.
    #[inline(always)]
    fn multiply_both(&self, tiles: [usize; 2], panel: &[Bf16]) {
        let pitch = size_of::<Bf16>() * self.stride;
        let mut columns = panel.as_ptr();
        // SAFETY: the tiles are configured, and by `check` all rows are there. A panel has as many steps as
        // all lines together.
        unsafe {
            clear::<0>();
            clear::<1>();
            clear::<2>();
            clear::<3>();
            for line in 0..self.lines {
                let [mut upper, mut lower] =
                    tiles.map(|tile| self.values.as_ptr().add(tile + line * self.pitch));
                for _ in 0..self.depth / DEEP {
                    load::<6>(columns, PANEL_PITCH);
                    load::<4>(upper, pitch);
                    load::<7>(columns.add(DEEP), PANEL_PITCH);
                    multiply::<0, 4, 6>();
                    load::<5>(lower, pitch);
                    multiply::<1, 4, 7>();
                    multiply::<2, 5, 6>();
                    multiply::<3, 5, 7>();
                    upper = upper.add(DEEP);
                    lower = lower.add(DEEP);
                    columns = columns.add(DEEP * PANEL);
                }
            }
        }
    }

    /// Sums in tiles 0 and 1.
    #[inline(always)]
    fn multiply_one(&self, tile: usize, panel: &[Bf16]) {
        let pitch = size_of::<Bf16>() * self.stride;
        let mut columns = panel.as_ptr();
        // SAFETY: as above.
        unsafe {
            clear::<0>();
            clear::<1>();
            for line in 0..self.lines {
                let mut rows = self.values.as_ptr().add(tile + line * self.pitch);
                for _ in 0..self.depth / DEEP {
                    load::<6>(columns, PANEL_PITCH);
                    load::<4>(rows, pitch);
                    load::<7>(columns.add(DEEP), PANEL_PITCH);
                    multiply::<0, 4, 6>();
                    multiply::<1, 4, 7>();
                    rows = rows.add(DEEP);
                    columns = columns.add(DEEP * PANEL);
                }
            }
        }
    }
}

impl Sums {
    /// Of one tile of rows or of both.
    #[inline(always)]
    fn store(&mut self, tiles: usize) {
        let first = self.0.as_mut_ptr().cast::<f32>();
        // SAFETY: the tiles are configured, and have no more rows than there are here.
        unsafe {
            store::<0>(first, SUMS_PITCH);
            store::<1>(first.add(SIDE), SUMS_PITCH);
            if tiles == 2 {
                store::<2>(first.add(SIDE * PANEL), SUMS_PITCH);
                store::<3>(first.add(SIDE * PANEL + SIDE), SUMS_PITCH);
            }
        }
    }
}

impl Target<'_> {
    /// Writes the sums of a `tile`, of the panel that begins with a `column`. As [`Finish::apply`](crate::model::simd::Finish::apply), with
    /// the bias in registers for all rows.
    #[inline(always)]
    fn write(
        &mut self,
        amx: Amx,
        (sums, right): (&[[f32; PANEL]], Right<'_>),
        tile: usize,
        column: usize,
    ) {
        let registers = amx.0.registers();
        let (one, floor) = (registers.splat(1.0), registers.splat(right.floor));
        let bias = &right.bias[column..][..PANEL];
        let bias = [registers.load(bias), registers.load(&bias[SIDE..])];
        let outputs = self.values[self.tiles[tile] + column..].chunks_mut(self.stride);
        for (sums, outputs) in sums[..self.wanted[tile]].iter().zip(outputs) {
            let mut halves = bias;
            for (place, half) in halves.iter_mut().enumerate() {
                let sums = registers.load(&sums[place * SIDE..]);
                *half = registers.larger(floor, registers.multiply_add(one, sums, *half));
            }
            let outputs = outputs[..PANEL].as_mut_ptr();
            // SAFETY: the processor has AVX512-BF16, since there is `amx`; there are as many outputs.
            unsafe {
                let rounded = _mm512_cvtne2ps_pbh(halves[1], halves[0]);
                _mm512_storeu_si512(outputs.cast(), transmute::<__m512bh, __m512i>(rounded));
            }
        }
    }
}
