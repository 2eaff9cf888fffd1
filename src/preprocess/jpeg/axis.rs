//! The resize filter along one side, as weights of cosines.

use std::f64::consts::PI;

/// Both sides of a component.
pub(super) struct Axes {
    pub horizontal: Axis,
    pub vertical: Axis,
    /// How many count of each block, along each side.
    pub frequencies: usize,
}

impl Axes {
    pub(super) fn new(horizontal: Side, vertical: Side, frequencies: usize) -> Self {
        let [horizontal, vertical] =
            [horizontal, vertical].map(|side| Axis::new(side, frequencies));
        Self { horizontal, vertical, frequencies }
    }
}

/// What each output pixel is made of.
pub(super) struct Axis {
    pub reaches: Vec<Reach>,
    frequencies: usize,
    /// `[blocks in reach, frequencies]` for each output, one after the other.
    weights: Vec<f32>,
}

/// The blocks that have a part in an output pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub first: usize,
    /// One beyond the last.
    pub end: usize,
    /// Where its weights begin.
    start: usize,
}

/// A side of a picture, in its pixels, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub length: usize,
    /// Where the part begins that is shown, and how long it is.
    pub shown: (f64, f64),
    /// How many pixels it becomes. Fewer than there are.
    pub outputs: u32,
    /// How many pixels a sample stands for.
    pub step: usize,
}

impl Axis {
    fn new(side: Side, frequencies: usize) -> Self {
        let cosines = cosines(side.step, frequencies);
        let mut axis = Self { reaches: Vec::new(), frequencies, weights: Vec::new() };
        for output in 0..side.outputs {
            let (from, filter) = triangle(side, output);
            let block = 8 * side.step;
            let (first, end) = (from / block, (from + filter.len()).div_ceil(block));
            let start = axis.weights.len();
            axis.weights.resize(start + (end - first) * frequencies, 0.0);
            axis.reaches.push(Reach { first, end, start });
            // The filter may begin within the first block.
            let (mut part, mut offset) = (filter.as_slice(), from % block);
            for sums in axis.weights[start..].chunks_exact_mut(frequencies) {
                let (here, beyond) = part.split_at(part.len().min(block - offset));
                let cosines = cosines[offset * frequencies..].chunks_exact(frequencies);
                for (weight, cosines) in here.iter().zip(cosines) {
                    for (sum, cosine) in sums.iter_mut().zip(cosines) {
                        *sum += (weight * cosine) as f32;
                    }
                }
                (part, offset) = (beyond, 0);
            }
        }
        axis
    }

    /// Of the blocks in reach, from the first on.
    pub(super) fn weights(&self, reach: Reach) -> &[f32] {
        &self.weights[reach.start..][..(reach.end - reach.first) * self.frequencies]
    }
}

/// The antialiased bilinear filter of an output pixel, as Pillow defines it: the first pixel that it
/// covers, and weights that sum to 1.
fn triangle(side: Side, output: u32) -> (usize, Vec<f64>) {
    let (origin, length) = side.shown;
    let scale = length / f64::from(side.outputs);
    let centre = origin + (f64::from(output) + 0.5) * scale;
    let from = (centre - scale).floor().max(0.0) as usize;
    let end = ((centre + scale).ceil() as usize).min(side.length);
    let weight = |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - centre) / scale).abs()).max(0.0);
    let mut weights: Vec<_> = (from..end).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (from, weights)
}

/// `[8 * step, frequencies]`: the amount of each cosine at each pixel of a block (T.81, A.3.3).
fn cosines(step: usize, frequencies: usize) -> Vec<f64> {
    let cosine = |pixel: usize, frequency: usize| {
        let amplitude = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
        amplitude * ((2 * (pixel / step) + 1) as f64 * frequency as f64 * PI / 16.0).cos()
    };
    let pixels = 0..8 * step;
    pixels.flat_map(|pixel| (0..frequencies).map(move |f| cosine(pixel, f))).collect()
}
