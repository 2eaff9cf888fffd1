//! 5×5 convolution with a quarter of the multiplications, or fewer.
//!
//! Winograd's minimal filtering, F(4×4, 5×5) (Lavin & Gray 2015, arXiv:1509.09308): the output is
//! cut into tiles of 4×4, each of which depends on 8×8 of the input. Transformed tiles are multiplied
//! by transformed filters at 64 points, and transformed back: 64 multiplications for each pair of
//! channels instead of 16 · 25 = 400. The points of the transform are 0, ±1, ±2, ±½ and ∞.
//!
//! All steps are matrix products of libtorch. A tile is a column of 64 values, so that its
//! two-dimensional transform is one product with the Kronecker square of the one-dimensional one.
//! What rounding adds is of the order of 1e-5 of the largest output, in f32.

use tch::{TchError, Tensor};

/// Sides of an output tile, of an input tile, and of a filter.
const TILE: i64 = 4;
const REACH: i64 = 8;
pub const KERNEL: i64 = 5;

/// Tiles of one set of matrix products. What is between the steps takes about 0.1 MB a tile with 256
/// filters; more of it than the caches hold costs more than larger products gain.
const TILES_AT_ONCE: i64 = 128;

/// Aᵀ, `[TILE, REACH]`: from products back to outputs.
#[rustfmt::skip]
const OUTPUT: [f32; 32] = [
    1.0, 1.0,  1.0, 1.0,  1.0, 1.0,    1.0,   0.0,
    0.0, 1.0, -1.0, 2.0, -2.0, 0.5,   -0.5,   0.0,
    0.0, 1.0,  1.0, 4.0,  4.0, 0.25,   0.25,  0.0,
    0.0, 1.0, -1.0, 8.0, -8.0, 0.125, -0.125, 1.0,
];

/// G, `[REACH, KERNEL]`, for filters.
#[rustfmt::skip]
const FILTER: [f32; 40] = [
    -1.0,         0.0,         0.0,        0.0,        0.0,
    -2.0 / 9.0,  -2.0 / 9.0,  -2.0 / 9.0, -2.0 / 9.0, -2.0 / 9.0,
    -2.0 / 9.0,   2.0 / 9.0,  -2.0 / 9.0,  2.0 / 9.0, -2.0 / 9.0,
     1.0 / 90.0,  1.0 / 45.0,  2.0 / 45.0, 4.0 / 45.0, 8.0 / 45.0,
     1.0 / 90.0, -1.0 / 45.0,  2.0 / 45.0, -4.0 / 45.0, 8.0 / 45.0,
    32.0 / 45.0, 16.0 / 45.0,  8.0 / 45.0, 4.0 / 45.0, 2.0 / 45.0,
    32.0 / 45.0, -16.0 / 45.0, 8.0 / 45.0, -4.0 / 45.0, 2.0 / 45.0,
     0.0,         0.0,         0.0,        0.0,        1.0,
];

/// Bᵀ, `[REACH, REACH]`, for inputs.
#[rustfmt::skip]
const INPUT: [f32; 64] = [
    -1.0,  0.0, 5.25,  0.0,  -5.25,  0.0,  1.0, 0.0,
     0.0,  1.0, 1.0,  -4.25, -4.25,  1.0,  1.0, 0.0,
     0.0, -1.0, 1.0,   4.25, -4.25, -1.0,  1.0, 0.0,
     0.0,  0.5, 0.25, -2.5,  -1.25,  2.0,  1.0, 0.0,
     0.0, -0.5, 0.25,  2.5,  -1.25, -2.0,  1.0, 0.0,
     0.0,  2.0, 4.0,  -2.5,  -5.0,   0.5,  1.0, 0.0,
     0.0, -2.0, 4.0,   2.5,  -5.0,  -0.5,  1.0, 0.0,
     0.0, -1.0, 0.0,   5.25,  0.0,  -5.25, 0.0, 1.0,
];

/// The three transforms of tiles, f32: `[64, 64]`, `[64, 25]` and `[16, 64]`.
#[derive(Debug)]
pub struct Winograd {
    input: Tensor,
    filter: Tensor,
    output: Tensor,
}

/// Whether a convolution with `weight`, `[filters, channels, kernel, kernel]`, takes fewer than half
/// of the multiplications this way. With few channels the transforms outweigh what they save.
pub fn pays(weight: &[i64], stride: i64) -> bool {
    let &[filters, channels, KERNEL, KERNEL] = weight else { return false };
    let points = REACH * REACH;
    let transforms = points * points * channels + TILE * TILE * points * filters;
    let direct = TILE * TILE * KERNEL * KERNEL * channels * filters;
    stride == 1 && 2 * (transforms + points * channels * filters) < direct
}

impl Winograd {
    pub fn new() -> Result<Self, TchError> {
        let squared = |values: &[f32], rows: i64| {
            let matrix = Tensor::f_from_slice(values)?.f_view([rows, -1])?;
            matrix.f_kron(&matrix)
        };
        Ok(Self {
            input: squared(&INPUT, REACH)?,
            filter: squared(&FILTER, REACH)?,
            output: squared(&OUTPUT, TILE)?,
        })
    }

    /// Filters `[filters, channels, 5, 5]` as [`Winograd::convolve`] takes them:
    /// `[64, channels, filters]`.
    pub fn transform(&self, weight: &Tensor) -> Result<Tensor, TchError> {
        let (filters, channels, ..) = weight.size4()?;
        let columns = weight.f_permute([2, 3, 1, 0])?.f_reshape([KERNEL * KERNEL, -1])?;
        self.filter.f_mm(&columns)?.f_view([REACH * REACH, channels, filters])
    }

    /// The convolution, without bias, of `x`, `[N, C, H, W]` in f32, with transformed `filters`.
    /// Channels-last, as `x` should be. Gradients flow through both.
    pub fn convolve(&self, x: &Tensor, filters: &Tensor, padding: i64) -> Result<Tensor, TchError> {
        let (pictures, _, height, width) = x.size4()?;
        let sides = [height, width].map(|side| side + 2 * padding - (KERNEL - 1));
        let tiles: i64 = sides.map(|side| (side + TILE - 1) / TILE).iter().product();
        let at_once = (TILES_AT_ONCE / tiles).max(1);
        if pictures <= at_once {
            return self.convolve_at_once(x, (filters, padding), sides);
        }
        let parts = x.f_split(at_once, 0)?;
        let parts = parts.iter().map(|part| self.convolve_at_once(part, (filters, padding), sides));
        Tensor::f_cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)
    }

    /// `sides` are the output's height and width.
    fn convolve_at_once(
        &self,
        x: &Tensor,
        (filters, padding): (&Tensor, i64),
        [height, width]: [i64; 2],
    ) -> Result<Tensor, TchError> {
        let (pictures, channels, ..) = x.size4()?;
        let (points, _, outputs) = filters.size3()?;
        let [down, across] = [height, width].map(|side| (side + TILE - 1) / TILE);
        let columns = self.input.f_mm(&tiles(x, padding, [down, across])?)?;
        let columns = columns.f_view([points, pictures * down * across, channels])?;
        let products = columns.f_bmm(filters)?.f_view([points, -1])?;
        let tiles = self.output.f_mm(&products)?;
        let tiles = tiles.f_view([TILE, TILE, pictures, down, across, outputs])?;
        let rows = tiles.f_permute([2, 3, 0, 4, 1, 5])?;
        let whole = rows.f_reshape([pictures, down * TILE, across * TILE, outputs])?;
        let inside = whole.f_narrow(1, 0, height)?.f_narrow(2, 0, width)?;
        inside.f_contiguous()?.f_permute([0, 3, 1, 2])
    }
}

/// The input tiles of `x`, `[N, C, H, W]`, that `down` × `across` output tiles depend on, as columns:
/// `[64, N * down * across * C]`.
fn tiles(x: &Tensor, padding: i64, [down, across]: [i64; 2]) -> Result<Tensor, TchError> {
    let (pictures, channels, height, width) = x.size4()?;
    // Each input tile is two by two blocks of 4×4, which it shares with its neighbours.
    const { assert!(REACH == 2 * TILE) };
    let (bottom, right) =
        ((down + 1) * TILE - height - padding, (across + 1) * TILE - width - padding);
    let rows = x.f_permute([0, 2, 3, 1])?;
    let padded = rows.f_constant_pad_nd([0, 0, padding, right, padding, bottom])?;
    let blocks = padded.f_reshape([pictures, down + 1, TILE, across + 1, TILE, channels])?;
    let blocks = blocks.f_permute([2, 4, 0, 1, 3, 5])?;
    let neighbours = |x: &Tensor, axis: i64, count: i64, into: i64| {
        Tensor::f_cat(&[x.f_narrow(axis, 0, count)?, x.f_narrow(axis, 1, count)?], into)
    };
    let tall = neighbours(&blocks, 3, down, 0)?;
    neighbours(&tall, 4, across, 1)?.f_reshape([REACH * REACH, -1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn it_convolves_like_the_definition_whatever_the_size() {
        let winograd = Winograd::new().expect("transforms");
        tch::manual_seed(1);
        for (side, padding) in [(16, 2), (13, 2), (12, 0), (5, 0), (3, 2), (9, 4)] {
            let (x, weight) = (random(&[12, 6, side, side + 1]), random(&[7, 6, 5, 5]));
            let expected = x.conv2d(&weight, None::<&Tensor>, [1; 2], [padding; 2], [1; 2], 1);
            let filters = winograd.transform(&weight).expect("filters");
            let found = winograd.convolve(&x, &filters, padding).expect("output");
            assert_eq!(found.size(), expected.size(), "side {side}, padding {padding}");
            let difference = (&found - &expected).abs().max().double_value(&[]);
            let largest = expected.abs().max().double_value(&[]);
            assert!(difference < 1e-4 * largest, "side {side}: {difference} of {largest}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_definition() {
        let winograd = Winograd::new().expect("transforms");
        tch::manual_seed(2);
        let leaf = |shape: &[i64]| random(shape).set_requires_grad(true);
        let (x, weight) = (leaf(&[20, 6, 10, 10]), leaf(&[7, 6, 5, 5]));
        let toward = random(&[20, 7, 10, 10]);
        let gradients = |y: Tensor| {
            let loss = (y * &toward).sum(Kind::Float);
            Tensor::run_backward(&[loss], &[&x, &weight], false, false)
        };
        let filters = winograd.transform(&weight).expect("filters");
        let found = gradients(winograd.convolve(&x, &filters, 2).expect("output"));
        let plain = x.conv2d(&weight, None::<&Tensor>, [1; 2], [2; 2], [1; 2], 1);
        for (found, expected) in found.iter().zip(gradients(plain)) {
            let difference = (found - &expected).abs().max().double_value(&[]);
            assert!(difference < 1e-4 * expected.abs().max().double_value(&[]), "{difference}");
        }
    }

    #[test]
    fn it_is_left_where_transforms_cost_more_than_they_save() {
        assert!(pays(&[192, 96, 5, 5], 1));
        assert!(!pays(&[192, 3, 5, 5], 1));
        assert!(!pays(&[192, 96, 5, 5], 2));
        assert!(!pays(&[192, 96, 3, 3], 1));
    }
}
