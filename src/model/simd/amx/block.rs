//! The layers of an mlpconv block, some tiles of pixels at a time.

use std::array::from_fn;

use tch::{Device, TchError, Tensor};

use super::product::{Left, Right, Target, product};
use super::tiling::{Seen, Tiling};
use super::{Amx, DEEP, PANEL, TOGETHER};
use crate::model::fused::Activation;
use crate::model::simd::Epilogue;
use crate::model::simd::aligned::Aligned;
use crate::model::simd::elements::{Bf16, Element, values, values_mut};
use crate::model::simd::fetch::Fetch;
use crate::model::simd::share::{SHARE, Work};
use crate::model::simd::tiles::Grid;
use crate::model::simd::window::Window;

/// How many times as fast it multiplies as what shares are measured by, about, with all that is around the
/// products.
const SPEED: usize = 8;
/// Tiles that are multiplied at once.
const PAIR: usize = 2;
/// Tiles of a share.
const SHARED: usize = 16;
/// Bytes of weights that each thread may read for itself.
const SMALL: usize = 256 << 10;
/// Tiles of which threads divide the filters, at most: of more, what is between the layers would leave the
/// caches.
const FEW: usize = 128;

/// Convolutions of which all but the first are 1×1.
#[derive(Debug)]
pub(in crate::model::simd) struct Block {
    amx: Amx,
    window: Window,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// `[filters / PANEL, lines * depth / 2, PANEL, 2]`, filled up with zeros.
    weights: Aligned<Bf16>,
    epilogue: Epilogue,
    filters: usize,
}

impl Block {
    /// Of a `weight`, `[filters, channels, kernel, kernel]`, and a `bias`, `[filters]`, both of bf16.
    pub(in crate::model::simd) fn new(
        amx: Amx,
        (weight, bias): (&Tensor, &Tensor),
        window: Window,
        activation: Activation,
    ) -> Result<Self, TchError> {
        let filters = weight.size4()?.0 as usize;
        // `[filters, kernel, kernel * channels]`, the order in which a window's values lie.
        let weight = weight.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let wide = window.kernel * window.channels;
        let layer = Layer {
            weights: panels(values(&weight)?, filters, [window.kernel, wide]),
            epilogue: Epilogue::new(bias, activation)?,
            filters,
        };
        Ok(Self { amx, window, layers: vec![layer] })
    }

    /// Appends `next`, which sees what this puts out, or gives it back if it sees more than a pixel at
    /// a time.
    pub(in crate::model::simd) fn append(&mut self, next: Self) -> Option<Self> {
        if !next.window.is_pixel() {
            return Some(next);
        }
        self.layers.extend(next.layers);
        None
    }

    /// As [`crate::model::simd::MlpConv::run`].
    pub(in crate::model::simd) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let tiling = self.tiling(x)?;
        let (pictures, ..) = x.size4()?;
        let [height, width] = [tiling.grid.out_height, tiling.grid.out_width].map(|n| n as i64);
        let filters = self.layers.last().map_or(0, |last| last.filters);
        let shape = [pictures, height, width, filters as i64];
        let mut y = Tensor::f_empty(shape, (Bf16::KIND, Device::Cpu))?;
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let x = values(&x)?;
        let padded;
        let x = if tiling.reads_beyond() {
            padded = tiling.padded(x);
            &*padded
        } else {
            x
        };
        let (divided, layers) = self.layers.split_at(self.divided(tiling.count()));
        let mut between = None;
        for layer in divided {
            between = Some(layer.divide(self.amx, Seen::of(x, between.as_deref()), tiling));
        }
        let seen = Seen::of(x, between.as_deref());
        Passage { amx: self.amx, layers, tiling, seen }.run(values_mut(&mut y)?);
        y.f_permute([0, 3, 1, 2])
    }

    pub(in crate::model::simd) fn weights(&self) -> Vec<&dyn Fetch> {
        self.layers.iter().map(|layer| &layer.weights as _).collect()
    }

    /// How many layers have their filters divided among threads.
    fn divided(&self, tiles: usize) -> usize {
        let threads = tch::get_num_threads().max(1) as usize;
        let is_divided = |layer: &&Layer| {
            layer.weights.len() * size_of::<Bf16>() > SMALL && layer.width() / PANEL >= threads
        };
        let before = &self.layers[..self.layers.len() - 1];
        if threads == 1 || tiles > FEW { 0 } else { before.iter().take_while(is_divided).count() }
    }

    fn tiling(&self, x: &Tensor) -> Result<Tiling, TchError> {
        let (pictures, channels, height, width) = x.size4()?;
        let [pictures, channels, height, width] =
            [pictures, channels, height, width].map(|n| n as usize);
        let sides = [height, width].map(|side| self.window.outputs(side));
        match sides {
            [Some(out_height), Some(out_width)]
                if channels == self.window.channels && pictures > 0 =>
            {
                let grid = Grid { height, width, out_height, out_width };
                Ok(Tiling::new(self.window, grid, pictures))
            }
            _ => Err(TchError::Shape(format!("{:?} of {:?}", self.window, x.size()))),
        }
    }
}

/// Layers that some tiles at a time go through.
#[derive(Debug, Clone, Copy)]
struct Passage<'a> {
    amx: Amx,
    layers: &'a [Layer],
    tiling: Tiling,
    seen: Seen<'a>,
}

impl Passage<'_> {
    /// Writes `y`, `[N, H, W, C]`, by the threads that libtorch may use.
    fn run(self, y: &mut [Bf16]) {
        let filters = self.layers.last().map_or(0, |last| last.filters);
        let weights = self.layers.iter().map(|layer| layer.weights.len()).sum::<usize>();
        let work = Work {
            items: self.tiling.count().div_ceil(PAIR),
            together: SHARED / PAIR,
            multiplications: PAIR * self.tiling.rows * weights / SPEED,
        };
        let first = |pair: usize| (pair * PAIR).min(self.tiling.count());
        let offset = |pair| self.tiling.first_pixel(first(pair)) * filters;
        let worker = || {
            let mut buffers = self.buffers();
            move |pairs: [usize; 2], y: &mut [Bf16]| self.fill(&mut buffers, pairs.map(first), y)
        };
        work.share(y, offset, worker);
    }

    /// What is between the layers and after them, `[tiles, rows, width]`, of one thread.
    fn buffers(&self) -> Vec<Aligned<Bf16>> {
        let pixels = TOGETHER.min(self.tiling.count()) * self.tiling.rows;
        let buffer = |layer: &Layer| Aligned::filled(Bf16::default(), pixels * layer.width());
        self.layers.iter().map(buffer).collect()
    }

    /// Writes the tiles from `first` to before `end` to `y`.
    fn fill(self, buffers: &mut [Aligned<Bf16>], [first, end]: [usize; 2], y: &mut [Bf16]) {
        let Self { amx, tiling, .. } = self;
        let layers = (self.layers.split_last(), buffers.split_last_mut());
        let (Some((last, before)), Some((outputs, between))) = layers else { return };
        let origin = tiling.first_pixel(first);
        for first in (first..end).step_by(TOGETHER) {
            let count = (end - first).min(TOGETHER);
            let mut left = self.seen.left(tiling, first, count);
            for (layer, outputs) in before.iter().zip(&mut *between) {
                let (tiles, stride) = (layer.tiles(tiling.rows), layer.width());
                let wanted = [tiling.rows; TOGETHER];
                let target = Target { values: outputs, tiles, wanted, stride };
                product(amx, left, layer.right(), target);
                let values = outputs;
                left = Left { values, tiles, stride, lines: 1, pitch: 0, depth: stride, ..left };
            }
            let place = |tile: usize| {
                let pixel = tiling.first_pixel((first + tile).min(end));
                [pixel - origin, tiling.first_pixel((first + tile + 1).min(end)) - pixel]
            };
            last.write(amx, left, outputs, (from_fn(place), y));
        }
    }
}

impl Layer {
    /// Values from one pixel's outputs to the next one's.
    fn width(&self) -> usize {
        self.filters.next_multiple_of(PANEL)
    }

    /// All of it.
    fn right(&self) -> Right<'_> {
        Right { panels: &self.weights, bias: &self.epilogue.bias, floor: self.epilogue.floor }
    }

    /// What it puts out of all tiles, `[panels, pixels of all tiles, PANEL]`. Each thread reads the weights of
    /// some filters, and all tiles.
    fn divide(&self, amx: Amx, seen: Seen<'_>, tiling: Tiling) -> Aligned<Bf16> {
        let (panels, pixels) = (self.width() / PANEL, tiling.count() * tiling.rows);
        let mut outputs = Aligned::filled(Bf16::default(), panels * pixels * PANEL);
        let run = |[first, end]: [usize; 2], y: &mut [Bf16]| {
            let outputs = y.chunks_exact_mut(pixels * PANEL);
            for (panel, values) in (first..end).zip(outputs) {
                let tiles = values.chunks_mut(TOGETHER * tiling.rows * PANEL);
                for (first, values) in (0..tiling.count()).step_by(TOGETHER).zip(tiles) {
                    let count = (tiling.count() - first).min(TOGETHER);
                    let left = seen.left(tiling, first, count);
                    let tiles = from_fn(|tile| tile * tiling.rows * PANEL);
                    let wanted = [tiling.rows; TOGETHER];
                    let target = Target { values, tiles, wanted, stride: PANEL };
                    product(amx, left, self.right().panel(panel, panels), target);
                }
            }
        };
        let work = Work { items: panels, together: 1, multiplications: SHARE };
        work.share(&mut outputs, |panel| panel * pixels * PANEL, || run);
        outputs
    }

    /// Where each tile of `rows` pixels begins between the layers.
    fn tiles(&self, rows: usize) -> [usize; TOGETHER] {
        from_fn(|tile| tile * rows * self.width())
    }

    /// Writes the block's outputs to `y`. Of each tile there is the first pixel, and how many are wanted.
    /// They go by way of `outputs` if there are more of them in whole panels.
    fn write(
        &self,
        amx: Amx,
        left: Left<'_>,
        outputs: &mut [Bf16],
        (pixels, y): ([[usize; 2]; TOGETHER], &mut [Bf16]),
    ) {
        let (width, filters) = (self.width(), self.filters);
        let (first, wanted) = (pixels.map(|[first, _]| first * filters), pixels.map(|[_, n]| n));
        if width == filters {
            let target = Target { values: y, tiles: first, wanted, stride: filters };
            return product(amx, left, self.right(), target);
        }
        let tiles = self.tiles(left.rows);
        let target = Target { values: outputs, tiles, wanted, stride: width };
        product(amx, left, self.right(), target);
        for ((tile, first), wanted) in tiles.into_iter().zip(first).zip(wanted).take(left.count) {
            let rows = y[first..].chunks_exact_mut(filters).take(wanted);
            for (row, outputs) in rows.zip(outputs[tile..].chunks_exact(width)) {
                row.copy_from_slice(&outputs[..filters]);
            }
        }
    }
}

/// Of `[filters, lines, wide]`, filled up with zeros.
fn panels(weight: &[Bf16], filters: usize, [lines, wide]: [usize; 2]) -> Aligned<Bf16> {
    let depth = wide.next_multiple_of(DEEP);
    let mut panels =
        Aligned::filled(Bf16::default(), filters.next_multiple_of(PANEL) * lines * depth);
    for (row, weights) in weight.chunks_exact(wide).enumerate() {
        let (filter, line) = (row / lines, row % lines);
        let first = (filter / PANEL * lines + line) * depth * PANEL + filter % PANEL * 2;
        for (place, weight) in weights.iter().enumerate() {
            panels[first + place / 2 * 2 * PANEL + place % 2] = *weight;
        }
    }
    panels
}
