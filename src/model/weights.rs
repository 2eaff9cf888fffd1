//! Weights on disk: a safetensors file with `conv<i>.weight` and `conv<i>.bias`, `i` from 1.
//!
//! `conv<i>.weight` is `[filters, channels, kernel, kernel]`, as `torch.nn.Conv2d` has it, and
//! `conv<i>.bias` is `[filters]`; both f32, bf16 or f16. Nothing else may be in the file.

use super::architecture::ConvShape;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use tch::{Kind, TchError, Tensor};

/// One pair of weight `[filters, channels, kernel, kernel]` and bias `[filters]` per convolution,
/// in layer order, f32.
#[derive(Debug)]
pub struct Weights {
    pub convolutions: Vec<(Tensor, Tensor)>,
}

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("not a readable safetensors file: {0}")]
    Unreadable(#[from] safetensors::SafeTensorError),
    #[error("tensor {name} is missing")]
    Missing { name: String },
    #[error("tensor {name} does not belong to this architecture")]
    Surplus { name: String },
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("tensor {name} has element type {found:?}, expected F32, BF16 or F16")]
    ElementType { name: String, found: Dtype },
    #[error("tensor {name} holds values that are not finite")]
    NotFinite { name: String },
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// Element type of weights on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Storage {
    F32,
    Bf16,
}

impl Weights {
    /// Reads a safetensors file that must hold exactly the tensors of `shapes`.
    pub fn read(bytes: &[u8], shapes: &[ConvShape]) -> Result<Self, WeightsError> {
        let file = SafeTensors::deserialize(bytes)?;
        let mut left: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
        let mut take = |name: String, expected: &[usize]| match left.remove(name.as_str()) {
            Some(view) => read_tensor(name, &view, expected),
            None => Err(WeightsError::Missing { name }),
        };
        let mut convolutions = Vec::with_capacity(shapes.len());
        for (index, shape) in shapes.iter().enumerate() {
            let weight = take(weight_name(index), &shape.weight())?;
            let bias = take(bias_name(index), &[shape.filters as usize])?;
            convolutions.push((weight, bias));
        }
        match left.pop_first() {
            Some((name, _)) => Err(WeightsError::Surplus { name: name.to_owned() }),
            None => Ok(Self { convolutions }),
        }
    }

    /// The bytes of a safetensors file.
    pub fn write(&self, storage: Storage) -> Result<Vec<u8>, WeightsError> {
        let mut tensors = Vec::new();
        for (index, (weight, bias)) in self.convolutions.iter().enumerate() {
            tensors.push((weight_name(index), Stored::new(weight, storage)?));
            tensors.push((bias_name(index), Stored::new(bias, storage)?));
        }
        let views = tensors.iter().map(|(name, stored)| Ok((name.as_str(), stored.view()?)));
        let views: Vec<_> = views.collect::<Result<_, WeightsError>>()?;
        Ok(safetensors::serialize(views, None)?)
    }
}

fn weight_name(index: usize) -> String {
    format!("conv{}.weight", index + 1)
}

fn bias_name(index: usize) -> String {
    format!("conv{}.bias", index + 1)
}

fn read_tensor(
    name: String,
    view: &TensorView<'_>,
    expected: &[usize],
) -> Result<Tensor, WeightsError> {
    if view.shape() != expected {
        let (found, expected) = (view.shape().to_vec(), expected.to_vec());
        return Err(WeightsError::Shape { name, found, expected });
    }
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        found => return Err(WeightsError::ElementType { name, found }),
    };
    let shape: Vec<i64> = expected.iter().map(|&side| side as i64).collect();
    let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?.f_to_kind(Kind::Float)?;
    if !is_finite(&tensor)? {
        return Err(WeightsError::NotFinite { name });
    }
    Ok(tensor)
}

pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool, TchError> {
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}

/// A tensor as the bytes that go to disk.
struct Stored {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    dtype: Dtype,
}

impl Stored {
    fn new(tensor: &Tensor, storage: Storage) -> Result<Self, TchError> {
        let shape = tensor.size().iter().map(|&side| side as usize).collect();
        let mut values = vec![0f32; tensor.numel()];
        let plain = tensor.f_to_kind(Kind::Float)?.f_contiguous()?;
        plain.f_copy_data(&mut values, tensor.numel())?;
        let (dtype, bytes) = match storage {
            Storage::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Storage::Bf16 => {
                let rounded = values.iter().map(|&v| half::bf16::from_f32(v));
                (Dtype::BF16, rounded.flat_map(|v| v.to_le_bytes()).collect())
            }
        };
        Ok(Self { shape, bytes, dtype })
    }

    fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}
