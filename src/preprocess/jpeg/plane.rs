//! One component, on its way from frequencies to the small picture's samples.

use std::rc::Rc;

use super::axis::{Axes, Axis, Reach};
use super::markers::{Component, ZIGZAG};

/// Room for the 64 coefficients of a block, in the file's order, and for as many that can't be.
pub(super) const PLACES: usize = 128;

/// How many frequencies of a block may count along each side.
pub(super) const FREQUENCIES: [usize; 4] = [2, 3, 4, 6];

/// Takes blocks row by row, and sums up what they give to each output.
pub(super) struct Plane {
    axes: Rc<Axes>,
    kept: Vec<Kept>,
    /// `[rows of blocks in a unit, blocks, frequencies down, frequencies across]`, dequantised.
    blocks: Vec<f32>,
    /// Blocks in a row.
    columns: usize,
    /// Rows of blocks that are summed up.
    done: usize,
    /// `[width, frequencies down]` of one row of blocks.
    line: Vec<f32>,
    /// `[height, width]`
    sums: Vec<f32>,
}

/// A coefficient that counts.
struct Kept {
    /// In the file's order.
    place: usize,
    /// In [`Plane::blocks`].
    index: usize,
    quantiser: f32,
}

impl Plane {
    /// Of a component with `blocks` (across, down) in a minimum coded unit, and `units` of those in a
    /// row.
    pub(super) fn new(component: &Component, units: usize, axes: Rc<Axes>) -> Self {
        let Axes { horizontal, vertical, frequencies } = &*axes;
        let (width, height) = (horizontal.reaches.len(), vertical.reaches.len());
        let (columns, square) = (units * component.blocks.0, frequencies * frequencies);
        Self {
            kept: kept(*frequencies, &component.quantisers),
            blocks: vec![0.0; component.blocks.1 * columns * square],
            columns,
            done: 0,
            line: vec![0.0; width * frequencies],
            sums: vec![0.0; width * height],
            axes,
        }
    }

    /// How many coefficients of a block, in the file's order, it needs to know.
    pub(super) fn wanted(&self) -> usize {
        self.kept.last().map_or(1, |kept| kept.place + 1)
    }

    /// Takes the block at (row in the unit, column in the picture).
    pub(super) fn put(&mut self, (row, column): (usize, usize), values: &[i32; PLACES]) {
        let square = self.axes.frequencies * self.axes.frequencies;
        let start = (row * self.columns + column) * square;
        let block = &mut self.blocks[start..][..square];
        for &Kept { place, index, quantiser } in &self.kept {
            block[index] = values[place] as f32 * quantiser;
        }
    }

    /// Sums up a row of minimum coded units that is complete.
    pub(super) fn end_row(&mut self) {
        match self.axes.frequencies {
            2 => self.sum_row::<2>(),
            3 => self.sum_row::<3>(),
            4 => self.sum_row::<4>(),
            _ => self.sum_row::<6>(),
        }
    }

    fn sum_row<const F: usize>(&mut self) {
        let Axes { horizontal, vertical, .. } = &*self.axes;
        let width = horizontal.reaches.len();
        for blocks in self.blocks.chunks(self.columns * F * F) {
            let reaches = vertical.reaches.iter().enumerate();
            let here = |reach: &Reach| (reach.first..reach.end).contains(&self.done);
            let mut summed = false;
            for (row, reach) in reaches.filter(|(_, reach)| here(reach)) {
                if !summed {
                    across::<F>(horizontal, blocks, &mut self.line);
                    summed = true;
                }
                let weights = &vertical.weights(*reach)[(self.done - reach.first) * F..];
                let weights: &[f32; F] = weights.first_chunk().expect("one for each frequency");
                let sums = &mut self.sums[row * width..][..width];
                for (sum, line) in sums.iter_mut().zip(self.line.as_chunks::<F>().0) {
                    *sum += line.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>();
                }
            }
            self.done += 1;
        }
    }

    /// `[height, width]`
    pub(super) fn samples(&self) -> impl Iterator<Item = f32> {
        self.sums.iter().copied()
    }
}

/// Shrinks a row of blocks: `[blocks, F, F]` to `[width, F]`.
fn across<const F: usize>(axis: &Axis, blocks: &[f32], line: &mut [f32]) {
    for (reach, line) in axis.reaches.iter().zip(line.as_chunks_mut::<F>().0) {
        *line = [0.0; F];
        let blocks = &blocks[reach.first * F * F..reach.end * F * F];
        let rows = blocks.as_chunks::<F>().0.chunks(F);
        for (rows, weights) in rows.zip(axis.weights(*reach).as_chunks::<F>().0) {
            for (sum, row) in line.iter_mut().zip(rows) {
                *sum += row.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }
}

fn kept(frequencies: usize, quantisers: &[u16; 64]) -> Vec<Kept> {
    let kept = |(place, &natural): (usize, &u8)| {
        let (down, across) = (usize::from(natural) / 8, usize::from(natural) % 8);
        (down + across < frequencies).then(|| Kept {
            place,
            index: down * frequencies + across,
            quantiser: f32::from(quantisers[place]),
        })
    };
    ZIGZAG.iter().enumerate().filter_map(kept).collect()
}
