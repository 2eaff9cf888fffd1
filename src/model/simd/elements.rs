//! What tensors consist of.

use std::fmt::Debug;

use tch::{Device, Kind, TchError, Tensor};

use super::registers::Registers;

/// Of a pixel.
pub(super) const MOST_CHANNELS: usize = 1024;

/// A number in memory, of which f32 is made to compute with.
pub(super) trait Element: Debug + Copy + Default + Send + Sync + 'static {
    const KIND: Kind;
    /// What lies beyond the edge of a picture.
    const ZEROS: &[Self; MOST_CHANNELS];
    /// The larger number; what is not a number, if either is not. Of bf16 below zero it is one of both.
    fn larger(self, other: Self) -> Self;
    /// The first values.
    fn load<R: Registers>(registers: R, values: &[Self]) -> R::Vector;
    /// Writes the first values.
    fn store<R: Registers>(registers: R, vector: R::Vector, values: &mut [Self]);
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;
    const ZEROS: &[Self; MOST_CHANNELS] = &[0.0; MOST_CHANNELS];

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if other > self || other.is_nan() { other } else { self }
    }

    #[inline(always)]
    fn load<R: Registers>(registers: R, values: &[Self]) -> R::Vector {
        registers.load(values)
    }

    #[inline(always)]
    fn store<R: Registers>(registers: R, vector: R::Vector, values: &mut [Self]) {
        registers.store(vector, values);
    }
}

/// The upper half of an f32.
#[derive(Debug, Clone, Copy, Default)]
#[repr(transparent)]
pub(super) struct Bf16(u16);

impl Bf16 {
    #[inline(always)]
    pub(super) fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest one, of two that are as near the even one.
    #[inline(always)]
    pub(super) fn rounded(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        Self(if value.is_nan() { 0x7fc0 } else { (rounded >> 16) as u16 })
    }
}

impl Element for Bf16 {
    const KIND: Kind = Kind::BFloat16;
    const ZEROS: &[Self; MOST_CHANNELS] = &[Self(0); MOST_CHANNELS];

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        // Bits are in the order of the numbers that are not below zero, and those of the NaN that rounding
        // makes are above all.
        Self((self.0 as i16).max(other.0 as i16) as u16)
    }

    #[inline(always)]
    fn load<R: Registers>(registers: R, values: &[Self]) -> R::Vector {
        registers.widen(values)
    }

    #[inline(always)]
    fn store<R: Registers>(registers: R, vector: R::Vector, values: &mut [Self]) {
        registers.narrow(vector, values);
    }
}

/// Of a tensor that lies in memory without gaps, in the order of its axes.
#[expect(unsafe_code, reason = "tch has no view of a tensor's values")]
pub(super) fn values<E: Element>(x: &Tensor) -> Result<&[E], TchError> {
    check(x, E::KIND)?;
    // SAFETY: by the check, so many values of the kind are there, for as long as `x` is. The network runs
    // one step after the other, so that nobody overwrites what this step reads.
    Ok(unsafe { std::slice::from_raw_parts(x.data_ptr().cast(), x.numel()) })
}

/// As [`values`], to be overwritten.
#[expect(unsafe_code, reason = "tch has no view of a tensor's values")]
pub(super) fn values_mut<E: Element>(x: &mut Tensor) -> Result<&mut [E], TchError> {
    check(x, E::KIND)?;
    // SAFETY: as in `values`; `x` was made here, so that no other tensor shares its memory.
    Ok(unsafe { std::slice::from_raw_parts_mut(x.data_ptr().cast(), x.numel()) })
}

/// As [`values`], of f32.
pub(in crate::model) fn floats(x: &Tensor) -> Result<&[f32], TchError> {
    values(x)
}

/// As [`values_mut`], of f32.
pub(in crate::model) fn floats_mut(x: &mut Tensor) -> Result<&mut [f32], TchError> {
    values_mut(x)
}

fn check(x: &Tensor, kind: Kind) -> Result<(), TchError> {
    if x.device() == Device::Cpu && x.kind() == kind && x.is_contiguous() && x.numel() > 0 {
        return Ok(());
    }
    Err(TchError::Kind(format!("{x:?} is not a contiguous tensor of {kind:?} with values")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_libtorch_does() {
        let numbers = Tensor::randn([1000], (Kind::Float, Device::Cpu));
        let special = [0.0, -0.0, f32::INFINITY, f32::MAX, 1e-40, 1.001_953_1, 1.005_859_4];
        let special = Tensor::f_from_slice(&special).expect("a tensor");
        for numbers in [numbers, special] {
            let expected = numbers.to_kind(Kind::BFloat16).to_kind(Kind::Float);
            let pairs =
                values::<f32>(&numbers).expect("f32").iter().zip(values(&expected).expect("f32"));
            for (number, expected) in pairs {
                let found: f32 = Bf16::rounded(*number).widened();
                assert_eq!(found.to_bits(), f32::to_bits(*expected), "{number}");
            }
        }
        assert!(Bf16::rounded(f32::NAN).widened().is_nan());
    }
}
