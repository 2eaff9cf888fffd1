//! Products in whole numbers of 16 bits, each row and column of a scale of its own.
//!
//! bf16 has eight bits for whatever size a number is of; Winograd's transforms need more. Of a row of
//! numbers of about one size, whole numbers of 16 bits keep about twelve, and are multiplied as fast
//! (AVX512-VNNI): twice as many at once as of f32.

#![expect(unsafe_code, reason = "intrinsics, for processors that have been looked at")]

use std::arch::x86_64::{
    __m512, _CMP_LT_OQ, _mm256_storeu_si256, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps,
    _mm512_cvtps_epi32, _mm512_cvtsepi32_epi16, _mm512_div_ps, _mm512_dpwssd_epi32,
    _mm512_mask_mov_ps, _mm512_shuffle_f32x4, _mm512_sqrt_ps, _mm512_unpackhi_pd,
    _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::multiplier::{Multiplier, Vector};
use super::registers::{AtOnce, Avx512, Registers};

/// Multiplies rows by columns that are so many of a scale each.
pub(super) trait Scaling: Multiplier<Product = f32> {
    /// Writes rows, or columns, of so many values each, whole registers, as they are multiplied, with so many
    /// values from one to the next; and their scales, if they have one.
    fn narrow(
        self,
        rows: (&[f32], usize),
        narrowed: (&mut [Self::Element], usize),
        scales: &mut [f32],
    );

    /// What [`Multiplier::put`] wrote of a row and of columns, by the scale of the row and those of the columns.
    fn scaled(self, products: Vector<Self>, row: f32, columns: &[f32]) -> Vector<Self>;
}

/// f32 as it is.
impl<R: Registers> Scaling for R {
    #[inline(always)]
    fn narrow(
        self,
        (rows, depth): (&[f32], usize),
        (narrowed, stride): (&mut [f32], usize),
        _: &mut [f32],
    ) {
        for (row, narrowed) in rows.chunks_exact(depth).zip(narrowed.chunks_mut(stride)) {
            narrowed[..depth].copy_from_slice(row);
        }
    }

    #[inline(always)]
    fn scaled(self, products: R::Vector, _: f32, _: &[f32]) -> R::Vector {
        products
    }
}

/// In whole numbers, by AVX512-VNNI: two values of a row are multiplied by two of each column, and both
/// products added, in 32 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed(Avx512<AtOnce>);

/// The length of a row, or a column, and so the most that a value can be. No sum of products is larger than
/// the product of both lengths, by the inequality of Cauchy and Schwarz, and that is less than 2³⁰, so that
/// 32 bits hold it. Rounding adds 16 to a length at most, half the root of
/// [`super::elements::MOST_CHANNELS`].
const LENGTH: f32 = 32_767.0;
/// What is shorter counts as zero.
const SHORTEST: f32 = 1e-18;
/// Values in a register.
const LANES: usize = <Avx512<AtOnce> as Registers>::LANES;

impl Fixed {
    pub(super) fn detect() -> Option<Self> {
        Avx512::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(Self)
    }
}

// SAFETY of all of it: there is a value, so the processor has the instructions, see `detect`; pointers are
// those of slices that are long enough, and their values may lie anywhere. A register of f32 and one of
// whole numbers have the same bits.
impl Multiplier for Fixed {
    type Registers = Avx512<AtOnce>;
    type Element = i16;
    type Product = f32;
    const STEP: usize = 2;

    #[inline(always)]
    fn registers(self) -> Avx512<AtOnce> {
        self.0
    }

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn spread(self, row: &[i16]) -> __m512 {
        self.0.spread_pair(row)
    }

    #[inline(always)]
    fn columns(self, values: &[i16]) -> __m512 {
        self.0.load_pairs(values)
    }

    #[inline(always)]
    fn add_products(self, row: __m512, columns: __m512, sums: __m512) -> __m512 {
        unsafe {
            let [row, columns, sums] = [row, columns, sums].map(|x| _mm512_castps_si512(x));
            _mm512_castsi512_ps(_mm512_dpwssd_epi32(sums, row, columns))
        }
    }

    /// The bits of whole numbers, of which [`Scaling::scaled`] makes f32.
    #[inline(always)]
    fn put(self, sums: __m512, values: &mut [f32]) {
        self.0.store(sums, values);
    }
}

// SAFETY: as above.
impl Scaling for Fixed {
    #[inline(always)]
    fn narrow(
        self,
        (rows, depth): (&[f32], usize),
        (narrowed, stride): (&mut [i16], usize),
        scales: &mut [f32],
    ) {
        let groups = rows.chunks(LANES * depth).zip(narrowed.chunks_mut(LANES * stride));
        for ((rows, narrowed), scales) in groups.zip(scales.chunks_mut(LANES)) {
            let (mut all, mut factors) = ([0.0; LANES], [0.0; LANES]);
            let found = self.scales((rows, depth));
            self.0.store(found, &mut all);
            self.0.store(unsafe { _mm512_div_ps(self.0.splat(1.0), found) }, &mut factors);
            scales.copy_from_slice(&all[..scales.len()]);
            let rows = rows.chunks_exact(depth).zip(narrowed.chunks_mut(stride));
            for ((row, narrowed), factor) in rows.zip(factors) {
                let factor = self.0.splat(factor);
                let parts = narrowed[..depth].chunks_exact_mut(LANES);
                for (narrowed, values) in parts.zip(row.chunks_exact(LANES)) {
                    let values = self.0.multiply(self.0.load(values), factor);
                    unsafe {
                        let whole = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(values));
                        _mm256_storeu_si256(narrowed.as_mut_ptr().cast(), whole);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn scaled(self, products: __m512, row: f32, columns: &[f32]) -> __m512 {
        let whole = unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(products)) };
        self.0.multiply(self.0.multiply(whole, self.0.splat(row)), self.0.load(columns))
    }
}

// SAFETY: as above.
impl Fixed {
    /// Scales for as many rows as a register has lanes, or fewer. What is not a number in a row makes its
    /// scale none.
    #[inline(always)]
    fn scales(self, (rows, depth): (&[f32], usize)) -> __m512 {
        let mut squares = [self.0.splat(0.0); LANES];
        for (squares, row) in squares.iter_mut().zip(rows.chunks_exact(depth)) {
            for values in row.chunks_exact(LANES) {
                let values = self.0.load(values);
                *squares = self.0.multiply_add(values, values, *squares);
            }
        }
        let one = self.0.splat(1.0);
        unsafe {
            let length = _mm512_sqrt_ps(self.added(squares));
            let is_zero = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(length, self.0.splat(SHORTEST));
            let scale = self.0.multiply(length, self.0.splat(1.0 / LENGTH));
            _mm512_mask_mov_ps(scale, is_zero, one)
        }
    }

    /// All values of the first vector in the first lane, and so on.
    #[inline(always)]
    fn added(self, vectors: [__m512; LANES]) -> __m512 {
        let zero = self.0.splat(0.0);
        let (mut pairs, mut fours, mut eights) = ([zero; 8], [zero; 4], [zero; 2]);
        unsafe {
            // Within each quarter of a register, two vectors, then four; then quarters.
            for (pair, of) in pairs.iter_mut().zip(vectors.chunks_exact(2)) {
                let [a, b] = [of[0], of[1]];
                *pair = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            }
            for (four, of) in fours.iter_mut().zip(pairs.chunks_exact(2)) {
                let (a, b) = (_mm512_castps_pd(of[0]), _mm512_castps_pd(of[1]));
                let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
                *four = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            for (eight, of) in eights.iter_mut().zip(fours.chunks_exact(2)) {
                *eight = quarters([of[0], of[1]]);
            }
            quarters(eights)
        }
    }
}

/// Quarters of both vectors, each of which is two of a vector, added.
///
/// # Safety
///
/// For processors with AVX-512.
#[inline(always)]
unsafe fn quarters([a, b]: [__m512; 2]) -> __m512 {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    // SAFETY: as above.
    unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<ODD>(a, b)) }
}

#[cfg(test)]
mod tests {
    use super::super::elements::MOST_CHANNELS;
    use super::super::product::{Panels, Rows, multiply, panels};
    use super::*;

    /// The product of a row and a column, and the same in f64.
    fn product(fixed: Fixed, row: &[f32], column: &[f32]) -> [f64; 2] {
        let narrow = |values: &[f32]| {
            let (depth, mut scale) = (values.len(), [0.0]);
            let mut narrowed = vec![0; depth];
            fixed.call(|| fixed.narrow((values, depth), (&mut narrowed, depth), &mut scale));
            (narrowed, scale[0])
        };
        let ((row_values, row_scale), (column_values, scale)) = (narrow(row), narrow(column));
        let panels = panels::<Fixed>(&column_values, 1);
        let rows = Rows { values: &row_values, count: 1, depth: row.len(), stride: row.len() };
        let (mut found, mut scales) = ([0.0; LANES], [0.0; LANES]);
        scales[0] = scale;
        fixed.call(|| {
            multiply(fixed, (rows, Panels::Near(&panels)), &mut found, None);
            let scaled = fixed.scaled(fixed.0.load(&found), row_scale, &scales);
            fixed.0.store(scaled, &mut found);
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
                let rounding = f64::from(row.len() as u32).sqrt() / f64::from(LENGTH);
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
