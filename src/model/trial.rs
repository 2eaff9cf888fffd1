//! Forward passes for measuring: random pixels through a network in a memory order of choice.

use super::classifier::ClassifierError;
use super::folder::ModelFolder;
use super::network::{Layout, Network, Precision, channels_last};
use std::num::NonZeroUsize;
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
        let network =
            Network::laid_out(&folder.architecture, &folder.tensors()?, precision, layout)?;
        let spec = &folder.manifest.input;
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
            Layout::ChannelsLast | Layout::Fused => channels_last(&batch)?,
        })
    }

    /// One forward pass, from normalised pixels to probabilities.
    pub fn run(&self, batch: &Tensor) -> Result<(), ClassifierError> {
        self.network.forward(batch)?;
        Ok(())
    }
}

/// How many threads of libtorch work for the calling thread.
pub fn set_threads(threads: NonZeroUsize) {
    tch::set_num_threads(i32::try_from(threads.get()).unwrap_or(i32::MAX));
}
