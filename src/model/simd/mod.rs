//! Convolutions in f32 of our own, for processors with AVX2 and FMA.
//!
//! A convolution of libtorch's writes all its outputs to memory before the next one reads them, and so does
//! each step of Winograd's algorithm if it is made of libtorch's operators. Here some pixels or tiles at a
//! time go through several layers or steps within the caches, and what is left of a layer is taken by
//! whichever thread is done.
//!
//! The inner loop, in [`product`], has intrinsics. All else is loops over arrays as wide as the registers,
//! which the compiler turns into vector instructions in functions that are compiled for AVX2 and FMA.
//! `unsafe` is needed to call those, after a look at the processor, and to reach the values of a tensor.

mod mlpconv;
mod product;
mod share;
mod tiles;
mod transform;
mod winograd;

pub(super) use mlpconv::MlpConv;
pub(super) use winograd::WinogradConv;

use super::fused::Activation;
use tch::{Device, Kind, TchError, Tensor};

/// Filters come in panels of so many: two registers of AVX2.
const PANEL: usize = 16;
/// Channels of a tile are transformed so many at a time: one register.
const LANES: usize = 8;

/// Whether this processor can run what is in here.
fn is_supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether it has no wider registers than these, with which oneDNN would do twice as much.
fn is_widest() -> bool {
    is_supported() && !is_x86_feature_detected!("avx512f")
}

/// What is added to an output, and below what it is not let fall.
#[derive(Debug)]
struct Epilogue {
    /// `[filters]`, filled up to whole panels.
    bias: Vec<f32>,
    floor: f32,
}

impl Epilogue {
    fn new(bias: &Tensor, activation: Activation) -> Result<Self, TchError> {
        let floor = match activation {
            Activation::None => f32::NEG_INFINITY,
            Activation::Relu => 0.0,
        };
        let mut bias = values(&bias.f_contiguous()?)?.to_vec();
        bias.resize(bias.len().next_multiple_of(PANEL), 0.0);
        Ok(Self { bias, floor })
    }

    /// Of outputs of the filters from `filter` on. What is not a number stays so.
    #[inline(always)]
    fn apply<const N: usize>(&self, outputs: [f32; N], filter: usize) -> [f32; N] {
        let mut values = outputs;
        for (value, bias) in values.iter_mut().zip(&self.bias[filter..][..N]) {
            *value += bias;
            if *value < self.floor {
                *value = self.floor;
            }
        }
        values
    }
}

/// Of a tensor in f32 that lies in memory without gaps, in the order of its axes.
#[expect(unsafe_code, reason = "tch has no view of a tensor's values")]
fn values(x: &Tensor) -> Result<&[f32], TchError> {
    check(x)?;
    // SAFETY: by the check, so many values of f32 are there, for as long as `x` is. The network runs one
    // step after the other, so that nobody overwrites what this step reads.
    Ok(unsafe { std::slice::from_raw_parts(x.data_ptr().cast(), x.numel()) })
}

/// As [`values`], to be overwritten.
#[expect(unsafe_code, reason = "tch has no view of a tensor's values")]
fn values_mut(x: &mut Tensor) -> Result<&mut [f32], TchError> {
    check(x)?;
    // SAFETY: as in `values`; `x` was made here, so that no other tensor shares its memory.
    Ok(unsafe { std::slice::from_raw_parts_mut(x.data_ptr().cast(), x.numel()) })
}

fn check(x: &Tensor) -> Result<(), TchError> {
    if x.device() == Device::Cpu && x.kind() == Kind::Float && x.is_contiguous() && x.numel() > 0 {
        return Ok(());
    }
    Err(TchError::Kind(format!("{x:?} is not a contiguous tensor of f32 with values")))
}
