//! Forward passes for measuring: random pixels through a network in a memory order of choice.

use super::classifier::ClassifierError;
use super::folder::ModelFolder;
use super::network::{Layout, Network, Precision, channels_last};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// A network beside the one that serves, with the same weights.
#[derive(Debug)]
pub struct Trial {
    network: Network,
    layout: Layout,
    /// Channels, height, width.
    input: [i64; 3],
}

impl Trial {
    pub fn new(
        folder: &ModelFolder,
        precision: Precision,
        layout: Layout,
    ) -> Result<Self, ClassifierError> {
        let spec = &folder.manifest.input;
        let (size, weights) = (spec.size(), folder.tensors()?);
        let network = Network::laid_out(&folder.architecture, &weights, size, (precision, layout))?;
        let channels = spec.channels.count() as i64;
        Ok(Self { network, layout, input: [channels, spec.height.into(), spec.width.into()] })
    }

    /// A batch of `size` normal noise pictures in the memory order that the network likes.
    pub fn batch(&self, size: usize) -> Result<Tensor, ClassifierError> {
        let [channels, height, width] = self.input;
        let shape = [size as i64, channels, height, width];
        let batch = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?;
        Ok(match self.layout {
            Layout::Planar => batch,
            Layout::ChannelsLast | Layout::Fused | Layout::Served => channels_last(&batch)?,
        })
    }

    /// One forward pass, from normalised pixels to probabilities.
    pub fn run(&self, batch: &Tensor) -> Result<(), ClassifierError> {
        self.network.forward(batch)?;
        Ok(())
    }
}

/// Multiplications a second in products of large f32 matrices, all threads together; the best of
/// those that fit into `duration`, and of one at least.
pub fn multiplication_rate(duration: Duration) -> Result<f64, ClassifierError> {
    const SIDE: i64 = 2048;
    let matrix = || Tensor::f_randn([SIDE, SIDE], (Kind::Float, Device::Cpu));
    let (a, b) = (matrix()?, matrix()?);
    let _ = a.f_mm(&b)?;
    let (started, mut best) = (Instant::now(), Duration::MAX);
    while best == Duration::MAX || started.elapsed() < duration {
        let begun = Instant::now();
        let _ = a.f_mm(&b)?;
        best = best.min(begun.elapsed());
    }
    Ok((SIDE * SIDE * SIDE) as f64 / best.as_secs_f64())
}
