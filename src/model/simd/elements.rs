//! What tensors consist of.

use tch::{Device, Kind, TchError, Tensor};

use super::registers::Registers;

/// The most values that a register holds.
const WIDEST: usize = 16;

/// A number in memory, of which f32 is made to compute with.
pub(super) trait Element: Copy + Send + Sync {
    const KIND: Kind;
    /// The first values.
    fn load<R: Registers>(registers: R, values: &[Self]) -> R::Vector;
    /// Writes the first values.
    fn store<R: Registers>(registers: R, vector: R::Vector, values: &mut [Self]);
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;

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
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bf16(u16);

impl Bf16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest one, of two that are as near the even one.
    #[inline(always)]
    fn rounded(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        Self(if value.is_nan() { 0x7fc0 } else { (rounded >> 16) as u16 })
    }
}

impl Element for Bf16 {
    const KIND: Kind = Kind::BFloat16;

    #[inline(always)]
    fn load<R: Registers>(registers: R, values: &[Self]) -> R::Vector {
        let mut wide = [0.0; WIDEST];
        for (wide, value) in wide.iter_mut().zip(&values[..R::LANES]) {
            *wide = value.widened();
        }
        registers.load(&wide)
    }

    #[inline(always)]
    fn store<R: Registers>(registers: R, vector: R::Vector, values: &mut [Self]) {
        let mut wide = [0.0; WIDEST];
        registers.store(vector, &mut wide);
        for (value, wide) in values[..R::LANES].iter_mut().zip(wide) {
            *value = Self::rounded(wide);
        }
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
