//! Winograd's algorithm, some tiles at a time.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use super::product::{multiply, panels};
use super::transform::{Filtering, OfFive, TILE, Vector};
use super::{Epilogue, LANES, PANEL, values, values_mut};
use crate::model::fused::Activation;

/// Tiles that go through all steps together. Between the steps they take 0.9 MB for 96 channels and 192
/// filters, and the filters, 4.7 MB, are read for each dozen.
const TILES_AT_ONCE: usize = 12;
/// A thread is begun for so many tiles, or more: it takes as long as a few.
const TILES_FOR_A_THREAD: usize = 32;
/// Inputs along each side of a tile.
const REACH: usize = TILE + 5 - 1;
const POINTS: usize = REACH * REACH;

/// A convolution of 5×5 and stride 1.
#[derive(Debug)]
pub(in crate::model) struct WinogradConv {
    /// Transformed, `[POINTS, filters / PANEL, channels, PANEL]`.
    weights: Vec<f32>,
    epilogue: Epilogue,
    channels: usize,
    filters: usize,
    padding: usize,
    /// What was needed between the steps, to be used again.
    spare: Mutex<Vec<Scratch>>,
}

/// `[POINTS, tiles, channels]` and `[POINTS, tiles, filters]`.
#[derive(Debug)]
struct Scratch {
    tiles: Vec<f32>,
    products: Vec<f32>,
}

/// `[N, H, W, C]`, and how many tiles its outputs have.
#[derive(Clone, Copy)]
struct Pictures<'a> {
    values: &'a [f32],
    size: Size,
}

/// Of a picture and of what is made of it.
#[derive(Clone, Copy)]
struct Size {
    height: usize,
    width: usize,
    out_height: usize,
    out_width: usize,
}

/// Tiles from left to right, then from top to bottom, then from picture to picture.
#[derive(Clone, Copy)]
struct Place {
    picture: usize,
    top: usize,
    left: usize,
}

impl Size {
    fn down(self) -> usize {
        self.out_height.div_ceil(TILE)
    }

    fn across(self) -> usize {
        self.out_width.div_ceil(TILE)
    }

    /// Of the output of a tile.
    fn place(self, tile: usize) -> Place {
        let (band, column) = (tile / self.across(), tile % self.across());
        let (picture, row) = (band / self.down(), band % self.down());
        Place { picture, top: row * TILE, left: column * TILE }
    }

    /// The output's row, of all pictures one below the other, in which a band of tiles begins.
    fn first_row(self, band: usize) -> usize {
        let (picture, row) = (band / self.down(), band % self.down());
        picture * self.out_height + row * TILE
    }
}

impl WinogradConv {
    /// Of filters as [`crate::model::winograd::Winograd::transform`] makes them, `[POINTS, channels,
    /// filters]`, and a bias, `[filters]`. None if there are not as many as fill up registers.
    pub(in crate::model) fn new(
        weights: &Tensor,
        bias: &Tensor,
        padding: i64,
        activation: Activation,
    ) -> Result<Option<Self>, TchError> {
        let (_, channels, filters) = weights.size3()?;
        let [channels, filters, padding] = [channels, filters, padding].map(|n| n as usize);
        if !super::is_supported() || channels % LANES != 0 || filters % PANEL != 0 {
            return Ok(None);
        }
        let weights = weights.f_contiguous()?;
        let points = values(&weights)?.chunks_exact(channels * filters);
        let weights = points.flat_map(|point| panels(point, filters)).collect();
        let epilogue = Epilogue::new(bias, activation)?;
        let spare = Mutex::default();
        Ok(Some(Self { weights, epilogue, channels, filters, padding, spare }))
    }

    /// The output, `[N, filters, h, w]`, for `x`, `[N, C, H, W]`. Both are channels-last.
    pub(in crate::model) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (pictures, channels, height, width) = x.size4()?;
        if channels != self.channels as i64 {
            return Err(TchError::Shape(format!("{channels} channels, not {}", self.channels)));
        }
        let side = |side: i64| (side + 2 * self.padding as i64 - 4).max(0);
        let (out_height, out_width) = (side(height), side(width));
        let shape = [pictures, out_height, out_width, self.filters as i64];
        let mut y = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        if y.numel() > 0 {
            let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
            let [height, width, out_height, out_width] =
                [height, width, out_height, out_width].map(|n| n as usize);
            let size = Size { height, width, out_height, out_width };
            let x = Pictures { values: values(&x)?, size };
            self.fill(x, values_mut(&mut y)?, pictures as usize * size.down());
        }
        y.f_permute([0, 3, 1, 2])
    }

    /// Writes all `bands` of tiles to `y`, by as many threads as libtorch may use.
    fn fill(&self, x: Pictures<'_>, y: &mut [f32], bands: usize) {
        let most = bands * x.size.across() / TILES_FOR_A_THREAD;
        let threads = (tch::get_num_threads().max(1) as usize).min(most).max(1);
        let row = x.size.out_width * self.filters;
        std::thread::scope(|scope| {
            let mut rest = y;
            for thread in 0..threads {
                let [first, end] = [thread, thread + 1].map(|part| part * bands / threads);
                let rows = x.size.first_row(end) - x.size.first_row(first);
                let part;
                (part, rest) = rest.split_at_mut(rows * row);
                let mut work = move || self.fill_bands(x, part, [first, end]);
                if thread + 1 == threads {
                    work();
                } else {
                    scope.spawn(work);
                }
            }
        });
    }

    /// Writes the bands from `first` to before `end`, whose first value is the first of `y`.
    fn fill_bands(&self, x: Pictures<'_>, y: &mut [f32], [first, end]: [usize; 2]) {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = spare().pop();
        let mut scratch = scratch.unwrap_or_else(|| {
            let of = |depth| vec![0.0; POINTS * TILES_AT_ONCE * depth];
            Scratch { tiles: of(self.channels), products: of(self.filters) }
        });
        let (across, top) = (x.size.across(), x.size.first_row(first));
        let (mut tile, end) = (first * across, end * across);
        while tile < end {
            let count = TILES_AT_ONCE.min(end - tile);
            // SAFETY: nobody has one of these unless the processor is known to have AVX2 and FMA.
            #[expect(unsafe_code, reason = "compiled for AVX2 and FMA")]
            unsafe {
                self.gather(x, [tile, count], &mut scratch.tiles);
                self.multiply(count, &mut scratch);
                self.scatter(x.size, [tile, count], &scratch.products, (top, &mut *y));
            }
            tile += count;
        }
        spare().push(scratch);
    }

    /// Transforms `count` input tiles to `[POINTS, count, channels]`.
    #[target_feature(enable = "avx2,fma")]
    fn gather(&self, x: Pictures<'_>, [first, count]: [usize; 2], tiles: &mut [f32]) {
        let channels = self.channels;
        let Size { height, width, .. } = x.size;
        for tile in 0..count {
            let Place { picture, top, left } = x.size.place(first + tile);
            for channel in (0..channels).step_by(LANES) {
                let value = |row: usize, column: usize| {
                    // Above and left of the picture they wrap around to large numbers.
                    let [row, column] =
                        [top + row, left + column].map(|n| n.wrapping_sub(self.padding));
                    if row >= height || column >= width {
                        return [0.0; LANES];
                    }
                    load(
                        &x.values
                            [((picture * height + row) * width + column) * channels + channel..],
                    )
                };
                let columns: [[Vector; REACH]; REACH] = std::array::from_fn(|column| {
                    OfFive::input(std::array::from_fn(|row| value(row, column)))
                });
                for row in 0..REACH {
                    let points = OfFive::input(std::array::from_fn(|column| columns[column][row]));
                    for (column, point) in points.iter().enumerate() {
                        let place = ((row * REACH + column) * count + tile) * channels + channel;
                        tiles[place..][..LANES].copy_from_slice(point);
                    }
                }
            }
        }
    }

    /// Multiplies tiles by filters, point by point.
    #[target_feature(enable = "avx2,fma")]
    fn multiply(&self, count: usize, scratch: &mut Scratch) {
        let [tiles, products] = [self.channels, self.filters].map(|depth| count * depth);
        let tiles = scratch.tiles.chunks_exact(tiles);
        let products = scratch.products.chunks_exact_mut(products);
        let weights = self.weights.chunks_exact(self.channels * self.filters);
        for ((tiles, weights), products) in tiles.zip(weights).zip(products) {
            multiply((tiles, self.channels), weights, products, |_, _| ());
        }
    }

    /// Transforms `[POINTS, count, filters]` to outputs. `y` begins with row `top`.
    #[target_feature(enable = "avx2,fma")]
    fn scatter(
        &self,
        size: Size,
        [first, count]: [usize; 2],
        products: &[f32],
        (top_row, y): (usize, &mut [f32]),
    ) {
        let filters = self.filters;
        for tile in 0..count {
            let Place { picture, top, left } = size.place(first + tile);
            let rows = TILE.min(size.out_height - top);
            let columns = TILE.min(size.out_width - left);
            let corner = picture * size.out_height + top - top_row;
            for filter in (0..filters).step_by(LANES) {
                let bias = load(&self.epilogue.bias[filter..]);
                let half: [[Vector; TILE]; REACH] = std::array::from_fn(|column| {
                    OfFive::output(std::array::from_fn(|row| {
                        load(
                            &products[((row * REACH + column) * count + tile) * filters + filter..],
                        )
                    }))
                });
                for row in 0..rows {
                    let outputs = OfFive::output(std::array::from_fn(|column| half[column][row]));
                    for (column, output) in outputs.iter().take(columns).enumerate() {
                        let place =
                            ((corner + row) * size.out_width + left + column) * filters + filter;
                        let output: Vector = std::array::from_fn(|lane| {
                            self.epilogue.apply(output[lane], bias[lane])
                        });
                        y[place..][..LANES].copy_from_slice(&output);
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
    use crate::model::winograd::Winograd;

    #[test]
    fn it_convolves_like_the_definition_whatever_the_size() {
        let transforms = Winograd::new().expect("transforms");
        tch::manual_seed(1);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        for (pictures, side, padding) in
            [(1, 16, 2), (40, 7, 2), (9, 13, 2), (3, 12, 0), (2, 5, 0), (1, 3, 2), (2, 9, 4)]
        {
            let x = random(&[pictures, 16, side, side + 1]);
            let (weight, bias) = (random(&[32, 16, 5, 5]), random(&[32]));
            let expected = x.conv2d(&weight, Some(&bias), [1; 2], [padding; 2], [1; 2], 1);
            let filters = transforms.transform(&weight).expect("filters");
            for (activation, expected) in
                [(Activation::None, expected.copy()), (Activation::Relu, expected.relu())]
            {
                let convolution = WinogradConv::new(&filters, &bias, padding, activation);
                let Some(convolution) = convolution.expect("a convolution") else { return };
                let found = convolution.run(&x).expect("output");
                assert_eq!(found.size(), expected.size(), "side {side}, padding {padding}");
                let difference = (&found - &expected).abs().max().double_value(&[]);
                let largest = expected.abs().max().double_value(&[]);
                assert!(difference < 1e-4 * largest, "side {side}: {difference} of {largest}");
            }
        }
    }
}
