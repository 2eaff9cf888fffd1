//! The steps of Winograd's algorithm, some tiles at a time.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use super::Epilogue;
use super::elements::{Bf16, Element, MOST_CHANNELS, values, values_mut};
use super::product::{Rows, multiply, panels};
use super::registers::{Available, Avx2, Avx512, Registers, panel_of};
use super::share::Work;
use super::tiles::{Grid, Place};
use super::transform::{Filtering, TILE, transformed};

/// Tiles that go through all steps together. What is between the steps takes 0.4 MB for them, if there
/// are 96 channels, and the filters are read once for so many. More were no faster.
const TILES_AT_ONCE: usize = 12;
/// What is left at the end goes with the last ones: filters cost as much to read for one tile as for 12.
const MOST_AT_ONCE: usize = 16;
/// With fewer channels or filters the transforms outweigh what they save.
const FEW: usize = 48;
/// Bytes of transformed filters that stay in the last cache.
const LARGE: usize = 8 << 20;

/// A convolution by `F`.
#[derive(Debug)]
pub(super) struct Tiled<F, const REACH: usize, const KERNEL: usize> {
    registers: Available,
    /// Transformed, `[panels, REACH * REACH, channels, filters of a panel]`.
    weights: Vec<f32>,
    epilogue: Epilogue,
    channels: usize,
    filters: usize,
    padding: usize,
    /// What was needed between the steps, to be used again.
    spare: Mutex<Vec<Scratch>>,
    filtering: PhantomData<F>,
}

/// For each point `[tiles, channels]`, and `[tiles, filters of a panel]`.
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

    pub(super) fn new(
        weight: &Tensor,
        epilogue: Epilogue,
        padding: i64,
    ) -> Result<Option<Self>, TchError> {
        let Some(registers) = Available::detect() else { return Ok(None) };
        let (filters, channels, ..) = weight.size4()?;
        let [channels, filters, padding] = [channels, filters, padding].map(|n| n as usize);
        let is_large = size_of::<f32>() * Self::POINTS * channels * filters > LARGE;
        let fits = channels % registers.lanes() == 0 && filters % registers.lanes() == 0;
        if channels.min(filters) < FEW || channels > MOST_CHANNELS || is_large || !fits {
            return Ok(None);
        }
        // `[kernel, kernel, channels, filters]`.
        let weight = weight.f_to_kind(Kind::Float)?.f_permute([2, 3, 1, 0])?.f_contiguous()?;
        let weights = transformed::<F, REACH, KERNEL>(values(&weight)?);
        // `[panels, REACH * REACH * channels, panel]`, since all that is left of the axis of filters
        // is one matrix.
        let weights = match registers {
            Available::Avx2(_) => panels::<Avx2>(&weights, filters),
            Available::Avx512(_) => panels::<Avx512>(&weights, filters),
        };
        let spare = Mutex::default();
        let filtering = PhantomData;
        Ok(Some(Self {
            registers,
            weights,
            epilogue,
            channels,
            filters,
            padding,
            spare,
            filtering,
        }))
    }

    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match x.kind() {
            Kind::BFloat16 => self.run_of::<Bf16>(x),
            _ => self.run_of::<f32>(x),
        }
    }

    fn run_of<E: Element>(&self, x: &Tensor) -> Result<Tensor, TchError> {
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
        let mut y = Tensor::f_empty(shape, (E::KIND, Device::Cpu))?;
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let grid = Grid { height, width, out_height, out_width };
        let x = (values::<E>(&x)?, grid);
        let multiplications = grid.across() * self.weights.len();
        let together = TILES_AT_ONCE / grid.across().min(TILES_AT_ONCE);
        let work = Work { items: pictures * grid.down(), together, multiplications };
        let offset = |band| grid.first_row(band) * out_width * self.filters;
        let fill = |bands, y: &mut [E]| match self.registers {
            Available::Avx2(registers) => self.fill(registers, x, y, bands),
            Available::Avx512(registers) => self.fill(registers, x, y, bands),
        };
        work.share(values_mut(&mut y)?, offset, || fill);
        y.f_permute([0, 3, 1, 2])
    }

    /// Writes the bands from `first` to before `end`, with whose outputs `y` begins.
    fn fill<R: Registers, E: Element>(
        &self,
        registers: R,
        x: (&[E], Grid),
        y: &mut [E],
        [first, end]: [usize; 2],
    ) {
        let grid = x.1;
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let found = spare().pop();
        let mut scratch = found.unwrap_or_else(|| {
            let of = |depth| vec![0.0; Self::POINTS * MOST_AT_ONCE * depth];
            Scratch { tiles: of(self.channels), products: of(panel_of::<R>()) }
        });
        let [mut tile, end] = [first, end].map(|band| band * grid.across());
        let top_row = grid.first_row(first);
        while tile < end {
            let left = end - tile;
            let count = if left > MOST_AT_ONCE { TILES_AT_ONCE } else { left };
            registers.call(
                #[inline(always)]
                || {
                    self.gather(registers, x, [tile, count], &mut scratch.tiles);
                    for first in (0..self.filters).step_by(panel_of::<R>()) {
                        self.multiply(registers, [first, count], &mut scratch);
                        let products = ([tile, count], &*scratch.products);
                        self.scatter(registers, (first, grid), products, (top_row, &mut *y));
                    }
                },
            );
            tile += count;
        }
        spare().push(scratch);
    }

    /// Transforms `count` input tiles to `[count, channels]` for each point.
    #[inline(always)]
    fn gather<R: Registers, E: Element>(
        &self,
        registers: R,
        (x, grid): (&[E], Grid),
        [first, count]: [usize; 2],
        tiles: &mut [f32],
    ) {
        let channels = self.channels;
        // Overwritten for each tile: zeros take longer than a part of the transform.
        let mut columns = [[registers.splat(0.0); REACH]; REACH];
        for tile in 0..count {
            let Place { picture, top, left } = grid.place(first + tile);
            let mut pixels = [[&E::ZEROS[..channels]; REACH]; REACH];
            for (row, pixels) in pixels.iter_mut().enumerate() {
                for (column, pixel) in pixels.iter_mut().enumerate() {
                    // Above and left of the picture they wrap around to large numbers.
                    let row = (top + row).wrapping_sub(self.padding);
                    let column = (left + column).wrapping_sub(self.padding);
                    if row < grid.height && column < grid.width {
                        let place = (picture * grid.height + row) * grid.width + column;
                        *pixel = &x[place * channels..][..channels];
                    }
                }
            }
            for channel in (0..channels).step_by(R::LANES) {
                for (column, points) in columns.iter_mut().enumerate() {
                    let mut values = [registers.splat(0.0); REACH];
                    for (value, pixels) in values.iter_mut().zip(&pixels) {
                        *value = E::load(registers, &pixels[column][channel..]);
                    }
                    *points = F::input(registers, values);
                }
                for row in 0..REACH {
                    let mut values = [registers.splat(0.0); REACH];
                    for (value, points) in values.iter_mut().zip(&columns) {
                        *value = points[row];
                    }
                    for (column, point) in F::input(registers, values).iter().enumerate() {
                        let place = (row * REACH + column) * count + tile;
                        registers.store(*point, &mut tiles[place * channels + channel..]);
                    }
                }
            }
        }
    }

    /// Multiplies `count` tiles by the panel of filters from `first` on, point by point.
    #[inline(always)]
    fn multiply<R: Registers>(
        &self,
        registers: R,
        [first, count]: [usize; 2],
        Scratch { tiles, products }: &mut Scratch,
    ) {
        let (depth, panel) = (self.channels, panel_of::<R>().min(self.filters - first));
        let weights = &self.weights[first * Self::POINTS * depth..];
        let points = tiles.chunks_exact(count * depth).zip(weights.chunks_exact(depth * panel));
        for ((values, weights), products) in
            points.zip(products.chunks_exact_mut(count * panel)).take(Self::POINTS)
        {
            let tiles = Rows { values, count, depth, stride: depth };
            multiply(
                registers,
                (tiles, weights),
                products,
                #[inline(always)]
                |sums, _| sums,
            );
        }
    }

    /// Transforms `[count, filters of a panel]` for each point to outputs, of the filters from
    /// `first_filter` on. `y` begins with row `top_row`.
    #[inline(always)]
    fn scatter<R: Registers, E: Element>(
        &self,
        registers: R,
        (first_filter, grid): (usize, Grid),
        ([first, count], products): ([usize; 2], &[f32]),
        (top_row, y): (usize, &mut [E]),
    ) {
        let filters = self.filters;
        let panel = panel_of::<R>().min(filters - first_filter);
        let mut columns = [[registers.splat(0.0); TILE]; REACH];
        for tile in 0..count {
            let Place { picture, top, left } = grid.place(first + tile);
            let [rows, width] = [grid.out_height - top, grid.out_width - left];
            let corner = (picture * grid.out_height + top - top_row) * grid.out_width + left;
            for filter in (first_filter..first_filter + panel).step_by(R::LANES) {
                for (column, outputs) in columns.iter_mut().enumerate() {
                    let mut values = [registers.splat(0.0); REACH];
                    for (row, value) in values.iter_mut().enumerate() {
                        let place = (row * REACH + column) * count + tile;
                        *value = registers.load(&products[place * panel + filter - first_filter..]);
                    }
                    *outputs = F::output(registers, values);
                }
                for row in 0..rows.min(TILE) {
                    let mut values = [registers.splat(0.0); REACH];
                    for (value, outputs) in values.iter_mut().zip(&columns) {
                        *value = outputs[row];
                    }
                    let outputs = F::output(registers, values);
                    for (column, output) in outputs.iter().enumerate().take(width) {
                        let output = self.epilogue.apply(registers, *output, filter);
                        let pixel = corner + row * grid.out_width + column;
                        E::store(registers, output, &mut y[pixel * filters + filter..]);
                    }
                }
            }
        }
    }
}
