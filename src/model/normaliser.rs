//! From bytes to what a network takes.

use super::classifier::{ClassifierError, Pixels};
use super::simd::floats_mut;
use crate::preprocess::InputSpec;
use tch::{Device, Kind, Tensor};

/// `(pixel * scale - mean) / std`, as `pixel * gain + offset`.
#[derive(Debug)]
pub(super) struct Normaliser {
    /// Of each value of a row of pixels, `[W, C]`: so loops need not know how many channels there are.
    gain: Vec<f32>,
    offset: Vec<f32>,
    /// Height, width, channels.
    shape: [usize; 3],
}

impl Normaliser {
    pub(super) fn new(input: &InputSpec) -> Self {
        let (height, width) = (input.height as usize, input.width as usize);
        let gain: Vec<f32> = input.std.iter().map(|std| input.scale / std).collect();
        let offset: Vec<f32> = input.mean.iter().zip(&input.std).map(|(m, s)| -m / s).collect();
        let shape = [height, width, input.channels.count()];
        Self { gain: gain.repeat(width), offset: offset.repeat(width), shape }
    }

    /// `[N, C, H, W]`, channels-last, in f32.
    pub(super) fn tensor(&self, pictures: &[&Pixels]) -> Result<Tensor, ClassifierError> {
        let [height, width, channels] = self.shape.map(|n| n as i64);
        let expected = self.shape.iter().product();
        let shape = [pictures.len() as i64, height, width, channels];
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let outputs = floats_mut(&mut tensor)?.chunks_exact_mut(expected);
        for (picture, outputs) in pictures.iter().zip(outputs) {
            let found = match picture {
                Pixels::Bytes(values) => values.len(),
                Pixels::Floats(values) => values.len(),
            };
            if found != expected {
                return Err(ClassifierError::SampleSize { found, expected });
            }
            match picture {
                Pixels::Bytes(values) => self.normalise(values, outputs),
                Pixels::Floats(values) => self.interleave(values, outputs),
            }
        }
        Ok(tensor.f_permute([0, 3, 1, 2])?)
    }

    /// Of `[H, W, C]`, as the outputs are.
    fn normalise(&self, values: &[u8], outputs: &mut [f32]) {
        let row = self.gain.len();
        for (values, outputs) in values.chunks_exact(row).zip(outputs.chunks_exact_mut(row)) {
            let factors = self.gain.iter().zip(&self.offset);
            for ((output, value), (gain, offset)) in outputs.iter_mut().zip(values).zip(factors) {
                *output = f32::from(*value) * gain + offset;
            }
        }
    }

    /// Of `[C, H, W]`.
    fn interleave(&self, values: &[f32], outputs: &mut [f32]) {
        let [height, width, channels] = self.shape;
        for (channel, plane) in values.chunks_exact(height * width).enumerate() {
            for (output, value) in outputs.chunks_exact_mut(channels).zip(plane) {
                output[channel] = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Channels;

    #[test]
    fn both_forms_of_pixels_become_the_same() {
        let mut input = InputSpec::plain(3, 2, Channels::Colour);
        (input.scale, input.mean, input.std) = (0.5, vec![1.0, 2.0, 3.0], vec![0.5, 2.0, 4.0]);
        let bytes: Vec<u8> = (0..18).map(|n| n * 13).collect();
        let normalised = |channel: usize, byte: u8| {
            (f32::from(byte) * 0.5 - input.mean[channel]) / input.std[channel]
        };
        let pixels = |channel| bytes.iter().skip(channel).step_by(3);
        let planes: Vec<f32> = (0..3)
            .flat_map(|channel| pixels(channel).map(move |byte| normalised(channel, *byte)))
            .collect();
        let normaliser = Normaliser::new(&input);
        let forms = [Pixels::Bytes(bytes.clone()), Pixels::Floats(planes.clone())];
        let tensor = normaliser.tensor(&[&forms[0], &forms[1]]).expect("a tensor");
        assert_eq!(tensor.size(), [2, 3, 2, 3]);
        let found = Vec::<f32>::try_from(tensor.contiguous().flatten(0, 3)).expect("values");
        for (found, expected) in found.iter().zip(planes.iter().chain(&planes)) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        let short = Pixels::Bytes(bytes[1..].to_vec());
        assert!(normaliser.tensor(&[&short]).is_err());
        assert!(normaliser.tensor(&[]).is_err());
    }
}
