//! One component, on its way from frequencies to the small picture's samples.

use std::rc::Rc;

use super::axis::{Axes, Axis, Reach};
use super::markers::{Component, ZIGZAG};
use super::vectors::{self, Loops};

/// Room for the 64 coefficients of a block, in the file's order, and for as many that can't be.
pub(super) const PLACES: usize = 128;

/// Takes blocks row by row, and sums up what they give to each output.
pub(super) struct Plane {
    axes: Rc<Axes>,
    coefficients: Coefficients,
    /// `[rows of blocks in a unit, blocks, frequencies across, frequencies down]`, dequantised; the last
    /// axis is filled up to whole vectors with zeros.
    blocks: Vec<f32>,
    /// Blocks in a row.
    columns: usize,
    /// Rows of blocks that are summed up.
    done: usize,
    /// `[frequencies down, width]` of one row of blocks.
    lines: Vec<f32>,
    /// `[height, width]`
    sums: Vec<f32>,
}

/// Blocks of the frequencies that count.
pub(super) trait Blocks {
    /// The block at (row in the unit, column), which is zeros at first, and how to fill it.
    fn block(&mut self, at: (usize, usize)) -> Option<(&Coefficients, &mut [f32])>;
}

/// Blocks of whole units, one after the other, until it is known where they belong.
pub(super) struct Stored {
    coefficients: Coefficients,
    /// Blocks in a unit, across and down.
    sides: (usize, usize),
    /// `[units, blocks down, blocks across, …]`, as [`Plane::blocks`].
    values: Vec<f32>,
    /// Where the last unit begins.
    last: usize,
}

/// Where the coefficients of a block go, by their place in the file's order.
#[derive(Clone)]
pub(super) struct Coefficients {
    places: [Coefficient; PLACES],
    /// How many of them, from the first on, have to be known.
    wanted: usize,
    /// Values of a block.
    block: usize,
}

#[derive(Clone, Copy, Default)]
struct Coefficient {
    /// In the block.
    index: usize,
    /// Zero for one that does not count.
    quantiser: f32,
}

impl Coefficients {
    /// Of those that are less than `sum` along both sides together.
    fn new(frequencies: usize, sum: usize, quantisers: &[u16; 64]) -> Self {
        let stride = filled_up(frequencies);
        let (mut places, mut wanted) = ([Coefficient::default(); PLACES], 1);
        for (place, &natural) in ZIGZAG.iter().enumerate() {
            let (down, across) = (usize::from(natural) / 8, usize::from(natural) % 8);
            if across < frequencies && down < frequencies && down + across < sum {
                let quantiser = f32::from(quantisers[place]);
                places[place] = Coefficient { index: across * stride + down, quantiser };
                wanted = place + 1;
            }
        }
        Self { places, wanted, block: frequencies * stride }
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Adds the coefficient in `place` to its block; one that does not count, changes nothing.
    #[inline(always)]
    pub(super) fn add(&self, place: usize, value: i32, block: &mut [f32]) {
        let Coefficient { index, quantiser } = self.places[place % PLACES];
        if let Some(sum) = block.get_mut(index) {
            *sum += value as f32 * quantiser;
        }
    }
}

impl Plane {
    /// Of a component with `blocks` (across, down) in a minimum coded unit, and `units` of those in a
    /// row.
    pub(super) fn new(component: &Component, units: usize, axes: Rc<Axes>) -> Self {
        let Axes { horizontal, vertical, frequencies, sum, .. } = &*axes;
        let (width, height) = (horizontal.reaches.len(), vertical.reaches.len());
        let coefficients = Coefficients::new(*frequencies, *sum, &component.quantisers);
        let columns = units * component.blocks.0;
        Self {
            blocks: vec![0.0; component.blocks.1 * columns * coefficients.block],
            coefficients,
            columns,
            done: 0,
            lines: vec![0.0; frequencies * width],
            sums: vec![0.0; width * height],
            axes,
        }
    }

    /// For blocks of the same `component`.
    pub(super) fn stored(&self, component: &Component) -> Stored {
        let coefficients = self.coefficients.clone();
        Stored { coefficients, sides: component.blocks, values: Vec::new(), last: 0 }
    }

    /// Takes the blocks of units from `first` in the row on, each `across` and `down`, whose dc coefficients are
    /// `missing` something.
    pub(super) fn put(
        &mut self,
        first: usize,
        (across, down): (usize, usize),
        (blocks, missing): (&[f32], i32),
    ) -> Option<()> {
        let length = across * self.coefficients.block;
        for (place, blocks) in blocks.chunks_exact(length).enumerate() {
            let (unit, row) = (first + place / down, place % down);
            let start = row * self.columns * self.coefficients.block + unit * length;
            let own = self.blocks.get_mut(start..start + length)?;
            own.copy_from_slice(blocks);
            for block in own.chunks_exact_mut(self.coefficients.block) {
                self.coefficients.add(0, missing, block);
            }
        }
        Some(())
    }

    /// Sums up a row of minimum coded units that is complete.
    pub(super) fn end_row(&mut self) {
        vectors::run(&mut *self);
        self.blocks.fill(0.0);
    }

    /// Of `F` frequencies along each side, and down `P` with the zeros.
    #[inline(always)]
    fn sum_row<const F: usize, const P: usize>(&mut self) {
        let Axes { horizontal, vertical, .. } = &*self.axes;
        let width = horizontal.reaches.len();
        for block in self.blocks.as_chunks_mut::<P>().0.chunks_exact_mut(F) {
            round(block, self.axes.gain);
        }
        for blocks in self.blocks.chunks(self.columns * F * P) {
            let reaches = vertical.reaches.iter().enumerate();
            let here = |reach: &Reach| (reach.first..reach.end).contains(&self.done);
            let mut summed = false;
            for (row, reach) in reaches.filter(|(_, reach)| here(reach)) {
                if !summed {
                    across::<F, P>(horizontal, blocks, &mut self.lines);
                    summed = true;
                }
                let weights = &vertical.weights(*reach)[(self.done - reach.first) * F..];
                let sums = &mut self.sums[row * width..][..width];
                for (line, weight) in self.lines.chunks_exact(width).zip(&weights[..F]) {
                    for (sum, value) in sums.iter_mut().zip(line) {
                        *sum += value * weight;
                    }
                }
            }
            self.done += 1;
        }
    }

    /// `[height, width]`
    pub(super) fn samples(&self) -> &[f32] {
        &self.sums
    }
}

/// Sums up a row.
impl Loops for &mut Plane {
    #[inline(always)]
    fn run(self) {
        match self.axes.frequencies {
            2 => self.sum_row::<2, { filled_up(2) }>(),
            3 => self.sum_row::<3, { filled_up(3) }>(),
            4 => self.sum_row::<4, { filled_up(4) }>(),
            6 => self.sum_row::<6, { filled_up(6) }>(),
            _ => self.sum_row::<8, { filled_up(8) }>(),
        }
    }
}

impl Blocks for Plane {
    #[inline(always)]
    fn block(&mut self, (row, column): (usize, usize)) -> Option<(&Coefficients, &mut [f32])> {
        let start = (row * self.columns + column) * self.coefficients.block;
        let block = self.blocks.get_mut(start..start + self.coefficients.block)?;
        Some((&self.coefficients, block))
    }
}

impl Stored {
    fn unit_length(&self) -> usize {
        self.sides.0 * self.sides.1 * self.coefficients.block
    }

    pub(super) fn begin_unit(&mut self) {
        self.last = self.values.len();
        self.values.resize(self.last + self.unit_length(), 0.0);
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
    }

    pub(super) fn units(&self, first: usize, count: usize) -> Option<&[f32]> {
        let length = self.unit_length();
        self.values.get(first * length..(first + count) * length)
    }
}

impl Blocks for Stored {
    #[inline(always)]
    fn block(&mut self, (row, column): (usize, usize)) -> Option<(&Coefficients, &mut [f32])> {
        let start = self.last + (row * self.sides.0 + column) * self.coefficients.block;
        let block = self.values.get_mut(start..start + self.coefficients.block)?;
        Some((&self.coefficients, block))
    }
}

/// Whole vectors of four values.
const fn filled_up(frequencies: usize) -> usize {
    frequencies.next_multiple_of(4)
}

/// From such an amount of a cosine on, neighbouring samples differ by more than one.
const LIVELY: f32 = 16.0;

/// Rounds as decoders do where it is not evened out: the samples of a block that has only its mean, and those
/// that `gain` by being interpolated. Neighbours gain nothing if they differ by one at most.
#[inline(always)]
fn round<const P: usize>(block: &mut [[f32; P]], gain: f32) {
    let Some((first, others)) = block.split_first_mut() else { return };
    let mut amounts = first.map(f32::abs);
    amounts[0] = 0.0;
    for values in others {
        for (amount, value) in amounts.iter_mut().zip(values) {
            // Not `max`, which minds NaN.
            *amount = if value.abs() > *amount { value.abs() } else { *amount };
        }
    }
    let largest = amounts.into_iter().fold(0.0, |a, b| if a > b { a } else { b });
    let mean = first[0] / 8.0;
    if largest == 0.0 {
        first[0] = 8.0 * half_up(mean);
    } else if largest >= LIVELY {
        first[0] = 8.0 * (mean + gain);
    }
}

#[inline(always)]
fn half_up(sample: f32) -> f32 {
    // What is above zero is truncated downwards, for which there are instructions.
    const SHIFT: i32 = 1024;
    ((sample + SHIFT as f32 + 0.5) as i32 - SHIFT) as f32
}

/// Shrinks a row of blocks: `[blocks, F, P]` to `[F, width]`.
#[inline(always)]
fn across<const F: usize, const P: usize>(axis: &Axis, blocks: &[f32], lines: &mut [f32]) {
    let width = axis.reaches.len();
    for (column, reach) in axis.reaches.iter().enumerate() {
        let blocks = &blocks[reach.first * F * P..reach.end * F * P];
        let mut sums = [0.0; P];
        for (values, weight) in blocks.as_chunks::<P>().0.iter().zip(axis.weights(*reach)) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value * weight;
            }
        }
        for (line, sum) in lines.chunks_exact_mut(width).zip(sums) {
            line[column] = sum;
        }
    }
}
