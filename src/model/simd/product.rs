//! Products of matrices that are in the caches.
//!
//! With intrinsics: what the compiler makes of plain loops over arrays either keeps sums in memory or takes
//! six steps of arithmetic on addresses for twelve multiplications.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::Epilogue;
use super::aligned::LINE;
use super::multiplier::Multiplier;
use super::registers::{Registers, panel_of};

/// `[depth, columns]` in panels of that `width`, `[columns / width, depth / step, width, step]`. The last
/// panel is half as wide if that is enough; it and the depth are filled up with zeros.
pub(super) fn panels<M: Multiplier>(matrix: &[M::Element], columns: usize) -> Vec<M::Element> {
    let depth = matrix.len() / columns;
    let (width, lanes) = (panel_of::<M::Registers>(), M::Registers::LANES);
    let mut panels = Vec::new();
    for first in (0..columns).step_by(width) {
        let end = (first + width).min(columns.next_multiple_of(lanes));
        for row in (0..depth).step_by(M::STEP) {
            for column in first..end {
                for row in row..row + M::STEP {
                    let is_inside = row < depth && column < columns;
                    let value = if is_inside {
                        matrix[row * columns + column]
                    } else {
                        M::Element::default()
                    };
                    panels.push(value);
                }
            }
        }
    }
    panels
}

/// A matrix, `[rows, depth]`, with `stride` values from one row to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a, E> {
    pub(super) values: &'a [E],
    pub(super) count: usize,
    /// A whole number of steps.
    pub(super) depth: usize,
    pub(super) stride: usize,
}

/// Bytes of weights that stay in a core's own caches.
pub(super) const NEAR: usize = 1 << 20;

/// Panels of a matrix, see [`panels`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Panels<'a, E> {
    /// A core's own caches have them.
    Near(&'a [E]),
    /// They come from further away, so what lies behind a panel is fetched while it is multiplied.
    Far(&'a [E]),
}

impl<'a, E> Panels<'a, E> {
    /// Of a `layer`, which is run as a whole.
    pub(super) fn of(layer: &[E], panels: &'a [E]) -> Self {
        if size_of_val(layer) > NEAR { Self::Far(panels) } else { Self::Near(panels) }
    }
}

/// The product of `left` and `right`, as wide as it is, or what `epilogue` makes of it.
#[inline(always)]
pub(super) fn multiply<M: Multiplier>(
    multiplier: M,
    (left, right): (Rows<'_, M::Element>, Panels<'_, M::Element>),
    product: &mut [M::Product],
    epilogue: Option<&Epilogue>,
) {
    match right {
        Panels::Near(panels) => strips::<M, false>(multiplier, (left, panels), product, epilogue),
        Panels::Far(panels) => strips::<M, true>(multiplier, (left, panels), product, epilogue),
    }
}

/// As [`multiply`]. `FAR` as in [`Panels`].
#[inline(always)]
fn strips<M: Multiplier, const FAR: bool>(
    multiplier: M,
    (left, panels): (Rows<'_, M::Element>, &[M::Element]),
    product: &mut [M::Product],
    epilogue: Option<&Epilogue>,
) {
    let (width, panel) = (panels.len() / left.depth, panel_of::<M::Registers>());
    for (place, weights) in panels.chunks(left.depth * panel).enumerate() {
        let column = place * panel;
        let factors = (left, weights);
        let product = (&mut product[column..], width);
        if weights.len() == left.depth * panel {
            strip::<M, 2, FAR>(multiplier, factors, product, (epilogue, column));
        } else {
            strip::<M, 1, FAR>(multiplier, factors, product, (epilogue, column));
        }
    }
}

/// The columns of one panel of `V` registers, which begin where the product, with its width, does.
#[inline(always)]
fn strip<M: Multiplier, const V: usize, const FAR: bool>(
    multiplier: M,
    (left, panel): (Rows<'_, M::Element>, &[M::Element]),
    (product, width): (&mut [M::Product], usize),
    epilogue: (Option<&Epilogue>, usize),
) {
    let mut first = 0;
    while first < left.count {
        let rows = Rows { values: &left.values[first * left.stride..], ..left };
        let product = (&mut product[first * width..], width);
        let factors = (rows, panel);
        first += match left.count - first {
            12.. if M::Registers::ROWS == 12 => {
                block::<M, V, 12, FAR>(multiplier, factors, product, epilogue)
            }
            8.. if M::Registers::ROWS == 12 => {
                block::<M, V, 8, FAR>(multiplier, factors, product, epilogue)
            }
            6.. => block::<M, V, 6, FAR>(multiplier, factors, product, epilogue),
            4.. => block::<M, V, 4, FAR>(multiplier, factors, product, epilogue),
            2.. => block::<M, V, 2, FAR>(multiplier, factors, product, epilogue),
            _ => block::<M, V, 1, FAR>(multiplier, factors, product, epilogue),
        };
    }
}

/// As [`strip`], of the first `N` rows. Returns `N`.
#[inline(always)]
fn block<M: Multiplier, const V: usize, const N: usize, const FAR: bool>(
    multiplier: M,
    (left, panel): (Rows<'_, M::Element>, &[M::Element]),
    product: (&mut [M::Product], usize),
    epilogue: (Option<&Epilogue>, usize),
) -> usize {
    let mut rows: [&[M::Element]; N] = [&[]; N];
    for (place, values) in rows.iter_mut().enumerate() {
        *values = &left.values[place * left.stride..][..left.depth];
    }
    multiply_rows::<M, V, N, FAR>(multiplier, (&rows, panel), product, epilogue);
    N
}

/// The product of rows and a panel.
///
/// Not inlined, so that the rows' addresses stay in registers instead of being computed from the first
/// one's. It writes the product itself, since so many sums would be returned in memory.
#[inline(never)]
fn multiply_rows<M: Multiplier, const V: usize, const N: usize, const FAR: bool>(
    multiplier: M,
    (rows, panel): (&[&[M::Element]; N], &[M::Element]),
    (product, width): (&mut [M::Product], usize),
    (epilogue, column): (Option<&Epilogue>, usize),
) {
    multiplier.call(
        #[inline(always)]
        || {
            let lanes = M::Registers::LANES;
            let vector = lanes * M::STEP;
            let depth = panel.len() / (V * vector) * M::STEP;
            for row in rows {
                assert!(row.len() >= depth);
            }
            let zero = multiplier.registers().splat(0.0);
            let mut sums = [[zero; V]; N];
            for (place, weights) in panel.chunks_exact(V * vector).enumerate() {
                if FAR {
                    fetch_behind(panel, weights);
                }
                let mut columns = [zero; V];
                for (columns, weights) in columns.iter_mut().zip(weights.chunks_exact(vector)) {
                    *columns = multiplier.columns(weights);
                }
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let step = place * M::STEP..(place + 1) * M::STEP;
                    // SAFETY: there are as many values in each row, see above.
                    #[expect(unsafe_code, reason = "a check takes longer than a multiplication")]
                    let row = multiplier.spread(unsafe { row.get_unchecked(step) });
                    for (sums, columns) in sums.iter_mut().zip(&columns) {
                        *sums = multiplier.add_products(row, *columns, *sums);
                    }
                }
            }
            if let Some(epilogue) = epilogue {
                for place in 0..V {
                    let registers = multiplier.registers();
                    let finish = epilogue.of(registers, column + place * lanes);
                    for sums in &mut sums {
                        sums[place] = finish.apply(registers, sums[place]);
                    }
                }
            }
            assert!(product.len() >= (N - 1) * width + V * lanes);
            for (row, sums) in sums.into_iter().enumerate() {
                for (place, sums) in sums.into_iter().enumerate() {
                    let first = row * width + place * lanes;
                    // SAFETY: there are as many, see above.
                    #[expect(unsafe_code, reason = "with checks the sums are written twice")]
                    let product = unsafe { product.get_unchecked_mut(first..first + lanes) };
                    multiplier.put(sums, product);
                }
            }
        },
    )
}

/// Has a `part` of the values behind `panel` fetched, as far behind it as `part` lies in it.
#[inline(always)]
fn fetch_behind<E>(panel: &[E], part: &[E]) {
    let behind = part.as_ptr().wrapping_byte_add(size_of_val(panel)).cast::<i8>();
    for line in (0..size_of_val(part)).step_by(LINE) {
        // SAFETY: it is a hint, and reads nothing, wherever that is.
        #[expect(unsafe_code, reason = "an intrinsic")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(behind.wrapping_add(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::Bf16;
    use super::super::fixed::Fixed;
    use super::super::multiplier::Pairs;
    use super::super::registers::{Avx2, Avx512, InSteps};
    use super::*;

    #[test]
    fn products_of_all_sizes_are_those_of_the_definition() {
        if let Some(registers) = Avx2::detect() {
            check(registers, |value| value, |value| value);
        }
        if let Some(registers) = Avx512::<InSteps>::detect() {
            check(registers, |value| value, |value| value);
        }
        if let Some(pairs) = Pairs::detect() {
            check(pairs, Bf16::rounded, Bf16::widened);
        }
        if let Some(fixed) = Fixed::detect() {
            check(fixed, |value| value as i16, |value| value.to_bits() as i32 as f32);
        }
    }

    fn check<M: Multiplier>(
        multiplier: M,
        narrow: impl Fn(f32) -> M::Element,
        widen: impl Fn(M::Product) -> f32,
    ) {
        for (count, depth, columns) in
            [(1, 1, 1), (6, 3, 16), (13, 5, 17), (5, 15, 33), (3, 2, 15), (24, 17, 65), (12, 4, 48)]
        {
            // Small whole numbers, so that sums are exact in any order, and in bf16.
            let matrix = |count: usize, seed: usize| -> Vec<f32> {
                (0..count).map(|place| (place * seed % 7) as f32 - 3.0).collect()
            };
            let narrowed =
                |matrix: &[f32]| -> Vec<_> { matrix.iter().map(|value| narrow(*value)).collect() };
            let stride = depth + 2;
            let (left, right) = (matrix(count * stride, 5), matrix(depth * columns, 3));
            let width = columns.next_multiple_of(M::Registers::LANES);
            let mut product = vec![M::Product::default(); count * width];
            let values = narrowed(&left);
            // What lies between the rows is multiplied by zeros.
            let rows = depth.next_multiple_of(M::STEP);
            let rows = Rows { values: &values, count, depth: rows, stride };
            let panels = panels::<M>(&narrowed(&right), columns);
            let factors = (rows, Panels::Near(&panels));
            multiplier.call(|| multiply(multiplier, factors, &mut product, None));
            let mut fetched = product.clone();
            let factors = (rows, Panels::Far(&panels));
            multiplier.call(|| multiply(multiplier, factors, &mut fetched, None));
            assert!(fetched.iter().zip(&product).all(|(a, b)| widen(*a) == widen(*b)));
            for (place, found) in product.iter().enumerate() {
                let (row, column) = (place / width, place % width);
                let weight = |at| if column < columns { right[at * columns + column] } else { 0.0 };
                let terms = (0..depth).map(|at| left[row * stride + at] * weight(at));
                let found = widen(*found);
                assert_eq!(
                    found,
                    terms.sum::<f32>(),
                    "{count}, {depth}, {columns}: {row}, {column}"
                );
            }
        }
    }
}
