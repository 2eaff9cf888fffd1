//! The four networks that the service knows by name.

use super::architecture::{Architecture, Head, Layer, Pool};
use serde::{Deserialize, Serialize};

/// A named architecture; what is left open is the number of classes `K`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A plain outline: four convolutions, the last 1×1, and global average pooling.
    NinOutline,
    /// For 28×28×1: softmax at every position, then global average pooling.
    #[serde(rename = "nin-28")]
    #[value(name = "nin-28")]
    Nin28,
    /// The CIFAR network of the paper (Lin, Chen & Yan 2013, arXiv:1312.4400).
    NinCifar,
    /// The 1000-class network of the Caffe Model Zoo.
    NinImagenet,
}

/// Input size that a preset was made for: width, height, channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSize {
    pub width: u32,
    pub height: u32,
    pub channels: u32,
}

impl Preset {
    /// The layers for `classes` classes.
    pub fn architecture(self, classes: u32) -> Architecture {
        match self {
            Self::NinOutline => nin_outline(classes),
            Self::Nin28 => nin_28(classes),
            Self::NinCifar => nin_cifar(classes),
            Self::NinImagenet => nin_imagenet(classes),
        }
    }

    pub fn input_size(self) -> InputSize {
        let (side, channels) = match self {
            Self::NinOutline | Self::NinImagenet => (224, 3),
            Self::Nin28 => (28, 1),
            Self::NinCifar => (32, 3),
        };
        InputSize { width: side, height: side, channels }
    }
}

fn conv(filters: u32, kernel: u32) -> Layer {
    Layer::Conv { filters, kernel, stride: 1, padding: 0 }
}

fn padded(filters: u32, kernel: u32) -> Layer {
    Layer::Conv { filters, kernel, stride: 1, padding: kernel / 2 }
}

fn strided(filters: u32, kernel: u32, stride: u32) -> Layer {
    Layer::Conv { filters, kernel, stride, padding: 0 }
}

const HALVE: Pool = Pool { kernel: 3, stride: 2 };
const DROPOUT: Layer = Layer::Dropout { rate: 0.5 };

/// An mlpconv block: a convolution and the 1×1 convolutions after it, each with a ReLU.
fn mlpconv(first: Layer, perceptrons: [u32; 2]) -> [Layer; 6] {
    let [second, third] = perceptrons.map(|filters| conv(filters, 1));
    [first, Layer::Relu, second, Layer::Relu, third, Layer::Relu]
}

fn nin_outline(classes: u32) -> Architecture {
    let layers = vec![
        strided(96, 11, 4),
        Layer::Relu,
        padded(256, 5),
        Layer::Relu,
        padded(384, 3),
        Layer::Relu,
        conv(classes, 1),
    ];
    Architecture { layers, head: Head::PoolThenSoftmax }
}

fn nin_28(classes: u32) -> Architecture {
    let layers = vec![
        padded(64, 5),
        Layer::Relu,
        conv(48, 1),
        Layer::Relu,
        conv(48, 3),
        Layer::Relu,
        conv(64, 3),
        Layer::Relu,
        conv(classes, 3),
    ];
    Architecture { layers, head: Head::SoftmaxThenPool }
}

fn nin_cifar(classes: u32) -> Architecture {
    let mut layers = Vec::new();
    layers.extend(mlpconv(padded(192, 5), [160, 96]));
    layers.extend([Layer::MaxPool(HALVE), DROPOUT]);
    layers.extend(mlpconv(padded(192, 5), [192, 192]));
    layers.extend([Layer::AveragePool(HALVE), DROPOUT]);
    layers.extend(mlpconv(padded(192, 3), [192, classes]));
    Architecture { layers, head: Head::PoolThenSoftmax }
}

fn nin_imagenet(classes: u32) -> Architecture {
    let mut layers = Vec::new();
    layers.extend(mlpconv(strided(96, 11, 4), [96, 96]));
    layers.push(Layer::MaxPool(HALVE));
    layers.extend(mlpconv(padded(256, 5), [256, 256]));
    layers.push(Layer::MaxPool(HALVE));
    layers.extend(mlpconv(padded(384, 3), [384, 384]));
    layers.extend([Layer::MaxPool(HALVE), DROPOUT]);
    layers.extend(mlpconv(padded(1024, 3), [1024, classes]));
    Architecture { layers, head: Head::PoolThenSoftmax }
}

#[cfg(test)]
mod tests {
    use super::super::architecture::MapGrid;
    use super::*;

    #[test]
    fn parameter_counts_match_the_published_networks() {
        assert_eq!(Preset::NinOutline.architecture(10).parameters(3), 1_538_570);
        assert_eq!(Preset::Nin28.architecture(10).parameters(1), 59_050);
        assert_eq!(Preset::NinCifar.architecture(10).parameters(3), 966_986);
        assert_eq!(Preset::NinImagenet.architecture(1000).parameters(3), 7_595_176);
    }

    #[test]
    fn cells_of_the_map_lie_over_the_middle_of_what_they_see() {
        let grid = |preset: Preset| preset.architecture(10).map_grid();
        // Valid convolutions of 3×3 shave off a pixel each: the first of 22 cells looks at pixel 3.
        assert_eq!(grid(Preset::Nin28), MapGrid { offset: 3.5, stride: 1.0 });
        // Two pools of 3×3 with stride 2, all else padded: 0.5 + 1 + 2.
        assert_eq!(grid(Preset::NinCifar), MapGrid { offset: 3.5, stride: 4.0 });
        assert_eq!(grid(Preset::NinOutline), MapGrid { offset: 5.5, stride: 4.0 });
    }

    #[test]
    fn pools_round_up() {
        let map = Preset::NinCifar.architecture(10).map_size(32, 32);
        assert_eq!(map, Ok((8, 8)), "32 → 16 → 8");
        let map = Preset::NinImagenet.architecture(10).map_size(224, 224);
        assert_eq!(map, Ok((6, 6)), "224 → 54 → 27 → 13 → 6");
    }

    #[test]
    fn every_preset_runs_on_its_own_size_and_on_others() {
        for preset in [Preset::NinOutline, Preset::Nin28, Preset::NinCifar, Preset::NinImagenet] {
            let architecture = preset.architecture(7);
            let size = preset.input_size();
            assert!(architecture.map_size(size.width, size.height).is_ok(), "{preset:?}");
            assert!(architecture.map_size(2 * size.width, size.height + 5).is_ok(), "{preset:?}");
            assert!(architecture.map_size(4, 4).is_err() || preset == Preset::NinCifar);
        }
    }
}
