//! A convolution and the 1×1 convolutions after it, some pixels at a time.
//!
//! The mlpconv block of Lin, Chen & Yan 2013 (arXiv:1312.4400) slides a small perceptron over a picture.
//! Here the same pixels go through all its layers before others do, so that what is between the layers
//! stays in the caches. Each layer is a product of matrices, with a row for each pixel.

use tch::{Kind, TchError, Tensor};

use super::amx::{self, Amx};
use super::block::Block;
use super::fetch::Fetch;
use super::multiplier::Pairs;
use super::registers::{Available, Avx2, Avx512};
use super::window::Window;
use crate::model::fused::Activation;

/// Convolutions of more channels are oneDNN's, unless they are 1×1 or multiplied in tiles: it is as fast
/// then, and gathers nothing.
const FEW_CHANNELS: usize = 4;

/// Convolutions of which all but the first are 1×1, in f32 or bf16.
#[derive(Debug)]
pub(in crate::model) struct MlpConv(Blocks);

#[derive(Debug)]
enum Blocks {
    Avx2(Block<Avx2>),
    Avx512(Block<Avx512>),
    Pairs(Block<Pairs>),
    Amx(amx::Block),
}

impl MlpConv {
    /// Of a `weight`, `[filters, channels, kernel, kernel]`, and a `bias`, `[filters]`. None where
    /// oneDNN's convolution is as fast.
    pub(in crate::model) fn new(
        values: (&Tensor, &Tensor),
        [stride, padding]: [i64; 2],
        activation: Activation,
    ) -> Result<Option<Self>, TchError> {
        let (_, channels, kernel, _) = values.0.size4()?;
        let [channels, kernel, stride, padding] =
            [channels, kernel, stride, padding].map(|n| n as usize);
        let window = Window { channels, kernel, stride, padding };
        let amx = Amx::detect().filter(|_| values.0.kind() == Kind::BFloat16);
        if channels > FEW_CHANNELS && !window.is_pixel() && amx.is_none() {
            return Ok(None);
        }
        let blocks = match (values.0.kind(), Available::detect()) {
            (Kind::Float, Some(Available::Avx2(registers))) => {
                Blocks::Avx2(Block::new(registers, values, window, activation)?)
            }
            (Kind::Float, Some(Available::Avx512(registers))) => {
                Blocks::Avx512(Block::new(registers, values, window, activation)?)
            }
            (Kind::BFloat16, _) => match (amx, Pairs::detect()) {
                (Some(amx), _) => Blocks::Amx(amx::Block::new(amx, values, window, activation)?),
                (_, Some(pairs)) => Blocks::Pairs(Block::new(pairs, values, window, activation)?),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Self(blocks)))
    }

    /// Appends `next`, which sees what this puts out, or gives it back if it sees more than a pixel at
    /// a time.
    pub(in crate::model) fn append(&mut self, next: Self) -> Option<Self> {
        let left = match (&mut self.0, next.0) {
            (Blocks::Avx2(block), Blocks::Avx2(next)) => block.append(next).map(Blocks::Avx2),
            (Blocks::Avx512(block), Blocks::Avx512(next)) => block.append(next).map(Blocks::Avx512),
            (Blocks::Pairs(block), Blocks::Pairs(next)) => block.append(next).map(Blocks::Pairs),
            (Blocks::Amx(block), Blocks::Amx(next)) => block.append(next).map(Blocks::Amx),
            (_, next) => Some(next),
        };
        left.map(Self)
    }

    /// The output, `[N, filters, h, w]`, for `x`, `[N, channels, H, W]`, both of the weight's kind;
    /// channels-last, as `x` should be.
    pub(in crate::model) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match &self.0 {
            Blocks::Avx2(block) => block.run(x),
            Blocks::Avx512(block) => block.run(x),
            Blocks::Pairs(block) => block.run(x),
            Blocks::Amx(block) => block.run(x),
        }
    }

    /// Of each layer.
    pub(in crate::model) fn weights(&self) -> Vec<&dyn Fetch> {
        match &self.0 {
            Blocks::Avx2(block) => block.weights(),
            Blocks::Avx512(block) => block.weights(),
            Blocks::Pairs(block) => block.weights(),
            Blocks::Amx(block) => block.weights(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// The three layers, and the same by their definition.
    fn block(
        kind: Kind,
        filters: [i64; 3],
        [channels, kernel]: [i64; 2],
        settings: [i64; 2],
    ) -> Option<(MlpConv, Vec<[Tensor; 2]>)> {
        let mut shape = [0, channels, kernel, kernel];
        let mut weights = Vec::new();
        let mut block: Option<MlpConv> = None;
        let activations = [Activation::Relu, Activation::Relu, Activation::None];
        for (filters, activation) in filters.into_iter().zip(activations) {
            shape[0] = filters;
            let (weight, bias) = (random(&shape).to_kind(kind), random(&[filters]).to_kind(kind));
            let settings = if block.is_none() { settings } else { [1, 0] };
            let layer = MlpConv::new((&weight, &bias), settings, activation).expect("weights")?;
            match &mut block {
                Some(block) => assert!(block.append(layer).is_none()),
                None => block = Some(layer),
            }
            weights.push([weight, bias]);
            shape = [0, filters, 1, 1];
        }
        Some((block?, weights))
    }

    /// `tolerance` is a part of the largest output.
    fn check(kind: Kind, tolerance: f64) {
        tch::manual_seed(1);
        tch::set_num_threads(2);
        const FEW: [i64; 3] = [40, 33, 10];
        // So many that threads divide them.
        const MANY: [i64; 3] = [600, 500, 10];
        for (filters, channels, kernel, [stride, padding], [height, width]) in [
            (FEW, 3, 5, [1, 2], [9, 8]),
            (FEW, 1, 5, [1, 2], [28, 28]),
            (FEW, 3, 11, [4, 0], [31, 43]),
            (FEW, 50, 5, [1, 2], [9, 27]),
            (FEW, 64, 3, [1, 1], [6, 6]),
            (FEW, 33, 3, [2, 1], [8, 70]),
            (FEW, 4, 3, [2, 3], [2, 4]),
            (FEW, 50, 1, [1, 0], [7, 5]),
            (FEW, 33, 1, [1, 0], [7, 5]),
            (MANY, 64, 3, [1, 1], [20, 19]),
        ] {
            let found = block(kind, filters, [channels, kernel], [stride, padding]);
            let Some((block, weights)) = found else { continue };
            for pictures in [1, 30] {
                let x = random(&[pictures, channels, height, width]).to_kind(kind);
                let mut expected = x.to_kind(Kind::Float);
                for (layer, weights) in weights.iter().enumerate() {
                    let [weight, bias] = weights.each_ref().map(|x| x.to_kind(Kind::Float));
                    let (stride, padding) = if layer == 0 { (stride, padding) } else { (1, 0) };
                    let y =
                        expected.conv2d(&weight, Some(&bias), [stride; 2], [padding; 2], [1; 2], 1);
                    let y = if layer < 2 { y.relu() } else { y };
                    expected = y.to_kind(kind).to_kind(Kind::Float);
                }
                let found = block.run(&x).expect("output");
                assert_eq!((found.kind(), found.size()), (kind, expected.size()));
                let difference = (&found - &expected).abs().max().double_value(&[]);
                let largest = expected.abs().max().double_value(&[]);
                assert!(
                    difference < tolerance * largest,
                    "kernel {kernel}: {difference} of {largest}"
                );
            }
            for shape in [[1, channels + 1, height, width], [0, channels, height, width]] {
                assert!(block.run(&random(&shape).to_kind(kind)).is_err(), "{shape:?}");
            }
        }
    }

    #[test]
    fn it_is_its_convolutions_one_after_the_other() {
        check(Kind::Float, 1e-5);
    }

    #[test]
    fn it_is_so_in_bf16() {
        // A value that is rounded the other way differs in the last of eight bits.
        check(Kind::BFloat16, 1e-2);
    }

    #[test]
    fn other_convolutions_are_left() {
        let new = |shape: [i64; 4], settings| {
            MlpConv::new((&random(&shape), &random(&shape[..1])), settings, Activation::Relu)
        };
        assert!(new([64, 48, 3, 3], [1, 1]).expect("weights").is_none());
        assert!(new([64, 48, 1, 1], [2, 0]).expect("weights").is_none());
    }
}
