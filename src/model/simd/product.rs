//! Products of matrices that are in the caches.
//!
//! With intrinsics: what the compiler makes of plain loops over arrays either keeps sums in memory or takes
//! six steps of arithmetic on addresses for twelve multiplications.

use super::registers::{Registers, panel_of};

/// `[depth, columns]` in panels of that `width`, `[columns / width, depth, width]`; the last is filled up
/// with zeros.
pub(super) fn panels(matrix: &[f32], columns: usize, width: usize) -> Vec<f32> {
    let mut panels = Vec::with_capacity(matrix.len() / columns * columns.next_multiple_of(width));
    for first in (0..columns).step_by(width) {
        for row in matrix.chunks_exact(columns) {
            let values = &row[first..columns.min(first + width)];
            panels.extend_from_slice(values);
            panels.extend(std::iter::repeat_n(0.0, width - values.len()));
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
#[inline(always)]
pub(super) fn multiply<R: Registers>(
    registers: R,
    (left, panels): (Rows<'_>, &[f32]),
    product: &mut [f32],
    finish: impl Fn(R::Vector, usize) -> R::Vector,
) {
    let width = panels.len() / left.depth;
    for (place, panel) in panels.chunks_exact(left.depth * panel_of::<R>()).enumerate() {
        let column = place * panel_of::<R>();
        let mut first = 0;
        while first < left.count {
            let rows = Rows { values: &left.values[first * left.stride..], ..left };
            let product = (&mut product[first * width + column..], width);
            let finish = (&finish, column);
            first += match left.count - first {
                12.. if R::ROWS == 12 => block::<R, 12>(registers, (rows, panel), product, finish),
                8.. if R::ROWS == 12 => block::<R, 8>(registers, (rows, panel), product, finish),
                6.. => block::<R, 6>(registers, (rows, panel), product, finish),
                4.. => block::<R, 4>(registers, (rows, panel), product, finish),
                2.. => block::<R, 2>(registers, (rows, panel), product, finish),
                _ => block::<R, 1>(registers, (rows, panel), product, finish),
            };
        }
    }
}

/// The first `N` rows of one panel's columns, which begin where the product, with its width, does.
/// Returns `N`.
#[inline(always)]
fn block<R: Registers, const N: usize>(
    registers: R,
    (left, panel): (Rows<'_>, &[f32]),
    (product, width): (&mut [f32], usize),
    (finish, column): (&impl Fn(R::Vector, usize) -> R::Vector, usize),
) -> usize {
    let mut rows: [&[f32]; N] = [&[]; N];
    for (row, values) in rows.iter_mut().enumerate() {
        *values = &left.values[row * left.stride..][..left.depth];
    }
    let mut sums = [[registers.splat(0.0); 2]; N];
    multiply_rows(registers, &rows, panel, &mut sums);
    for (row, [left, right]) in sums.iter().enumerate() {
        let product = &mut product[row * width..][..panel_of::<R>()];
        registers.store(finish(*left, column), product);
        registers.store(finish(*right, column + R::LANES), &mut product[R::LANES..]);
    }
    N
}

/// Writes the product of rows and a panel to `product`.
///
/// Not inlined, so that the rows' addresses stay in registers instead of being computed from the first
/// one's.
#[inline(never)]
fn multiply_rows<R: Registers, const N: usize>(
    registers: R,
    rows: &[&[f32]; N],
    panel: &[f32],
    product: &mut [[R::Vector; 2]; N],
) {
    registers.call(
        #[inline(always)]
        || {
            let depth = panel.len() / panel_of::<R>();
            for row in rows {
                assert!(row.len() >= depth);
            }
            let mut sums = [[registers.splat(0.0); 2]; N];
            for (place, weights) in panel.chunks_exact(panel_of::<R>()).enumerate() {
                let weights = [registers.load(weights), registers.load(&weights[R::LANES..])];
                for (sums, row) in sums.iter_mut().zip(rows) {
                    // SAFETY: there are as many values in each row, see above.
                    #[expect(unsafe_code, reason = "a check takes longer than a multiplication")]
                    let value = registers.splat(unsafe { *row.get_unchecked(place) });
                    sums[0] = registers.multiply_add(value, weights[0], sums[0]);
                    sums[1] = registers.multiply_add(value, weights[1], sums[1]);
                }
            }
            *product = sums;
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::registers::{Avx2, Avx512};
    use super::*;

    #[test]
    fn products_of_all_sizes_are_those_of_the_definition() {
        if let Some(registers) = Avx2::detect() {
            check(registers);
        }
        if let Some(registers) = Avx512::detect() {
            check(registers);
        }
    }

    fn check<R: Registers>(registers: R) {
        for (count, depth, columns) in
            [(1, 1, 1), (6, 3, 16), (13, 5, 17), (5, 75, 33), (3, 2, 15), (24, 17, 65)]
        {
            // Small whole numbers, so that sums are exact in any order.
            let matrix = |count: usize, seed: usize| -> Vec<f32> {
                (0..count).map(|place| (place * seed % 7) as f32 - 3.0).collect()
            };
            let stride = depth + 2;
            let (values, right) = (matrix(count * stride, 5), matrix(depth * columns, 3));
            let width = columns.next_multiple_of(panel_of::<R>());
            let mut product = vec![f32::NAN; count * width];
            let left = Rows { values: &values, count, depth, stride };
            let factors = (left, &*panels(&right, columns, panel_of::<R>()));
            registers.call(|| multiply(registers, factors, &mut product, |sums, _| sums));
            for (place, found) in product.iter().enumerate() {
                let (row, column) = (place / width, place % width);
                let weight = |at| if column < columns { right[at * columns + column] } else { 0.0 };
                let terms = (0..depth).map(|at| values[row * stride + at] * weight(at));
                assert_eq!(*found, terms.sum::<f32>(), "{left:?}: {row}, {column}");
            }
        }
    }
}
