//! The one-dimensional transforms of Winograd's minimal filtering, for outputs of four.
//!
//! Lavin & Gray 2015, arXiv:1509.09308. A vector holds the same position of some channels. What two rows
//! of a matrix have in common is computed once.

use std::fmt::Debug;

use super::registers::Registers;

/// Outputs of one tile along one axis.
pub(super) const TILE: usize = 4;

/// F(4, KERNEL), whose tiles reach over `REACH = 4 + KERNEL - 1` inputs.
pub(super) trait Filtering<const REACH: usize, const KERNEL: usize>:
    Debug + Send + Sync + 'static
{
    /// G.
    const FILTER: [[f32; KERNEL]; REACH];
    /// Bᵀ · d.
    fn input<R: Registers>(registers: R, d: [R::Vector; REACH]) -> [R::Vector; REACH];
    /// Aᵀ · m.
    fn output<R: Registers>(registers: R, m: [R::Vector; REACH]) -> [R::Vector; TILE];
}

/// F(4, 5), with the points 0, ±1, ±2, ±½ and ∞.
#[derive(Debug)]
pub(super) struct OfFive;

impl Filtering<8, 5> for OfFive {
    const FILTER: [[f32; 5]; 8] = [
        [-1.0, 0.0, 0.0, 0.0, 0.0],
        [-2.0 / 9.0, -2.0 / 9.0, -2.0 / 9.0, -2.0 / 9.0, -2.0 / 9.0],
        [-2.0 / 9.0, 2.0 / 9.0, -2.0 / 9.0, 2.0 / 9.0, -2.0 / 9.0],
        [1.0 / 90.0, 1.0 / 45.0, 2.0 / 45.0, 4.0 / 45.0, 8.0 / 45.0],
        [1.0 / 90.0, -1.0 / 45.0, 2.0 / 45.0, -4.0 / 45.0, 8.0 / 45.0],
        [32.0 / 45.0, 16.0 / 45.0, 8.0 / 45.0, 4.0 / 45.0, 2.0 / 45.0],
        [32.0 / 45.0, -16.0 / 45.0, 8.0 / 45.0, -4.0 / 45.0, 2.0 / 45.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<R: Registers>(registers: R, d: [R::Vector; 8]) -> [R::Vector; 8] {
        let even_1 = sum(registers, [(1.0, d[2]), (-4.25, d[4]), (1.0, d[6])]);
        let odd_1 = sum(registers, [(1.0, d[1]), (-4.25, d[3]), (1.0, d[5])]);
        let even_2 = sum(registers, [(0.25, d[2]), (-1.25, d[4]), (1.0, d[6])]);
        let odd_2 = sum(registers, [(0.5, d[1]), (-2.5, d[3]), (2.0, d[5])]);
        let even_half = sum(registers, [(4.0, d[2]), (-5.0, d[4]), (1.0, d[6])]);
        let odd_half = sum(registers, [(2.0, d[1]), (-2.5, d[3]), (0.5, d[5])]);
        let [plus_1, minus_1] = plus_minus(registers, even_1, odd_1);
        let [plus_2, minus_2] = plus_minus(registers, even_2, odd_2);
        let [plus_half, minus_half] = plus_minus(registers, even_half, odd_half);
        let zero = sum(registers, [(-1.0, d[0]), (5.25, d[2]), (-5.25, d[4]), (1.0, d[6])]);
        let infinity = sum(registers, [(-1.0, d[1]), (5.25, d[3]), (-5.25, d[5]), (1.0, d[7])]);
        [zero, plus_1, minus_1, plus_2, minus_2, plus_half, minus_half, infinity]
    }

    #[inline(always)]
    fn output<R: Registers>(registers: R, m: [R::Vector; 8]) -> [R::Vector; TILE] {
        let [even_1, odd_1] = plus_minus(registers, m[1], m[2]);
        let [even_2, odd_2] = plus_minus(registers, m[3], m[4]);
        let [even_half, odd_half] = plus_minus(registers, m[5], m[6]);
        [
            sum(registers, [(1.0, m[0]), (1.0, even_1), (1.0, even_2), (1.0, even_half)]),
            sum(registers, [(1.0, odd_1), (2.0, odd_2), (0.5, odd_half)]),
            sum(registers, [(1.0, even_1), (4.0, even_2), (0.25, even_half)]),
            sum(registers, [(1.0, m[7]), (1.0, odd_1), (8.0, odd_2), (0.125, odd_half)]),
        ]
    }
}

/// F(4, 3), with the points 0, ±1, ±2 and ∞.
#[derive(Debug)]
pub(super) struct OfThree;

impl Filtering<6, 3> for OfThree {
    const FILTER: [[f32; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<R: Registers>(registers: R, d: [R::Vector; 6]) -> [R::Vector; 6] {
        let even_1 = sum(registers, [(1.0, d[4]), (-4.0, d[2])]);
        let odd_1 = sum(registers, [(1.0, d[3]), (-4.0, d[1])]);
        let even_2 = sum(registers, [(1.0, d[4]), (-1.0, d[2])]);
        let odd_2 = sum(registers, [(2.0, d[3]), (-2.0, d[1])]);
        let ([plus_1, minus_1], [plus_2, minus_2]) =
            (plus_minus(registers, even_1, odd_1), plus_minus(registers, even_2, odd_2));
        let zero = sum(registers, [(4.0, d[0]), (-5.0, d[2]), (1.0, d[4])]);
        let infinity = sum(registers, [(4.0, d[1]), (-5.0, d[3]), (1.0, d[5])]);
        [zero, plus_1, minus_1, plus_2, minus_2, infinity]
    }

    #[inline(always)]
    fn output<R: Registers>(registers: R, m: [R::Vector; 6]) -> [R::Vector; TILE] {
        let [even_1, odd_1] = plus_minus(registers, m[1], m[2]);
        let [even_2, odd_2] = plus_minus(registers, m[3], m[4]);
        [
            sum(registers, [(1.0, m[0]), (1.0, even_1), (1.0, even_2)]),
            sum(registers, [(1.0, odd_1), (2.0, odd_2)]),
            sum(registers, [(1.0, even_1), (4.0, even_2)]),
            sum(registers, [(1.0, m[5]), (1.0, odd_1), (8.0, odd_2)]),
        ]
    }
}

/// `a + b` and `a - b`.
#[inline(always)]
fn plus_minus<R: Registers>(registers: R, a: R::Vector, b: R::Vector) -> [R::Vector; 2] {
    [sum(registers, [(1.0, a), (1.0, b)]), sum(registers, [(1.0, a), (-1.0, b)])]
}

/// The sum of vectors, each times its factor.
#[inline(always)]
fn sum<R: Registers, const N: usize>(registers: R, terms: [(f32, R::Vector); N]) -> R::Vector {
    let (factor, vector) = terms[0];
    let mut sum = registers.multiply(registers.splat(factor), vector);
    for (factor, vector) in &terms[1..] {
        sum = registers.multiply_add(registers.splat(*factor), *vector, sum);
    }
    sum
}

/// G · g · Gᵀ of each filter g: `[REACH, REACH, …]` of `[KERNEL, KERNEL, …]`.
pub(super) fn transformed<F: Filtering<REACH, KERNEL>, const REACH: usize, const KERNEL: usize>(
    weights: &[f32],
) -> Vec<f32> {
    let count = weights.len() / (KERNEL * KERNEL);
    // The sum of parts of `terms`, each times its factor.
    let add = |sum: &mut [f32], terms: &[f32], factors: &[f32; KERNEL]| {
        for (terms, factor) in terms.chunks_exact(sum.len()).zip(factors) {
            for (sum, term) in sum.iter_mut().zip(terms) {
                *sum += factor * term;
            }
        }
    };
    let mut half = vec![0.0; REACH * KERNEL * count];
    for (row, factors) in half.chunks_exact_mut(KERNEL * count).zip(&F::FILTER) {
        add(row, weights, factors);
    }
    let mut points = vec![0.0; REACH * REACH * count];
    let rows = points.chunks_exact_mut(REACH * count).zip(half.chunks_exact(KERNEL * count));
    for (row, half) in rows {
        for (point, factors) in row.chunks_exact_mut(count).zip(&F::FILTER) {
            add(point, half, factors);
        }
    }
    points
}
