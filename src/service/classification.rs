use std::num::NonZeroUsize;
use std::time::Duration;

use crate::model::Prediction;
use crate::preprocess::{Header, Region, Warning};

/// What was found out about one picture.
#[derive(Debug, Clone)]
pub struct Classification {
    pub prediction: Prediction,
    pub header: Header,
    /// The part of the picture that the network saw.
    pub region: Region,
    /// In the order of the pipeline.
    pub warnings: Vec<Warning>,
    pub timings: Timings,
    /// Pictures that ran together with this one, itself included.
    pub batch_size: usize,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From bytes to pixels.
    pub decode: Duration,
    /// Waiting for a decoding thread and for the engine.
    pub queue: Duration,
    /// The whole batch on the engine.
    pub inference: Duration,
}

/// The `top_k` best classes, or all, as `(class, probability)`; equal ones in the order of the
/// classes.
pub fn ranking(probabilities: &[f32], top_k: Option<NonZeroUsize>) -> Vec<(usize, f32)> {
    let mut ranking: Vec<_> = probabilities.iter().copied().enumerate().collect();
    ranking.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranking.truncate(top_k.map_or(usize::MAX, NonZeroUsize::get));
    ranking
}
