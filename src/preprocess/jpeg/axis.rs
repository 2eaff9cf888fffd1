//! The resize filter along one side, as weights of cosines.

use std::f64::consts::PI;

/// How many frequencies of a block may count along each side.
const FREQUENCIES: [usize; 5] = [2, 3, 4, 6, 8];

/// Both sides of a component.
pub(super) struct Axes {
    pub horizontal: Axis,
    pub vertical: Axis,
    /// How many count of each block, along each side.
    pub frequencies: usize,
    /// What those that count are less than along both sides together.
    pub sum: usize,
    /// What samples gain by being interpolated, see [`ROUNDED_UP`].
    pub gain: f32,
}

/// Where samples stand for two pixels each, decoders make a pixel of three parts of the sample that it lies in
/// and one of the sample beside it.
const INTERPOLATED: usize = 2;
/// The decoder of full pictures rounds `(3 * a + b) / 4` up at halves, by 1/8 more than down in the mean.
const ROUNDED_UP: f32 = 0.125;

impl Axes {
    /// Frequencies count that are less than `wanted` along both sides together.
    pub(super) fn new(horizontal: Side, vertical: Side, wanted: f64) -> Self {
        let [least, .., all] = FREQUENCIES;
        let wanted = (wanted.ceil() as usize).max(least);
        let frequencies = FREQUENCIES.into_iter().find(|&count| count >= wanted).unwrap_or(all);
        let gain = |side: &Side| if side.step == INTERPOLATED { ROUNDED_UP } else { 0.0 };
        let gain = gain(&horizontal) + gain(&vertical);
        let [horizontal, vertical] =
            [horizontal, vertical].map(|side| Axis::new(side, frequencies));
        Self { horizontal, vertical, frequencies, sum: wanted, gain }
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
        let cosines = cosines(frequencies);
        let mut axis = Self { reaches: Vec::new(), frequencies, weights: Vec::new() };
        for output in 0..side.outputs {
            let (from, filter) = of_samples(side, triangle(side, output));
            let (first, end) = (from / 8, (from + filter.len()).div_ceil(8));
            let start = axis.weights.len();
            axis.weights.resize(start + (end - first) * frequencies, 0.0);
            axis.reaches.push(Reach { first, end, start });
            // The filter may begin within the first block.
            let (mut part, mut offset) = (filter.as_slice(), from % 8);
            for sums in axis.weights[start..].chunks_exact_mut(frequencies) {
                let (here, beyond) = part.split_at(part.len().min(8 - offset));
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

/// A filter of pixels as one of samples.
fn of_samples(side: Side, (from, filter): (usize, Vec<f64>)) -> (usize, Vec<f64>) {
    if side.step == 1 {
        return (from, filter);
    }
    let last = side.length.div_ceil(side.step) - 1;
    // The sample that a pixel lies in, and the one that it is the nearest to beside that.
    let near = |pixel: usize| pixel / side.step;
    let beside = |pixel: usize| match (side.step, pixel % 2) {
        (INTERPOLATED, 0) => near(pixel).saturating_sub(1),
        (INTERPOLATED, _) => last.min(near(pixel) + 1),
        _ => near(pixel),
    };
    let first = beside(from).min(near(from));
    let to = from + filter.len() - 1;
    let mut weights = vec![0.0; beside(to).max(near(to)) + 1 - first];
    for (index, weight) in filter.iter().enumerate() {
        let pixel = from + index;
        weights[near(pixel) - first] += 0.75 * weight;
        weights[beside(pixel) - first] += 0.25 * weight;
    }
    (first, weights)
}

/// `[8, frequencies]`: the amount of each cosine at each sample of a block (T.81, A.3.3).
fn cosines(frequencies: usize) -> Vec<f64> {
    let cosine = |sample: usize, frequency: usize| {
        let amplitude = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
        amplitude * ((2 * sample + 1) as f64 * frequency as f64 * PI / 16.0).cos()
    };
    (0..8).flat_map(|sample| (0..frequencies).map(move |f| cosine(sample, f))).collect()
}
