//! How a network is trained: defaults per preset that just work.

use super::augment::{Augment, Crop};
use super::sgd::OneCycle;
use crate::model::Preset;
use serde::{Deserialize, Serialize};

/// Everything that decides the outcome of a run, beside the pictures and the architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub epochs: usize,
    pub batch_size: usize,
    pub peak_rate: f64,
    pub weight_decay: f64,
    /// What is exported is a moving average over the steps; each leaves this share of it in
    /// place, 0 to 1. At 0 the weights of the last step are exported.
    pub averaging: f64,
    /// Share of the target probability that is spread over all classes, 0 to 1.
    pub label_smoothing: f64,
    pub batch_norm: bool,
    /// Draw the first convolution's filters for whitened patches.
    pub whiten: bool,
    /// Replaces the rate of every dropout layer, 0 to 1. Batch normalisation and augmentation
    /// need less of it than the paper's one half.
    pub dropout: f64,
    pub augment: Augment,
    /// Side of the training pictures, and of those in the last quarter of the run. Smaller than
    /// the model's input saves time: a fully convolutional network takes any size.
    pub train_side: u32,
    pub final_side: u32,
    pub seed: u64,
}

pub const MOMENTUM: f64 = 0.9;
const WARM_UP: f64 = 0.2;
const FINAL_SHARE: f64 = 0.25;

impl Recipe {
    /// The defaults for `preset`, or for layers of one's own where there is none, on pictures of
    /// `side` × `side` with `channels`.
    pub fn defaults(preset: Option<Preset>, side: u32, channels: u32) -> Self {
        let grey = channels == 1;
        let small = side <= 64;
        let crop = match (grey, small) {
            (true, _) => Crop::Warped,
            (false, true) => Crop::Shifted(4),
            (false, false) => Crop::Resized(0.35),
        };
        let large_side = |share: f64| if small { side } else { (f64::from(side) * share) as u32 };
        Self {
            epochs: if small { 24 } else { 40 },
            batch_size: if small { 128 } else { 64 },
            peak_rate: if preset == Some(Preset::Nin28) { 0.1 } else { 0.2 },
            weight_decay: 5e-4,
            averaging: 0.0,
            label_smoothing: if grey { 0.0 } else { 0.1 },
            batch_norm: true,
            whiten: small && !grey,
            dropout: 0.0,
            augment: Augment {
                crop,
                flip: !grey,
                jitter: if grey { 0.0 } else { 0.2 },
                cutout: 0.0,
            },
            train_side: large_side(4.0 / 7.0),
            final_side: large_side(5.5 / 7.0),
            seed: 1,
        }
    }

    pub fn schedule(&self) -> OneCycle {
        OneCycle { peak: self.peak_rate, warm_up: WARM_UP }
    }

    /// Side of the training pictures in `epoch`, from 0.
    pub fn side(&self, epoch: usize) -> u32 {
        let progress = epoch as f64 / self.epochs as f64;
        if progress < 1.0 - FINAL_SHARE { self.train_side } else { self.final_side }
    }
}
