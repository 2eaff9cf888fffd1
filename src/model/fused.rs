//! Convolution, bias and ReLU in one pass, with weights that were packed beforehand.
//!
//! oneDNN applies ReLU to a convolution's output before that leaves the processor's registers, and
//! reads weights in blocks of its own order. libtorch has both as the operators
//! `mkldnn::_convolution_pointwise` and `mkldnn::_reorder_convolution_weight`, which its C interface
//! leaves out. TorchScript can call every operator: `fused.pt` is an archive of two one-line
//! methods, written by `scripts/fused_operators.py`.

use tch::{CModule, IValue, TchError, Tensor};

const ARCHIVE: &[u8] = include_bytes!("fused.pt");

/// What is done to the output of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
}

/// The two operators, ready to be called. In bf16 they need [`Precision::is_native`].
#[derive(Debug)]
pub struct Fused(CModule);

impl Fused {
    pub fn load() -> Result<Self, TchError> {
        Ok(Self(CModule::load_data(&mut &*ARCHIVE)?))
    }

    /// A channels-last weight `[filters, channels, kernel, kernel]`, reordered for
    /// [`Fused::convolve`] of inputs `[N, C, H, W]`, and for nothing else. Inputs of another size
    /// have it reordered anew in every call.
    pub fn pack(
        &self,
        weight: &Tensor,
        [stride, padding]: [i64; 2],
        input: [i64; 4],
    ) -> Result<Tensor, TchError> {
        let input = IValue::IntList(input.to_vec());
        let arguments = [weight.shallow_clone().into(), stride.into(), padding.into(), input];
        self.call("pack", &arguments)
    }

    /// `x` is `[N, C, H, W]`, channels-last. `stride` and `padding` are those of the packing.
    pub fn convolve(
        &self,
        x: &Tensor,
        (weight, bias): (&Tensor, &Tensor),
        [stride, padding]: [i64; 2],
        activation: Activation,
    ) -> Result<Tensor, TchError> {
        let tensors = [x, weight, bias].map(|tensor| IValue::Tensor(tensor.shallow_clone()));
        let name = match activation {
            Activation::None => "none",
            Activation::Relu => "relu",
        };
        let [x, weight, bias] = tensors;
        let settings = [stride.into(), padding.into(), IValue::String(name.to_owned())];
        let [stride, padding, activation] = settings;
        self.call("convolve", &[x, weight, bias, stride, padding, activation])
    }

    fn call(&self, method: &str, arguments: &[IValue]) -> Result<Tensor, TchError> {
        match self.0.method_is(method, arguments)? {
            IValue::Tensor(tensor) => Ok(tensor),
            other => Err(TchError::Kind(format!("{method} gave no tensor, but {other:?}"))),
        }
    }
}
