//! Convolution with a quarter of the multiplications, or fewer.
//!
//! Winograd's minimal filtering, F(4×4, 5×5) and F(4×4, 3×3) (Lavin & Gray 2015, arXiv:1509.09308): the
//! output is cut into tiles of 4×4, each of which depends on 8×8 (6×6) of the input. Transformed tiles
//! are multiplied by transformed filters at 64 (36) points, and transformed back: so many
//! multiplications for each pair of channels instead of 16 · 25 = 400 (16 · 9 = 144). What rounding adds
//! is of the order of 1e-5 of the largest output.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use super::product::{Rows, multiply, panels};
use super::share::Work;
use super::tiles::{Grid, Place};
use super::transform::{Filtering, OfFive, OfThree, TILE, Vector, transformed, transposed};
use super::{Epilogue, LANES, PANEL, values, values_mut};
use crate::model::fused::Activation;

/// Tiles that go through all steps together. What is between the steps takes 0.9 MB for them, if there
/// are 96 channels and 192 filters. More do not fit the caches; the filters are read once for so many.
const TILES_AT_ONCE: usize = 12;
/// With fewer channels or filters the transforms outweigh what they save.
const FEW: usize = 64;
/// Bytes of transformed filters that stay in the last cache.
const LARGE: usize = 8 << 20;

/// A convolution of 5×5 or 3×3 and stride 1.
#[derive(Debug)]
pub(in crate::model) enum WinogradConv {
    OfFive(Tiled<OfFive, 8, 5>),
    OfThree(Tiled<OfThree, 6, 3>),
}

impl WinogradConv {
    /// Of a `weight`, `[filters, channels, kernel, kernel]`, and a `bias`, `[filters]`. None where there
    /// is no such algorithm here, or nothing to be gained.
    pub(in crate::model) fn new(
        weight: &Tensor,
        bias: &Tensor,
        padding: i64,
        activation: Activation,
    ) -> Result<Option<Self>, TchError> {
        let epilogue = Epilogue::new(bias, activation)?;
        Ok(match weight.size()[2..] {
            [5, 5] => Tiled::new(weight, epilogue, padding)?.map(Self::OfFive),
            [3, 3] => Tiled::new(weight, epilogue, padding)?.map(Self::OfThree),
            _ => None,
        })
    }

    /// The output, `[N, filters, h, w]`, for `x`, `[N, channels, H, W]`; channels-last, as `x` should be.
    pub(in crate::model) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::OfFive(convolution) => convolution.run(x),
            Self::OfThree(convolution) => convolution.run(x),
        }
    }
}

/// A convolution by `F`.
#[derive(Debug)]
pub(in crate::model) struct Tiled<F, const REACH: usize, const KERNEL: usize> {
    /// Transformed, for each of `REACH * REACH` points `[filters / PANEL, channels, PANEL]`.
    weights: Vec<f32>,
    epilogue: Epilogue,
    channels: usize,
    filters: usize,
    padding: usize,
    /// What was needed between the steps, to be used again.
    spare: Mutex<Vec<Scratch>>,
    filtering: PhantomData<F>,
}

/// For each point `[tiles, channels]`, and `[tiles, filters]`.
#[derive(Debug)]
struct Scratch {
    tiles: Vec<f32>,
    products: Vec<f32>,
}

impl<F, const REACH: usize, const KERNEL: usize> Tiled<F, REACH, KERNEL>
where
    F: Filtering<REACH, KERNEL> + Send + Sync,
{
    const POINTS: usize = REACH * REACH;

    fn new(weight: &Tensor, epilogue: Epilogue, padding: i64) -> Result<Option<Self>, TchError> {
        let (filters, channels, ..) = weight.size4()?;
        let [channels, filters, padding] = [channels, filters, padding].map(|n| n as usize);
        let is_large = size_of::<f32>() * Self::POINTS * channels * filters > LARGE;
        let fits = channels % LANES == 0 && filters % PANEL == 0;
        if !super::is_supported() || channels.min(filters) < FEW || is_large || !fits {
            return Ok(None);
        }
        // `[kernel, kernel, channels, filters]`.
        let weight = weight.f_permute([2, 3, 1, 0])?.f_contiguous()?;
        let weights = transformed::<F, REACH, KERNEL>(values(&weight)?);
        let points = weights.chunks_exact(channels * filters);
        let weights = points.flat_map(|point| panels(point, filters)).collect();
        let spare = Mutex::default();
        let filtering = PhantomData;
        Ok(Some(Self { weights, epilogue, channels, filters, padding, spare, filtering }))
    }

    fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (pictures, channels, height, width) = x.size4()?;
        let [pictures, channels, height, width] =
            [pictures, channels, height, width].map(|n| n as usize);
        let sides = [height, width].map(|side| (side + 2 * self.padding).checked_sub(KERNEL - 1));
        let (true, [Some(out_height @ 1..), Some(out_width @ 1..)]) =
            (channels == self.channels, sides)
        else {
            let shape = x.size();
            return Err(TchError::Shape(format!("no {} channels in {shape:?}", self.channels)));
        };
        let shape = [pictures, out_height, out_width, self.filters].map(|n| n as i64);
        let mut y = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let grid = Grid { height, width, out_height, out_width };
        let x = (values(&x)?, grid);
        let multiplications = grid.across() * self.weights.len();
        let work = Work { items: pictures * grid.down(), multiplications };
        let offset = |band| grid.first_row(band) * out_width * self.filters;
        work.share(values_mut(&mut y)?, offset, |bands, y| self.fill(x, y, bands));
        y.f_permute([0, 3, 1, 2])
    }

    /// Writes the bands from `first` to before `end`, with whose outputs `y` begins.
    fn fill(&self, x: (&[f32], Grid), y: &mut [f32], [first, end]: [usize; 2]) {
        let grid = x.1;
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let found = spare().pop();
        let mut scratch = found.unwrap_or_else(|| {
            let of = |depth| vec![0.0; Self::POINTS * TILES_AT_ONCE * depth];
            Scratch { tiles: of(self.channels), products: of(self.filters) }
        });
        let [mut tile, end] = [first, end].map(|band| band * grid.across());
        while tile < end {
            let count = TILES_AT_ONCE.min(end - tile);
            // SAFETY: `new` makes none of these unless the processor has AVX2 and FMA.
            #[expect(unsafe_code, reason = "they are compiled for AVX2 and FMA")]
            unsafe {
                self.gather(x, [tile, count], &mut scratch.tiles);
                self.multiply(count, &mut scratch);
                self.scatter(
                    grid,
                    [tile, count],
                    &scratch.products,
                    (grid.first_row(first), &mut *y),
                );
            }
            tile += count;
        }
        spare().push(scratch);
    }

    /// Transforms `count` input tiles to `[count, channels]` for each point.
    #[target_feature(enable = "avx2,fma")]
    fn gather(&self, (x, grid): (&[f32], Grid), [first, count]: [usize; 2], tiles: &mut [f32]) {
        let channels = self.channels;
        for tile in 0..count {
            let Place { picture, top, left } = grid.place(first + tile);
            for channel in (0..channels).step_by(LANES) {
                let value = |row: usize, column: usize| {
                    // Above and left of the picture they wrap around to large numbers.
                    let row = (top + row).wrapping_sub(self.padding);
                    let column = (left + column).wrapping_sub(self.padding);
                    if row >= grid.height || column >= grid.width {
                        return [0.0; LANES];
                    }
                    let pixel = (picture * grid.height + row) * grid.width + column;
                    load(&x[pixel * channels + channel..])
                };
                let columns: [[Vector; REACH]; REACH] = std::array::from_fn(|column| {
                    F::input(std::array::from_fn(|row| value(row, column)))
                });
                for (row, values) in transposed(columns).into_iter().enumerate() {
                    let points = F::input(values);
                    for (column, point) in points.iter().enumerate() {
                        let place = (row * REACH + column) * count + tile;
                        tiles[place * channels + channel..][..LANES].copy_from_slice(point);
                    }
                }
            }
        }
    }

    /// Multiplies tiles by filters, point by point.
    #[target_feature(enable = "avx2,fma")]
    fn multiply(&self, count: usize, scratch: &mut Scratch) {
        let tiles = scratch.tiles.chunks_exact(count * self.channels);
        let products = scratch.products.chunks_exact_mut(count * self.filters);
        let weights = self.weights.chunks_exact(self.channels * self.filters);
        let depth = self.channels;
        for ((values, weights), products) in tiles.zip(weights).zip(products) {
            let tiles = Rows { values, count, depth, stride: depth };
            multiply(tiles, weights, products, |sums, _| sums);
        }
    }

    /// Transforms `[count, filters]` for each point to outputs. `y` begins with row `top_row`.
    #[target_feature(enable = "avx2,fma")]
    fn scatter(
        &self,
        grid: Grid,
        [first, count]: [usize; 2],
        products: &[f32],
        (top_row, y): (usize, &mut [f32]),
    ) {
        let filters = self.filters;
        for tile in 0..count {
            let Place { picture, top, left } = grid.place(first + tile);
            let [rows, columns] =
                [grid.out_height - top, grid.out_width - left].map(|left| TILE.min(left));
            let corner = (picture * grid.out_height + top - top_row) * grid.out_width + left;
            for filter in (0..filters).step_by(LANES) {
                let half: [[Vector; TILE]; REACH] = std::array::from_fn(|column| {
                    F::output(std::array::from_fn(|row| {
                        let place = (row * REACH + column) * count + tile;
                        load(&products[place * filters + filter..])
                    }))
                });
                for (row, values) in transposed(half).into_iter().take(rows).enumerate() {
                    let outputs = F::output(values);
                    for (column, output) in outputs.iter().take(columns).enumerate() {
                        let output = self.epilogue.apply(*output, filter);
                        let pixel = corner + row * grid.out_width + column;
                        y[pixel * filters + filter..][..LANES].copy_from_slice(&output);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn load(values: &[f32]) -> Vector {
    std::array::from_fn(|lane| values[..LANES][lane])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn it_convolves_like_the_definition_whatever_the_size() {
        tch::manual_seed(1);
        for (kernel, pictures, side, padding) in [
            (5, 1, 16, 2),
            (5, 40, 7, 2),
            (5, 3, 12, 0),
            (5, 2, 5, 0),
            (5, 2, 3, 2),
            (3, 40, 8, 1),
            (3, 9, 13, 1),
            (3, 2, 9, 4),
            (3, 1, 3, 0),
        ] {
            let x = random(&[pictures, 64, side, side + 1]);
            let (weight, bias) = (random(&[80, 64, kernel, kernel]), random(&[80]));
            let expected = x.conv2d(&weight, Some(&bias), [1; 2], [padding; 2], [1; 2], 1);
            for (activation, expected) in
                [(Activation::None, expected.copy()), (Activation::Relu, expected.relu())]
            {
                let convolution = WinogradConv::new(&weight, &bias, padding, activation);
                let Some(convolution) = convolution.expect("weights") else {
                    assert!(!super::super::is_supported());
                    return;
                };
                let found = convolution.run(&x).expect("output");
                assert_eq!(found.size(), expected.size(), "{kernel}, side {side}");
                let difference = (&found - &expected).abs().max().double_value(&[]);
                let largest = expected.abs().max().double_value(&[]);
                assert!(difference < 1e-4 * largest, "{kernel}, side {side}: {difference}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let (weight, bias) = (random(&[64, 64, 3, 3]), random(&[64]));
        let convolution = WinogradConv::new(&weight, &bias, 1, Activation::Relu).expect("weights");
        let Some(convolution) = convolution else { return };
        let x = random(&[1, 64, 4, 4]) * f64::NAN;
        let y = convolution.run(&x).expect("output");
        assert!(y.isnan().all().int64_value(&[]) == 1);
        assert!(convolution.run(&random(&[1, 65, 4, 4])).is_err());
    }

    #[test]
    fn it_is_left_where_there_is_nothing_to_gain() {
        for shape in
            [[192, 3, 5, 5], [48, 64, 3, 3], [192, 96, 7, 7], [192, 96, 1, 1], [1024, 384, 3, 3]]
        {
            let convolution =
                WinogradConv::new(&random(&shape), &random(&shape[..1]), 1, Activation::None);
            assert!(convolution.expect("weights").is_none(), "{shape:?}");
        }
    }
}
