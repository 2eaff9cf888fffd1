//! A convolution and the 1×1 convolutions after it, some pixels at a time.
//!
//! The mlpconv block of Lin, Chen & Yan 2013 (arXiv:1312.4400) slides a small perceptron over a picture.
//! Here the same pixels go through all its layers before others do, so that what is between the layers
//! stays in the caches. Each layer is a product of matrices, with a row for each pixel.

use tch::{Device, Kind, TchError, Tensor};

use super::Epilogue;
use super::elements::{values, values_mut};
use super::product::{Rows, multiply, panels};
use super::registers::{Available, Registers};
use super::share::Work;
use super::tiles::Grid;
use super::window::Window;
use crate::model::fused::Activation;

/// Output pixels that go through all layers together.
const PIXELS_AT_ONCE: usize = 48;
/// Convolutions of more channels are oneDNN's, unless they are 1×1: it is as fast then, and gathers
/// nothing.
const FEW_CHANNELS: usize = 4;

/// Convolutions of which all but the first are 1×1.
#[derive(Debug)]
pub(in crate::model) struct MlpConv {
    registers: Available,
    window: Window,
    layers: Vec<Layer>,
}

/// `filters` of `depth` weights each.
#[derive(Debug)]
struct Layer {
    /// In panels.
    weights: Vec<f32>,
    epilogue: Epilogue,
    depth: usize,
    filters: usize,
    /// Values from one pixel's outputs to the next one's: whole panels.
    width: usize,
}

impl MlpConv {
    /// Of a `weight`, `[filters, channels, kernel, kernel]`, and a `bias`, `[filters]`. None where
    /// oneDNN's convolution is as fast.
    pub(in crate::model) fn new(
        (weight, bias): (&Tensor, &Tensor),
        [stride, padding]: [i64; 2],
        activation: Activation,
    ) -> Result<Option<Self>, TchError> {
        let (filters, channels, kernel, _) = weight.size4()?;
        let [filters, channels, kernel] = [filters, channels, kernel].map(|n| n as usize);
        let [stride, padding] = [stride, padding].map(|n| n as usize);
        let window = Window { channels, kernel, stride, padding };
        let Some(registers) = Available::detect() else { return Ok(None) };
        if channels > FEW_CHANNELS && !window.is_pixel() {
            return Ok(None);
        }
        // `[kernel, kernel, channels, filters]`, the order in which rows are gathered.
        let weight = weight.f_permute([2, 3, 1, 0])?.f_contiguous()?;
        let weights = panels(values(&weight)?, filters, registers.panel());
        let epilogue = Epilogue::new(bias, activation)?;
        let width = filters.next_multiple_of(registers.panel());
        let layer = Layer { weights, epilogue, depth: window.depth(), filters, width };
        Ok(Some(Self { registers, window, layers: vec![layer] }))
    }

    /// Appends `next`, which sees what this puts out, or gives it back if it sees more than a pixel at
    /// a time.
    pub(in crate::model) fn append(&mut self, next: Self) -> Option<Self> {
        if !next.window.is_pixel() {
            return Some(next);
        }
        self.layers.extend(next.layers);
        None
    }

    /// The output, `[N, filters, h, w]`, for `x`, `[N, channels, H, W]`; channels-last, as `x` should be.
    pub(in crate::model) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (pictures, channels, height, width) = x.size4()?;
        let [pictures, channels, height, width] =
            [pictures, channels, height, width].map(|n| n as usize);
        let sides = [height, width].map(|side| self.window.outputs(side));
        let (true, [Some(out_height), Some(out_width)]) = (channels == self.window.channels, sides)
        else {
            return Err(TchError::Shape(format!("{:?} of {:?}", self.window, x.size())));
        };
        let filters = self.layers.last().map_or(channels, |last| last.filters);
        let shape = [pictures, out_height, out_width, filters].map(|n| n as i64);
        let mut y = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let (x, size) = (values(&x)?, Grid { height, width, out_height, out_width });
        let multiplications = self.layers.iter().map(|layer| layer.depth * layer.filters).sum();
        let items = pictures * out_height * out_width;
        let work = Work { items, together: PIXELS_AT_ONCE, multiplications };
        work.share(
            values_mut(&mut y)?,
            |pixel| pixel * filters,
            |pixels, y| match self.registers {
                Available::Avx2(registers) => self.fill(registers, (x, size), y, pixels),
                Available::Avx512(registers) => self.fill(registers, (x, size), y, pixels),
            },
        );
        y.f_permute([0, 3, 1, 2])
    }

    /// Writes the pixels from `first` to before `end` to `y`.
    fn fill<R: Registers>(
        &self,
        registers: R,
        (x, size): (&[f32], Grid),
        y: &mut [f32],
        [first, end]: [usize; 2],
    ) {
        let Some((last, before)) = self.layers.split_last() else { return };
        let buffer = |width: usize| vec![0.0; PIXELS_AT_ONCE * width];
        let mut window = buffer(self.window.depth());
        let mut between: Vec<_> = before.iter().map(|layer| buffer(layer.width)).collect();
        let mut outputs = buffer(last.width);
        let parts = (first..end).step_by(PIXELS_AT_ONCE);
        for (first, y) in parts.zip(y.chunks_mut(PIXELS_AT_ONCE * last.filters)) {
            let count = y.len() / last.filters;
            let values = self.window.rows((x, size), [first, count], &mut window);
            let depth = self.window.depth();
            let mut input = Rows { values, count, depth, stride: depth };
            for (layer, outputs) in before.iter().zip(&mut between) {
                layer.run(registers, input, outputs);
                let (depth, stride) = (layer.filters, layer.width);
                input = Rows { values: outputs, count, depth, stride };
            }
            if last.width == last.filters {
                last.run(registers, input, y);
                continue;
            }
            last.run(registers, input, &mut outputs);
            let pixels = y.chunks_exact_mut(last.filters);
            for (pixel, outputs) in pixels.zip(outputs.chunks_exact(last.width)) {
                pixel.copy_from_slice(&outputs[..last.filters]);
            }
        }
    }
}

impl Layer {
    fn run<R: Registers>(&self, registers: R, input: Rows<'_>, outputs: &mut [f32]) {
        registers.call(
            #[inline(always)]
            || {
                multiply(
                    registers,
                    (input, &self.weights),
                    outputs,
                    #[inline(always)]
                    |sums, filter| self.epilogue.apply(registers, sums, filter),
                );
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// The three layers, and the same by their definition.
    fn block(
        channels: i64,
        kernel: i64,
        settings: [i64; 2],
    ) -> Option<(MlpConv, Vec<[Tensor; 2]>)> {
        let mut shape = [40, channels, kernel, kernel];
        let mut weights = Vec::new();
        let mut block: Option<MlpConv> = None;
        for (filters, activation) in
            [(40, Activation::Relu), (33, Activation::Relu), (10, Activation::None)]
        {
            shape[0] = filters;
            let (weight, bias) = (random(&shape), random(&[filters]));
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

    #[test]
    fn it_is_its_convolutions_one_after_the_other() {
        tch::manual_seed(1);
        for (channels, kernel, [stride, padding], [height, width]) in [
            (3, 5, [1, 2], [9, 8]),
            (1, 5, [1, 2], [28, 28]),
            (3, 11, [4, 0], [31, 43]),
            (4, 3, [2, 3], [2, 4]),
            (50, 1, [1, 0], [7, 5]),
        ] {
            let Some((block, weights)) = block(channels, kernel, [stride, padding]) else { return };
            for pictures in [1, 30] {
                let x = random(&[pictures, channels, height, width]);
                let mut expected = x.shallow_clone();
                for (layer, [weight, bias]) in weights.iter().enumerate() {
                    let (stride, padding) = if layer == 0 { (stride, padding) } else { (1, 0) };
                    let y =
                        expected.conv2d(weight, Some(bias), [stride; 2], [padding; 2], [1; 2], 1);
                    expected = if layer < 2 { y.relu() } else { y };
                }
                let found = block.run(&x).expect("output");
                assert_eq!(found.size(), expected.size(), "kernel {kernel}");
                let difference = (&found - &expected).abs().max().double_value(&[]);
                let largest = expected.abs().max().double_value(&[]);
                assert!(difference < 1e-5 * largest, "kernel {kernel}: {difference} of {largest}");
            }
            assert!(block.run(&random(&[1, channels + 1, height, width])).is_err());
        }
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
