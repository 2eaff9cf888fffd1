//! Products of matrices that are in the caches.

use super::PANEL;

/// Rows of the product at a time: with two registers each and two for a row of the panel they are 14 of
/// the 16 that AVX2 has.
const ROWS: usize = 6;

/// `[depth, filters]` in panels of [`PANEL`] columns: `[filters / PANEL, depth, PANEL]`.
pub(super) fn panels(matrix: &[f32], filters: usize) -> Vec<f32> {
    let columns = (0..filters).step_by(PANEL);
    columns
        .flat_map(|first| {
            matrix.chunks_exact(filters).flat_map(move |row| &row[first..first + PANEL])
        })
        .copied()
        .collect()
}

/// `product`, `[rows, filters]`, of `left`, `[rows, depth]`, and `panels`.
#[inline(always)]
pub(super) fn multiply((left, depth): (&[f32], usize), panels: &[f32], product: &mut [f32]) {
    let rows = left.len() / depth;
    let filters = panels.len() / depth;
    for (place, panel) in panels.chunks_exact(depth * PANEL).enumerate() {
        let column = place * PANEL;
        let mut row = 0;
        while row < rows {
            let (left, product) = (&left[row * depth..], &mut product[row * filters + column..]);
            let shape = (depth, filters);
            row += match rows - row {
                ROWS.. => block::<ROWS>(left, panel, product, shape),
                4.. => block::<4>(left, panel, product, shape),
                2.. => block::<2>(left, panel, product, shape),
                _ => block::<1>(left, panel, product, shape),
            };
        }
    }
}

/// The first `N` rows of one panel's part of the product. Returns `N`.
#[inline(always)]
fn block<const N: usize>(
    left: &[f32],
    panel: &[f32],
    product: &mut [f32],
    (depth, filters): (usize, usize),
) -> usize {
    let rows: [&[f32]; N] = std::array::from_fn(|row| &left[row * depth..][..depth]);
    let mut sums = [[0.0_f32; PANEL]; N];
    for (place, weights) in panel.chunks_exact(PANEL).take(depth).enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            let value = row[place];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = value.mul_add(*weight, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        product[row * filters..][..PANEL].copy_from_slice(sums);
    }
    N
}
