//! Max-pooling, whole rows at a time.

use tch::{Device, TchError, Tensor};

use super::elements::{Bf16, Element, values, values_mut};
use super::registers::Available;
use super::share::Work;
use crate::model::architecture::Pool;
use crate::model::network::Precision;

/// To look at a value takes as long as so many multiplications: it comes from another core's cache.
const LOOK: usize = 32;

/// Max-pooling of `x`, `[N, C, H, W]`, channels-last, as the output is. In ceil mode: windows that reach
/// over the edge are taken as far as they go. In bf16 nothing may be below zero: then the bits are in the
/// same order as the numbers.
pub(in crate::model) fn max_pool_by_rows(
    x: &Tensor,
    precision: Precision,
    pool: Pool,
) -> Result<Tensor, TchError> {
    match precision {
        Precision::F32 => run::<f32>(x, pool),
        Precision::Bf16 => run::<Bf16>(x, pool),
    }
}

fn run<E: Element>(x: &Tensor, pool: Pool) -> Result<Tensor, TchError> {
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
    let mut y = Tensor::f_empty(shape, (E::KIND, Device::Cpu))?;
    let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
    let (x, wide, wide_out) = (values::<E>(&x)?, width * channels, out_width * channels);
    let multiplications = LOOK * kernel * wide;
    let work = Work { items: pictures * out_height, together: 1, multiplications };
    let worker = || {
        let mut line = vec![E::default(); wide];
        move |[first, end]: [usize; 2], y: &mut [E]| {
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
        }
    };
    work.share(values_mut(&mut y)?, |row| row * wide_out, worker);
    y.f_permute([0, 3, 1, 2])
}

/// The larger ones of one value from each of `rows`.
fn largest<'a, E: Element>(mut rows: impl Iterator<Item = &'a [E]>, y: &mut [E]) {
    if let Some(row) = rows.next() {
        y.copy_from_slice(row);
    }
    for row in rows {
        match Available::detect() {
            Some(registers) => registers.call(
                #[inline(always)]
                || merge(row, y),
            ),
            None => merge(row, y),
        }
    }
}

#[inline(always)]
fn merge<E: Element>(row: &[E], y: &mut [E]) {
    for (largest, value) in y.iter_mut().zip(row) {
        *largest = largest.larger(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pooling::max_pool;
    use tch::Kind;

    #[test]
    fn it_is_the_pooling_of_libtorch() {
        tch::manual_seed(1);
        for (shape, kernel, stride) in [
            ([2, 5, 8, 7], 3, 2),
            ([1, 32, 3, 4], 3, 2),
            ([3, 4, 6, 9], 2, 2),
            ([1, 7, 6, 5], 3, 1),
        ] {
            let x = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let pool = Pool { kernel, stride };
            for (precision, x) in
                [(Precision::F32, x.copy()), (Precision::Bf16, x.relu().to_kind(Kind::BFloat16))]
            {
                let found = max_pool_by_rows(&x, precision, pool).expect("a pool");
                let expected = max_pool(&x, pool).expect("a pool");
                assert_eq!((found.kind(), found.size()), (x.kind(), expected.size()));
                assert!(found.equal(&expected), "{shape:?}, {pool:?}");
            }
        }
        let small = Tensor::zeros([1, 3, 1, 1], (Kind::Float, Device::Cpu));
        assert!(max_pool_by_rows(&small, Precision::F32, Pool { kernel: 3, stride: 2 }).is_err());
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let x = Tensor::zeros([1, 8, 3, 3], (Kind::Float, Device::Cpu));
        for place in 0..9 {
            let x = x.copy();
            let _ = x.view([8, 9]).select(1, place).fill_(f64::NAN);
            let pool = Pool { kernel: 3, stride: 2 };
            let y = max_pool_by_rows(&x, Precision::F32, pool).expect("a pool");
            assert!(y.isnan().all().int64_value(&[]) == 1, "{place}");
        }
    }
}
