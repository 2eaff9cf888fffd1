//! Max-pooling of bf16.

use tch::{Device, TchError, Tensor};

use super::elements::{Bf16, Element, values, values_mut};
use super::share::Work;
use crate::model::architecture::Pool;

/// Max-pooling of what is bf16 and has nothing below zero: then the bits are in the same order as the
/// numbers. In ceil mode: windows that reach over the edge are taken as far as they go.
///
/// Of `x`, `[N, C, H, W]`, channels-last, as the output is.
pub(in crate::model) fn max_pool_of_bits(x: &Tensor, pool: Pool) -> Result<Tensor, TchError> {
    let (pictures, channels, height, width) = x.size4()?;
    let [pictures, channels, height, width] =
        [pictures, channels, height, width].map(|n| n as usize);
    let [kernel, stride] = [pool.kernel, pool.stride].map(|n| n as usize);
    let outputs = |side: usize| pool.side(side.try_into().ok()?);
    let (Some(out_height), Some(out_width)) = (outputs(height), outputs(width)) else {
        return Err(TchError::Shape(format!("{pool:?} of {:?}", x.size())));
    };
    let [out_height, out_width] = [out_height, out_width].map(|n| n as usize);
    let shape = [pictures, out_height, out_width, channels].map(|n| n as i64);
    let mut y = Tensor::f_empty(shape, (Bf16::KIND, Device::Cpu))?;
    let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
    let (x, wide, wide_out) = (values(&x)?, width * channels, out_width * channels);
    let work = Work { items: pictures * out_height, together: 1, multiplications: wide_out };
    work.share(
        values_mut(&mut y)?,
        |row| row * wide_out,
        |[first, end], y| {
            let mut line = vec![Bf16::ZERO; wide];
            for (row, y) in (first..end).zip(y.chunks_exact_mut(wide_out)) {
                let (picture, top) = (row / out_height, row % out_height * stride);
                let rows = picture * height + top..picture * height + height.min(top + kernel);
                largest(x[rows.start * wide..rows.end * wide].chunks_exact(wide), &mut line);
                for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                    let left = column * stride;
                    let columns = left * channels..width.min(left + kernel) * channels;
                    largest(line[columns].chunks_exact(channels), y);
                }
            }
        },
    );
    y.f_permute([0, 3, 1, 2])
}

/// The larger ones of one value from each of `rows`.
fn largest<'a>(mut rows: impl Iterator<Item = &'a [Bf16]>, y: &mut [Bf16]) {
    if let Some(row) = rows.next() {
        y.copy_from_slice(row);
    }
    for row in rows {
        for (largest, value) in y.iter_mut().zip(row) {
            *largest = largest.larger_bits(*value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pooling::max_pool;
    use tch::Kind;

    #[test]
    fn the_largest_bits_are_those_of_the_largest_number() {
        tch::manual_seed(1);
        for (shape, kernel, stride) in [
            ([2, 5, 8, 7], 3, 2),
            ([1, 32, 3, 4], 3, 2),
            ([3, 4, 6, 9], 2, 2),
            ([1, 7, 6, 5], 3, 1),
        ] {
            let x = Tensor::randn(shape, (Kind::Float, Device::Cpu)).relu();
            let x = x.to_kind(Kind::BFloat16);
            let pool = Pool { kernel, stride };
            let bits = max_pool_of_bits(&x, pool).expect("a pool");
            let numbers = max_pool(&x, pool).expect("a pool");
            assert_eq!((bits.kind(), bits.size()), (Kind::BFloat16, numbers.size()));
            assert!(bits.equal(&numbers), "{shape:?}, {pool:?}");
        }
        let small = Tensor::zeros([1, 3, 1, 1], (Kind::BFloat16, Device::Cpu));
        assert!(max_pool_of_bits(&small, Pool { kernel: 3, stride: 2 }).is_err());
    }
}
