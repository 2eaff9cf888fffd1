//! The input of a request, however it travels: encoded pictures, or pixels ready for the network.

use bytes::Bytes;

use super::error::TensorError;
use super::tensor::{Datatype, floats, split_elements};
use crate::batching::{BudgetExceeded, BytesPermit, MemoryBudget};
use crate::model::{Pixels, Sample};
use crate::preprocess::InputSpec;

pub(crate) const IMAGE: &str = "image";
pub(crate) const PIXELS: &str = "pixels";

/// What is to be classified.
#[derive(Debug)]
pub(crate) enum Input {
    /// Encoded pictures.
    Pictures(Vec<Bytes>),
    /// With the memory that each takes.
    Samples(Vec<(Sample, BytesPermit)>),
}

impl Input {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Pictures(pictures) => pictures.len(),
            Self::Samples(samples) => samples.len(),
        }
    }
}

/// What a request says of its input, checked against the model before its data is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) input: &'static str,
    pub(crate) datatype: Datatype,
    /// Pictures, at most as many as a request may hold.
    pub(crate) count: usize,
    /// Elements of one picture; one if it is encoded.
    pub(crate) elements: usize,
}

/// What a model takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted<'a> {
    pub(crate) spec: &'a InputSpec,
    /// Pictures in one request, at most.
    pub(crate) most: usize,
}

impl Accepted<'_> {
    pub(crate) fn layout(
        &self,
        name: &str,
        datatype: &str,
        shape: &[i64],
    ) -> Result<Layout, TensorError> {
        let (height, width) = (i64::from(self.spec.height), i64::from(self.spec.width));
        let channels = self.spec.channels.count() as i64;
        let (input, datatype, count) = match (name, datatype) {
            (IMAGE, "BYTES") => match shape {
                [count] | [count, 1] => (IMAGE, Datatype::Bytes, *count),
                _ => return Err(wrong_shape(IMAGE, shape, "[N] or [N, 1]".to_owned())),
            },
            (PIXELS, "FP32") => match shape {
                [count, sample @ ..] if sample == [channels, height, width] => {
                    (PIXELS, Datatype::Fp32, *count)
                }
                _ => {
                    let expected = format!("[N, {channels}, {height}, {width}] for FP32");
                    return Err(wrong_shape(PIXELS, shape, expected));
                }
            },
            (PIXELS, "UINT8") => match shape {
                [count, sample @ ..] if sample == [height, width, channels] => {
                    (PIXELS, Datatype::Uint8, *count)
                }
                _ => {
                    let expected = format!("[N, {height}, {width}, {channels}] for UINT8");
                    return Err(wrong_shape(PIXELS, shape, expected));
                }
            },
            (IMAGE, found) => return Err(wrong_datatype(IMAGE, "BYTES", found)),
            (PIXELS, found) => return Err(wrong_datatype(PIXELS, "FP32 or UINT8", found)),
            (other, _) => return Err(TensorError::UnknownInput(clipped(other))),
        };
        if count < 1 {
            return Err(wrong_shape(input, shape, "at least one picture".to_owned()));
        }
        let fits = usize::try_from(count).ok().filter(|count| *count <= self.most);
        let count = fits.ok_or(TensorError::TooMany { count, limit: self.most })?;
        let elements = if input == IMAGE { 1 } else { self.spec.bytes() };
        Ok(Layout { input, datatype, count, elements })
    }
}

impl Layout {
    /// The memory of each sample, to be taken before it is allocated.
    pub(crate) fn reserve(
        &self,
        budget: &MemoryBudget,
    ) -> Result<Vec<BytesPermit>, BudgetExceeded> {
        let bytes = self.elements as u64 * self.datatype.size().unwrap_or(0) as u64;
        (0..self.count).map(|_| budget.try_acquire(bytes)).collect()
    }

    /// Pictures or pixels out of the binary part.
    pub(crate) fn read_binary(
        &self,
        data: Bytes,
        budget: &MemoryBudget,
    ) -> Result<Input, InputError> {
        let Some(size) = self.datatype.size() else {
            return Ok(Input::Pictures(split_elements(data, self.count).map_err(self.wrong())?));
        };
        // The factors are bounded by the model's input and the limit of pictures.
        let (sample, expected) = (self.elements * size, self.count * self.elements * size);
        if data.len() != expected {
            let (input, datatype, found) = (self.input, self.datatype, data.len());
            return Err(TensorError::Size { input, datatype, found, expected }.into());
        }
        let permits = self.reserve(budget)?;
        let pixels = data.chunks_exact(sample).map(|sample| match self.datatype {
            Datatype::Fp32 => Pixels::Floats(floats(sample)),
            Datatype::Uint8 | Datatype::Bytes => Pixels::Bytes(sample.to_vec()),
        });
        self.samples(pixels, permits)
    }

    /// Puts pixels and their memory together.
    pub(crate) fn samples(
        &self,
        pixels: impl Iterator<Item = Pixels>,
        permits: Vec<BytesPermit>,
    ) -> Result<Input, InputError> {
        let mut samples = Vec::with_capacity(self.count);
        for (index, (pixels, permit)) in pixels.zip(permits).enumerate() {
            // The network would answer with numbers that are none.
            if let Pixels::Floats(values) = &pixels
                && !values.iter().all(|value| value.is_finite())
            {
                return Err(self.wrong()(format!("picture {index} holds NaN or infinity")).into());
            }
            samples.push((Sample { pixels, maps: false }, permit));
        }
        Ok(Input::Samples(samples))
    }

    pub(crate) fn wrong(&self) -> impl Fn(String) -> TensorError + use<> {
        let input = self.input;
        move |detail| TensorError::Data { input, detail }
    }
}

/// Why there is no input.
#[derive(Debug)]
pub(crate) enum InputError {
    Tensor(TensorError),
    Memory(BudgetExceeded),
}

impl From<TensorError> for InputError {
    fn from(error: TensorError) -> Self {
        Self::Tensor(error)
    }
}

impl From<BudgetExceeded> for InputError {
    fn from(error: BudgetExceeded) -> Self {
        Self::Memory(error)
    }
}

fn wrong_shape(input: &'static str, found: &[i64], expected: String) -> TensorError {
    TensorError::Shape { input, found: found.to_vec(), expected }
}

fn wrong_datatype(input: &'static str, expected: &'static str, found: &str) -> TensorError {
    TensorError::Datatype { input, expected, found: clipped(found) }
}

/// What a client calls something, short enough for a message.
pub(super) fn clipped(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Channels;

    fn layout(name: &str, datatype: &str, shape: &[i64]) -> Result<Layout, TensorError> {
        let spec = InputSpec::plain(6, 4, Channels::Colour);
        Accepted { spec: &spec, most: 8 }.layout(name, datatype, shape)
    }

    #[test]
    fn what_a_model_takes() {
        for (name, datatype, shape, count, elements) in [
            ("image", "BYTES", &[1][..], 1, 1),
            ("image", "BYTES", &[8, 1], 8, 1),
            ("pixels", "FP32", &[2, 3, 4, 6], 2, 72),
            ("pixels", "UINT8", &[8, 4, 6, 3], 8, 72),
        ] {
            let layout = layout(name, datatype, shape).expect("accepted");
            assert_eq!((layout.count, layout.elements), (count, elements), "{shape:?}");
        }
    }

    #[test]
    fn what_it_does_not_take_is_named() {
        for (name, datatype, shape, part) in [
            ("picture", "BYTES", &[1][..], "no input \"picture\""),
            ("image", "FP32", &[1], "\"image\" is BYTES, not \"FP32\""),
            ("pixels", "FP16", &[1, 3, 4, 6], "\"pixels\" is FP32 or UINT8, not \"FP16\""),
            ("image", "BYTES", &[], "expected [N] or [N, 1]"),
            ("image", "BYTES", &[1, 2], "expected [N] or [N, 1]"),
            ("image", "BYTES", &[0], "at least one picture"),
            ("image", "BYTES", &[-1], "at least one picture"),
            ("image", "BYTES", &[9], "9 pictures in one request; at most 8"),
            ("image", "BYTES", &[i64::MAX], "at most 8"),
            ("pixels", "FP32", &[1, 4, 6, 3], "expected [N, 3, 4, 6]"),
            ("pixels", "FP32", &[3, 4, 6], "expected [N, 3, 4, 6]"),
            ("pixels", "UINT8", &[1, 3, 4, 6], "expected [N, 4, 6, 3]"),
            ("pixels", "UINT8", &[i64::MAX, 4, 6, 3], "at most 8"),
        ] {
            let error = layout(name, datatype, shape).expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn binary_pixels_are_measured_before_they_are_copied() {
        let layout = layout("pixels", "FP32", &[2, 3, 4, 6]).expect("accepted");
        let budget = MemoryBudget::new(1 << 20);
        for length in [0, 575, 577] {
            let error = layout.read_binary(vec![0; length].into(), &budget);
            assert!(matches!(error, Err(InputError::Tensor(TensorError::Size { .. }))));
        }
        let input = layout.read_binary(vec![0; 576].into(), &budget).expect("right");
        assert_eq!((input.len(), budget.in_flight()), (2, 2048));
        let nan = f32::NAN.to_le_bytes().repeat(144).into();
        assert!(matches!(layout.read_binary(nan, &budget), Err(InputError::Tensor(_))));
        let full = layout.read_binary(vec![0; 576].into(), &MemoryBudget::new(1024));
        assert!(matches!(full, Err(InputError::Memory(BudgetExceeded::Full { .. }))));
    }
}
