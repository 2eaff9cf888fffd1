//! What products of matrices are computed in: f32, or bf16 with sums in f32.

#![expect(unsafe_code, reason = "intrinsics, for processors that have been looked at")]

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};
use std::fmt::Debug;
use std::mem::transmute;

use super::elements::{Bf16, Element};
use super::registers::{AtOnce, Avx512, Registers};

/// Multiplies values of two matrices, a few columns at a time, as many as sums fill a register.
pub(super) trait Multiplier: Debug + Copy + Send + Sync + 'static {
    type Registers: Registers;
    /// Of which both matrices consist.
    type Element: Debug + Copy + Default + Send + Sync + 'static;
    /// Of which their product consists.
    type Product: Element;
    /// How many values of a row are multiplied at once, by as many of each column.
    const STEP: usize;

    fn registers(self) -> Self::Registers;

    /// Runs `work`, compiled for this kind of multiplication. As [`Registers::call`].
    fn call<T>(self, work: impl FnOnce() -> T) -> T;

    /// The first [`Multiplier::STEP`] values of a row, for every column.
    fn spread(self, row: &[Self::Element]) -> Vector<Self>;
    /// The first values of the columns, `[columns, STEP]`.
    fn columns(self, values: &[Self::Element]) -> Vector<Self>;
    /// `sums`, and what is to be added to them.
    fn add_products(
        self,
        row: Vector<Self>,
        columns: Vector<Self>,
        sums: Vector<Self>,
    ) -> Vector<Self>;
    /// Writes sums, one for each column.
    fn put(self, sums: Vector<Self>, values: &mut [Self::Product]);
}

pub(super) type Vector<M> = <<M as Multiplier>::Registers as Registers>::Vector;

/// In f32.
impl<R: Registers> Multiplier for R {
    type Registers = Self;
    type Element = f32;
    type Product = f32;
    const STEP: usize = 1;

    #[inline(always)]
    fn registers(self) -> Self {
        self
    }

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        Registers::call(self, work)
    }

    #[inline(always)]
    fn spread(self, row: &[f32]) -> R::Vector {
        self.splat(row[0])
    }

    #[inline(always)]
    fn columns(self, values: &[f32]) -> R::Vector {
        self.load(values)
    }

    #[inline(always)]
    fn add_products(self, row: R::Vector, columns: R::Vector, sums: R::Vector) -> R::Vector {
        self.multiply_add(row, columns, sums)
    }

    #[inline(always)]
    fn put(self, sums: R::Vector, values: &mut [f32]) {
        self.store(sums, values);
    }
}

/// In bf16, by AVX512-BF16: two values of a row are multiplied by two of each column, and both products
/// added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairs(Avx512<AtOnce>);

impl Pairs {
    pub(super) fn detect() -> Option<Self> {
        Avx512::detect().map(Self)
    }
}

// SAFETY of all of it: there is a value, so the processor has the instructions, see `detect`; pointers are
// those of slices that are long enough, and their values may lie anywhere. A register of f32 and one of
// pairs of bf16 have the same bits.
impl Multiplier for Pairs {
    type Registers = Avx512<AtOnce>;
    type Element = Bf16;
    type Product = Bf16;
    const STEP: usize = 2;

    #[inline(always)]
    fn registers(self) -> Avx512<AtOnce> {
        self.0
    }

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f,avx512bf16")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn spread(self, row: &[Bf16]) -> __m512 {
        self.0.spread_pair(row)
    }

    #[inline(always)]
    fn columns(self, values: &[Bf16]) -> __m512 {
        self.0.load_pairs(values)
    }

    #[inline(always)]
    fn add_products(self, row: __m512, columns: __m512, sums: __m512) -> __m512 {
        unsafe {
            let [row, columns] = [row, columns].map(|x| transmute::<__m512, __m512bh>(x));
            _mm512_dpbf16_ps(sums, row, columns)
        }
    }

    #[inline(always)]
    fn put(self, sums: __m512, values: &mut [Bf16]) {
        self.0.narrow(sums, values);
    }
}
