//! Products in whole numbers of 16 bits, each row and column of a scale of its own.
//!
//! bf16 has eight bits for whatever size a number is of; Winograd's transforms need more. Of numbers of
//! about one size, 16 bits of fixed point keep twice as many, and are multiplied as fast (AVX512-VNNI).

#![expect(unsafe_code, reason = "intrinsics, for processors that have been looked at")]

use std::arch::x86_64::{
    __m512, __m512i, _mm256_storeu_si256, _mm512_abs_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_cvtsepi32_epi16, _mm512_dpwssd_epi32,
    _mm512_loadu_ps, _mm512_max_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_epi32,
};

use super::multiplier::{Multiplier, Vector};
use super::registers::{Avx512, Registers};

/// Multiplies rows by columns that are so many of a scale each.
pub(super) trait Scaling: Multiplier<Product = f32> {
    /// Writes a row, or a column, of a whole number of registers, as it is multiplied. Returns its scale.
    fn narrow(self, row: &[f32], narrowed: &mut [Self::Element]) -> f32;

    /// The products of a row and of columns, by the scale of the row and those of the columns.
    fn scaled(self, products: Vector<Self>, row: f32, columns: &[f32]) -> Vector<Self>;
}

/// f32 as it is.
impl<R: Registers> Scaling for R {
    #[inline(always)]
    fn narrow(self, row: &[f32], narrowed: &mut [f32]) -> f32 {
        narrowed.copy_from_slice(row);
        1.0
    }

    #[inline(always)]
    fn scaled(self, products: R::Vector, _: f32, _: &[f32]) -> R::Vector {
        products
    }
}

/// In whole numbers, by AVX512-VNNI: two values of a row are multiplied by two of each column, and both
/// products added, in 32 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed(Avx512);

/// The largest length of a row, or a column: no sum of products is larger than the product of both lengths,
/// by the inequality of Cauchy and Schwarz, so that 31 bits hold it. Rounding adds 16 at most, half the
/// root of [`super::elements::MOST_CHANNELS`].
const LONGEST: f32 = 46_250.0;
/// The largest value.
const LARGEST: f32 = 32_767.0;
/// What is shorter counts as zero.
const SHORTEST: f32 = 1e-18;

impl Fixed {
    pub(super) fn detect() -> Option<Self> {
        Avx512::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(Self)
    }
}

// SAFETY of all of it: there is a value, so the processor has the instructions, see `detect`; pointers are
// those of slices that are long enough, and their values may lie anywhere. A register of f32 and one of
// whole numbers have the same bits.
impl Multiplier for Fixed {
    type Registers = Avx512;
    type Element = i16;
    type Product = f32;
    const STEP: usize = 2;

    #[inline(always)]
    fn registers(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f,avx512vnni")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn spread(self, row: &[i16]) -> __m512 {
        let pair = row[..Self::STEP].as_ptr().cast::<i32>();
        unsafe { _mm512_castsi512_ps(_mm512_set1_epi32(pair.read_unaligned())) }
    }

    #[inline(always)]
    fn columns(self, values: &[i16]) -> __m512 {
        unsafe { _mm512_loadu_ps(values[..Self::STEP * Avx512::LANES].as_ptr().cast()) }
    }

    #[inline(always)]
    fn add_products(self, row: __m512, columns: __m512, sums: __m512) -> __m512 {
        unsafe {
            let [row, columns, sums] = [row, columns, sums].map(|x| _mm512_castps_si512(x));
            _mm512_castsi512_ps(_mm512_dpwssd_epi32(sums, row, columns))
        }
    }

    #[inline(always)]
    fn floats(self, sums: __m512) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(sums)) }
    }

    #[inline(always)]
    fn put(self, sums: __m512, values: &mut [f32]) {
        self.0.store(sums, values);
    }
}

// SAFETY: as above.
impl Scaling for Fixed {
    #[inline(always)]
    fn narrow(self, row: &[f32], narrowed: &mut [i16]) -> f32 {
        let zero = self.0.splat(0.0);
        let (mut largest, mut squares) = (zero, zero);
        for values in row.chunks_exact(Avx512::LANES) {
            let values = self.0.load(values);
            squares = self.0.multiply_add(values, values, squares);
            largest = unsafe { _mm512_max_ps(_mm512_abs_ps(values), largest) };
        }
        let (largest, squares) =
            unsafe { (_mm512_reduce_max_ps(largest), _mm512_reduce_add_ps(squares)) };
        // What is not a number makes the length none, and all of the row.
        let scale = scale(largest, squares.sqrt());
        let factor = self.0.splat(1.0 / scale);
        let parts = narrowed.chunks_exact_mut(Avx512::LANES);
        for (narrowed, values) in parts.zip(row.chunks_exact(Avx512::LANES)) {
            let values = self.0.multiply(self.0.load(values), factor);
            unsafe {
                let whole: __m512i = _mm512_cvtps_epi32(values);
                let narrowed = narrowed.as_mut_ptr().cast();
                _mm256_storeu_si256(narrowed, _mm512_cvtsepi32_epi16(whole));
            }
        }
        scale
    }

    #[inline(always)]
    fn scaled(self, products: __m512, row: f32, columns: &[f32]) -> __m512 {
        let products = self.0.multiply(products, self.0.splat(row));
        self.0.multiply(products, self.0.load(columns))
    }
}

/// The least one for values of such a `length` altogether, the `largest` of which is so large.
#[inline(always)]
fn scale(largest: f32, length: f32) -> f32 {
    let by_length = length / LONGEST;
    match largest / LARGEST {
        _ if length < SHORTEST => 1.0,
        by_largest if by_largest > by_length => by_largest,
        _ => by_length,
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::MOST_CHANNELS;
    use super::super::product::{Panels, Rows, multiply, panels};
    use super::*;

    /// The product of a row and a column, and the same in f64.
    fn product(fixed: Fixed, row: &[f32], column: &[f32]) -> [f64; 2] {
        let narrow = |values: &[f32]| {
            let mut narrowed = vec![0; values.len()];
            let scale = fixed.call(|| fixed.narrow(values, &mut narrowed));
            (narrowed, scale)
        };
        let ((row_values, row_scale), (column_values, scale)) = (narrow(row), narrow(column));
        let panels = panels::<Fixed>(&column_values, 1);
        let rows = Rows { values: &row_values, count: 1, depth: row.len(), stride: row.len() };
        let (mut found, mut scales) = ([0.0; Avx512::LANES], [0.0; Avx512::LANES]);
        scales[0] = scale;
        fixed.call(|| {
            multiply(fixed, (rows, Panels::Near(&panels)), &mut found, |sums, _| {
                fixed.scaled(sums, row_scale, &scales)
            });
        });
        let expected = row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b));
        [f64::from(found[0]), expected.sum()]
    }

    fn length(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn products_are_exact_to_a_part_of_the_lengths() {
        let Some(fixed) = Fixed::detect() else { return };
        let wave = |count: usize, step: f32| -> Vec<f32> {
            (0..count).map(|place| (place as f32 * step).sin()).collect()
        };
        // One value of many is as long as all of them, and as many as there are at most.
        let mut one = vec![0.0; 64];
        one[5] = -1.0;
        let most = vec![1.0; MOST_CHANNELS];
        for (row, column) in [
            (wave(96, 0.7), wave(96, 0.3)),
            (wave(96, 0.7), wave(96, 0.7)),
            (one.clone(), one.clone()),
            (one, wave(64, 1.1)),
            (most.clone(), most.clone()),
            (most.clone(), most.iter().map(|value| -value).collect()),
            (vec![0.0; 16], wave(16, 0.2)),
        ] {
            for size in [1e-6, 1.0, 3e5] {
                let row: Vec<_> = row.iter().map(|value| value * size).collect();
                let [found, expected] = product(fixed, &row, &column);
                // Half a step for each value of both.
                let rounding = f64::from(row.len() as u32).sqrt() / f64::from(LARGEST);
                let bound = rounding * length(&row) * length(&column);
                assert!((found - expected).abs() <= bound, "{found}, {expected}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_too_long_makes_none() {
        let Some(fixed) = Fixed::detect() else { return };
        for value in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut row = vec![1.0; 32];
            row[20] = value;
            let [found, _] = product(fixed, &row, &[1.0; 32]);
            assert!(!found.is_finite(), "{value}: {found}");
        }
    }
}
