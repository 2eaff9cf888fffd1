//! Products of matrices that are in the caches.
//!
//! With intrinsics: what the compiler makes of plain loops over arrays either keeps sums in memory or takes
//! six steps of arithmetic on addresses for twelve multiplications.

use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::PANEL;

/// Values of a row that are multiplied in one turn of the loop.
const STEPS: usize = 8;
/// Rows of the product at a time: with two registers each, and two for a row of the panel, they are 14
/// of the 16 that AVX2 has.
const ROWS: usize = 6;

/// `[depth, columns]` in panels of [`PANEL`] columns, `[columns / PANEL, depth, PANEL]`; the last is filled
/// up with zeros.
pub(super) fn panels(matrix: &[f32], columns: usize) -> Vec<f32> {
    let mut panels = Vec::with_capacity(matrix.len() / columns * columns.next_multiple_of(PANEL));
    for first in (0..columns).step_by(PANEL) {
        for row in matrix.chunks_exact(columns) {
            let values = &row[first..columns.min(first + PANEL)];
            panels.extend_from_slice(values);
            panels.extend(std::iter::repeat_n(0.0, PANEL - values.len()));
        }
    }
    panels
}

/// A matrix, `[rows, depth]`, with `stride` values from one row to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) count: usize,
    pub(super) depth: usize,
    pub(super) stride: usize,
}

/// The product of `left` and `panels`, whole panels wide. `finish` makes what is stored of the values of
/// a row from a column on.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) fn multiply(
    left: Rows<'_>,
    panels: &[f32],
    product: &mut [f32],
    finish: impl Fn([f32; PANEL], usize) -> [f32; PANEL],
) {
    let width = panels.len() / left.depth;
    for (place, panel) in panels.chunks_exact(left.depth * PANEL).enumerate() {
        let column = place * PANEL;
        let finish = |sums| finish(sums, column);
        let mut row = 0;
        while row < left.count {
            let product = (&mut product[row * width + column..], width);
            row += match left.count - row {
                ROWS.. => block::<ROWS>(left, row, panel, product, &finish),
                4.. => block::<4>(left, row, panel, product, &finish),
                2.. => block::<2>(left, row, panel, product, &finish),
                _ => block::<1>(left, row, panel, product, &finish),
            };
        }
    }
}

/// `N` rows from `first` on of one panel's columns, which begin where the product, with its width, does.
/// Returns `N`.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn block<const N: usize>(
    left: Rows<'_>,
    first: usize,
    panel: &[f32],
    (product, width): (&mut [f32], usize),
    finish: &impl Fn([f32; PANEL]) -> [f32; PANEL],
) -> usize {
    let mut rows: [&[f32]; N] = [&[]; N];
    for (row, values) in rows.iter_mut().enumerate() {
        *values = &left.values[(first + row) * left.stride..][..left.depth];
    }
    let mut sums = [[0.0; PANEL]; N];
    multiply_rows(&rows, panel.as_chunks().0, &mut sums);
    for (row, sums) in sums.into_iter().enumerate() {
        product[row * width..][..PANEL].copy_from_slice(&finish(sums));
    }
    N
}

/// Writes the product of rows and a panel, `[depth, PANEL]`, to `product`.
///
/// Not inlined, so that the rows' addresses stay in registers instead of being computed from the first
/// one's. Without `map` and `from_fn`, which are compiled for any processor, and are inlined or not.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn multiply_rows<const N: usize>(
    rows: &[&[f32]; N],
    panel: &[[f32; PANEL]],
    product: &mut [[f32; PANEL]; N],
) {
    let mut whole: [&[[f32; STEPS]]; N] = [&[]; N];
    for (whole, row) in whole.iter_mut().zip(rows) {
        *whole = row.as_chunks().0;
    }
    let (steps, rest) = panel.as_chunks::<STEPS>();
    let mut sums = [[_mm256_setzero_ps(); 2]; N];
    let mut values = [&[0.0; STEPS]; N];
    for (place, weights) in steps.iter().enumerate() {
        for (values, whole) in values.iter_mut().zip(whole) {
            *values = &whole[place];
        }
        for (step, weights) in weights.iter().enumerate() {
            let weights = load(weights);
            for (sums, values) in sums.iter_mut().zip(values) {
                accumulate(sums, values[step], weights);
            }
        }
    }
    for (place, weights) in rest.iter().enumerate() {
        let weights = load(weights);
        for (sums, row) in sums.iter_mut().zip(rows) {
            accumulate(sums, row[steps.len() * STEPS + place], weights);
        }
    }
    for (product, sums) in product.iter_mut().zip(sums) {
        store(sums, product);
    }
}

/// Adds the product of a value and the weights.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn accumulate(sums: &mut [__m256; 2], value: f32, weights: [__m256; 2]) {
    let value = _mm256_set1_ps(value);
    sums[0] = _mm256_fmadd_ps(value, weights[0], sums[0]);
    sums[1] = _mm256_fmadd_ps(value, weights[1], sums[1]);
}

#[target_feature(enable = "avx2,fma")]
#[inline]
#[expect(unsafe_code, reason = "it reads through a pointer")]
fn load(values: &[f32; PANEL]) -> [__m256; 2] {
    let values = values.as_ptr();
    // SAFETY: there are twice eight, and they may lie anywhere.
    unsafe { [_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8))] }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
#[expect(unsafe_code, reason = "it writes through a pointer")]
fn store([left, right]: [__m256; 2], values: &mut [f32; PANEL]) {
    let values = values.as_mut_ptr();
    // SAFETY: there is room for twice eight, and they may lie anywhere.
    unsafe {
        _mm256_storeu_ps(values, left);
        _mm256_storeu_ps(values.add(8), right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_sizes_are_those_of_the_definition() {
        if !super::super::is_supported() {
            return;
        }
        for (count, depth, columns) in [(1, 1, 1), (6, 3, 16), (13, 5, 17), (5, 75, 33), (3, 2, 15)]
        {
            // Small whole numbers, so that sums are exact in any order.
            let matrix = |count: usize, seed: usize| -> Vec<f32> {
                (0..count).map(|place| (place * seed % 7) as f32 - 3.0).collect()
            };
            let stride = depth + 2;
            let (values, right) = (matrix(count * stride, 5), matrix(depth * columns, 3));
            let width = columns.next_multiple_of(PANEL);
            let mut product = vec![f32::NAN; count * width];
            let left = Rows { values: &values, count, depth, stride };
            // SAFETY: the processor has AVX2 and FMA, as seen above.
            #[expect(unsafe_code, reason = "it is compiled for AVX2 and FMA")]
            unsafe {
                multiply(left, &panels(&right, columns), &mut product, |sums, _| sums);
            }
            for (place, found) in product.iter().enumerate() {
                let (row, column) = (place / width, place % width);
                let weight = |at| if column < columns { right[at * columns + column] } else { 0.0 };
                let terms = (0..depth).map(|at| values[row * stride + at] * weight(at));
                assert_eq!(*found, terms.sum::<f32>(), "{left:?}: {row}, {column}");
            }
        }
    }
}
