//! The one-dimensional transforms of Winograd's minimal filtering, for outputs of four.
//!
//! Lavin & Gray 2015, arXiv:1509.09308. A vector holds the same position of some channels. What two rows
//! of a matrix have in common is computed once.

use super::LANES;

pub(super) type Vector = [f32; LANES];

/// Outputs of one tile along one axis.
pub(super) const TILE: usize = 4;

/// F(4, r) for filters of r, whose tiles reach over `REACH = 4 + r - 1` inputs.
pub(super) trait Filtering<const REACH: usize> {
    /// Bᵀ · d.
    fn input(d: [Vector; REACH]) -> [Vector; REACH];
    /// Aᵀ · m.
    fn output(m: [Vector; REACH]) -> [Vector; TILE];
}

/// F(4, 5), with the points 0, ±1, ±2, ±½ and ∞. Its matrices are in [`crate::model::winograd`].
pub(super) struct OfFive;

impl Filtering<8> for OfFive {
    #[inline(always)]
    fn input(d: [Vector; 8]) -> [Vector; 8] {
        let pair = |even: [f32; 3], odd: [f32; 3]| {
            let even = sum([(even[0], d[2]), (even[1], d[4]), (even[2], d[6])]);
            let odd = sum([(odd[0], d[1]), (odd[1], d[3]), (odd[2], d[5])]);
            (sum([(1.0, even), (1.0, odd)]), sum([(1.0, even), (-1.0, odd)]))
        };
        let (plus_1, minus_1) = pair([1.0, -4.25, 1.0], [1.0, -4.25, 1.0]);
        let (plus_2, minus_2) = pair([0.25, -1.25, 1.0], [0.5, -2.5, 2.0]);
        let (plus_half, minus_half) = pair([4.0, -5.0, 1.0], [2.0, -2.5, 0.5]);
        let zero = sum([(-1.0, d[0]), (5.25, d[2]), (-5.25, d[4]), (1.0, d[6])]);
        let infinity = sum([(-1.0, d[1]), (5.25, d[3]), (-5.25, d[5]), (1.0, d[7])]);
        [zero, plus_1, minus_1, plus_2, minus_2, plus_half, minus_half, infinity]
    }

    #[inline(always)]
    fn output(m: [Vector; 8]) -> [Vector; TILE] {
        let pair = |plus, minus| {
            (sum([(1.0, m[plus]), (1.0, m[minus])]), sum([(1.0, m[plus]), (-1.0, m[minus])]))
        };
        let ((even_1, odd_1), (even_2, odd_2), (even_half, odd_half)) =
            (pair(1, 2), pair(3, 4), pair(5, 6));
        [
            sum([(1.0, m[0]), (1.0, even_1), (1.0, even_2), (1.0, even_half)]),
            sum([(1.0, odd_1), (2.0, odd_2), (0.5, odd_half)]),
            sum([(1.0, even_1), (4.0, even_2), (0.25, even_half)]),
            sum([(1.0, m[7]), (1.0, odd_1), (8.0, odd_2), (0.125, odd_half)]),
        ]
    }
}

/// The sum of vectors, each times its factor.
#[inline(always)]
fn sum<const N: usize>(terms: [(f32, Vector); N]) -> Vector {
    std::array::from_fn(|lane| {
        let products = terms.iter().map(|(factor, vector)| (factor, vector[lane]));
        let (factor, first) = (terms[0].0, terms[0].1[lane]);
        products.skip(1).fold(factor * first, |sum, (factor, value)| factor.mul_add(value, sum))
    })
}
