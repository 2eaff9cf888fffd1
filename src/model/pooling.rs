//! Pooling, in ceil mode: windows that reach over the edge are taken as far as they go.

use super::architecture::Pool;
use tch::{Kind, TchError, Tensor};

pub(crate) fn max_pool(x: &Tensor, Pool { kernel, stride }: Pool) -> Result<Tensor, TchError> {
    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
    x.f_max_pool2d([kernel; 2], [stride; 2], [0; 2], [1; 2], true)
}

/// As [`max_pool`] of a bf16 tensor that has nothing below zero. Then the bits are in the same order as
/// the numbers, and integers take half the time: they need no widening, and no look-out for NaN. For
/// f32 it gains nothing.
pub(crate) fn max_pool_of_bits(x: &Tensor, pool: Pool) -> Result<Tensor, TchError> {
    max_pool(&x.f_view_dtype(Kind::Int16)?, pool)?.f_view_dtype(Kind::BFloat16)
}

pub(crate) fn average_pool(x: &Tensor, Pool { kernel, stride }: Pool) -> Result<Tensor, TchError> {
    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
    x.f_avg_pool2d([kernel; 2], [stride; 2], [0; 2], true, true, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_largest_bits_are_those_of_the_largest_number() {
        tch::manual_seed(1);
        let x = Tensor::randn([2, 5, 8, 7], (Kind::Float, Device::Cpu)).relu();
        let x = x.to_kind(Kind::BFloat16);
        let pool = Pool { kernel: 3, stride: 2 };
        let (bits, numbers) = (max_pool_of_bits(&x, pool), max_pool(&x, pool));
        let (bits, numbers) = (bits.expect("a pool"), numbers.expect("a pool"));
        assert_eq!((bits.kind(), bits.size()), (Kind::BFloat16, vec![2, 5, 4, 3]));
        assert!(bits.equal(&numbers));
    }
}
