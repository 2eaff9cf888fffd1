//! Vector registers of a processor, and what is done with them.
//!
//! What is written for [`Registers`] is inlined into one function that is compiled for them, by
//! [`Registers::call`]. So it consists of functions that are `#[inline(always)]`, has such closures
//! only, and none for `map` or `from_fn`, which are not always inlined themselves.

#![expect(unsafe_code, reason = "intrinsics, for processors that have been looked at")]

use std::arch::x86_64::{
    __m256, __m256bh, __m256i, __m512, _CMP_UNORD_Q, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_max_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi16, _mm512_cvtepu16_epi32,
    _mm512_cvtneps_pbh, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_mov_epi32, _mm512_max_ps,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_storeu_ps,
};
use std::fmt::Debug;
use std::mem::transmute;

use super::elements::Bf16;

/// A kind of registers. Only who has seen that the processor has them, has a value of it.
pub(super) trait Registers: Debug + Copy + Send + Sync + 'static {
    /// Values of f32, as many as a register holds.
    type Vector: Copy;
    const LANES: usize;
    /// Rows of a product that are computed at a time: with two registers for each, two for the weights,
    /// and one for a value of the row, about as many as there are registers.
    const ROWS: usize;

    /// Runs `work`, compiled for these registers.
    fn call<T>(self, work: impl FnOnce() -> T) -> T;

    fn splat(self, value: f32) -> Self::Vector;
    /// The first values.
    fn load(self, values: &[f32]) -> Self::Vector;
    /// Writes the first values.
    fn store(self, vector: Self::Vector, values: &mut [f32]);
    /// The first values, as f32.
    fn widen(self, values: &[Bf16]) -> Self::Vector;
    /// Writes the first values, rounded to the nearest.
    fn narrow(self, vector: Self::Vector, values: &mut [Bf16]);
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger ones. Where one is not a number, `b`.
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// The widest registers that this processor has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Available {
    Avx2(Avx2),
    Avx512(Avx512),
}

impl Available {
    pub(super) fn detect() -> Option<Self> {
        let wide = Avx512::detect().map(Self::Avx512);
        wide.or_else(|| Avx2::detect().map(Self::Avx2))
    }

    /// Runs `work`, compiled for them.
    #[inline(always)]
    pub(super) fn call<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Avx2(registers) => registers.call(work),
            Self::Avx512(registers) => registers.call(work),
        }
    }
}

/// Filters come in panels of so many: two registers.
pub(super) const fn panel_of<R: Registers>() -> usize {
    2 * R::LANES
}

/// Sixteen registers of eight values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }
}

// SAFETY of all of it: there is a value, so the processor has them, see `detect`; pointers are those of
// slices that are long enough, and their values may lie anywhere.
impl Registers for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const ROWS: usize = 6;

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx2,fma")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32]) -> __m256 {
        unsafe { _mm256_loadu_ps(values[..Self::LANES].as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m256, values: &mut [f32]) {
        unsafe { _mm256_storeu_ps(values[..Self::LANES].as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn widen(self, values: &[Bf16]) -> __m256 {
        let mut wide = [0.0; Self::LANES];
        for (wide, value) in wide.iter_mut().zip(&values[..Self::LANES]) {
            *wide = value.widened();
        }
        self.load(&wide)
    }

    #[inline(always)]
    fn narrow(self, vector: __m256, values: &mut [Bf16]) {
        let mut wide = [0.0; Self::LANES];
        self.store(vector, &mut wide);
        for (value, wide) in values[..Self::LANES].iter_mut().zip(wide) {
            *value = Bf16::rounded(wide);
        }
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn larger(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
}

/// Thirty-two registers of sixteen values, which are rounded to bf16 by `N`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512<N = InSteps>(N);

impl<N: Rounding> Avx512<N> {
    pub(super) fn detect() -> Option<Self> {
        N::detect().filter(|_| is_x86_feature_detected!("avx512f")).map(Self)
    }

    /// The first two values, in every lane.
    #[inline(always)]
    pub(super) fn spread_pair<E: Half>(self, values: &[E]) -> __m512 {
        let pair = values[..2].as_ptr().cast::<f32>();
        // SAFETY: as above; two halves are as long as an f32, and any bits are one.
        unsafe { _mm512_set1_ps(pair.read_unaligned()) }
    }

    /// The first values, two in each lane.
    #[inline(always)]
    pub(super) fn load_pairs<E: Half>(self, values: &[E]) -> __m512 {
        // SAFETY: as in `spread_pair`.
        unsafe { _mm512_loadu_ps(values[..2 * Self::LANES].as_ptr().cast()) }
    }
}

/// What is half as long as an f32.
///
/// # Safety
///
/// It is, and has no gaps.
pub(super) unsafe trait Half: Copy {}

// SAFETY: 16 bits each.
unsafe impl Half for Bf16 {}
unsafe impl Half for i16 {}

/// How f32 is rounded to bf16. Only who has seen that the processor has the instructions, has a value of it.
pub(super) trait Rounding: Debug + Copy + Send + Sync + 'static {
    fn detect() -> Option<Self>;
    fn round(self, vector: __m512) -> __m256i;
}

/// By what AVX-512 has for whole numbers, as [`Bf16::rounded`] does.
#[derive(Debug, Clone, Copy)]
pub(super) struct InSteps(());

impl Rounding for InSteps {
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    #[inline(always)]
    fn round(self, vector: __m512) -> __m256i {
        // SAFETY: as above.
        unsafe {
            let bits = _mm512_castps_si512(vector);
            let is_odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(is_odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(vector, vector);
            let rounded = _mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7fc0));
            _mm512_cvtepi32_epi16(rounded)
        }
    }
}

/// By AVX512-BF16's own instruction, which takes subnormal numbers for zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtOnce(());

impl Rounding for AtOnce {
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512bf16").then_some(Self(()))
    }

    #[inline(always)]
    fn round(self, vector: __m512) -> __m256i {
        // SAFETY: as above; both types are sixteen times sixteen bits.
        unsafe { transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(vector)) }
    }
}

// SAFETY: as above.
impl<N: Rounding> Registers for Avx512<N> {
    type Vector = __m512;
    const LANES: usize = 16;
    const ROWS: usize = 12;

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32]) -> __m512 {
        unsafe { _mm512_loadu_ps(values[..Self::LANES].as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512, values: &mut [f32]) {
        unsafe { _mm512_storeu_ps(values[..Self::LANES].as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn widen(self, values: &[Bf16]) -> __m512 {
        unsafe {
            let bits = _mm256_loadu_si256(values[..Self::LANES].as_ptr().cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
        }
    }

    #[inline(always)]
    fn narrow(self, vector: __m512, values: &mut [Bf16]) {
        let values = values[..Self::LANES].as_mut_ptr();
        unsafe { _mm256_storeu_si256(values.cast(), self.0.round(vector)) }
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
}
