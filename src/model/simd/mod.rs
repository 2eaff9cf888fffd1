//! Layers of our own, for processors with AVX2 and FMA, AVX-512, or AMX.
//!
//! A convolution of libtorch's writes all its outputs to memory before the next one reads them, and so does
//! each step of Winograd's algorithm if it is made of libtorch's operators. Here some pixels or tiles at a
//! time go through several layers or steps within the caches, and what is left of a layer is taken by
//! whichever thread is done.
//!
//! Most of it is written for a kind of [`registers`], and compiled for each: the widest that the processor
//! has are used. Blocks of bf16 are multiplied in tiles where the processor has them ([`amx`]). `unsafe` is what the registers and the values of a tensor are reached by.

mod aligned;
mod amx;
mod block;
mod elements;
mod fetch;
mod fixed;
mod maximum;
mod mlpconv;
mod multiplier;
mod output;
mod product;
mod registers;
mod share;
mod steps;
mod tiled;
mod tiles;
mod transform;
mod window;
mod winograd;

pub(super) use amx::has_tiles;
pub(super) use elements::{floats, floats_mut};
pub(super) use fetch::Fetch;
pub(super) use maximum::max_pool_by_rows;
pub(super) use mlpconv::MlpConv;
pub(super) use winograd::WinogradConv;

use super::fused::Activation;
use elements::values;
use registers::Registers;
use tch::{Kind, TchError, Tensor};

/// The most filters that a panel has.
const WIDEST: usize = 32;

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
        let bias = bias.f_to_kind(Kind::Float)?.f_contiguous()?;
        let mut bias = values(&bias)?.to_vec();
        bias.resize(bias.len().next_multiple_of(WIDEST), 0.0);
        Ok(Self { bias, floor })
    }

    /// For outputs of the filters from `filter` on.
    #[inline(always)]
    fn of<R: Registers>(&self, registers: R, filter: usize) -> Finish<R> {
        Finish { bias: registers.load(&self.bias[filter..]), floor: registers.splat(self.floor) }
    }
}

/// An [`Epilogue`] of as many outputs as a register holds.
#[derive(Debug, Clone, Copy)]
struct Finish<R: Registers> {
    bias: R::Vector,
    floor: R::Vector,
}

impl<R: Registers> Finish<R> {
    /// What is not a number stays so.
    #[inline(always)]
    fn apply(self, registers: R, outputs: R::Vector) -> R::Vector {
        let sum = registers.multiply_add(registers.splat(1.0), outputs, self.bias);
        registers.larger(self.floor, sum)
    }
}
