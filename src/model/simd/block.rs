//! The layers of an mlpconv block, some pixels at a time.

use tch::{Device, TchError, Tensor};

use super::Epilogue;
use super::elements::{Element, values, values_mut};
use super::fetch::Fetch;
use super::multiplier::Multiplier;
use super::product::{Panels, Rows, multiply, panels};
use super::registers::Registers;
use super::share::Work;
use super::tiles::Grid;
use super::window::{CHUNK, Window};
use crate::model::fused::Activation;

/// Output pixels that go through all layers together.
const PIXELS_AT_ONCE: usize = 48;

/// Convolutions of which all but the first are 1×1, multiplied by `M`.
#[derive(Debug)]
pub(super) struct Block<M: Multiplier> {
    multiplier: M,
    window: Window,
    layers: Vec<Layer<M>>,
}

/// `filters` of `depth` weights each.
#[derive(Debug)]
struct Layer<M: Multiplier> {
    /// In panels.
    weights: Vec<M::Element>,
    epilogue: Epilogue,
    depth: usize,
    filters: usize,
    /// Values from one pixel's outputs to the next one's: whole registers.
    width: usize,
}

/// What is between the layers, `[PIXELS_AT_ONCE, …]`, of one thread.
struct Buffers<E> {
    /// Rows of `depth` values.
    window: Vec<E>,
    depth: usize,
    /// Of each layer.
    outputs: Vec<Vec<E>>,
}

impl<M: Multiplier<Element = E, Product = E>, E: Element> Block<M> {
    /// Of a `weight`, `[filters, channels, kernel, kernel]`, and a `bias`, `[filters]`.
    pub(super) fn new(
        multiplier: M,
        (weight, bias): (&Tensor, &Tensor),
        window: Window,
        activation: Activation,
    ) -> Result<Self, TchError> {
        let filters = weight.size4()?.0 as usize;
        // `[kernel, kernel, channels, filters]`, the order in which rows are gathered.
        let weight = weight.f_permute([2, 3, 1, 0])?.f_contiguous()?;
        let layer = Layer {
            weights: panels::<M>(values(&weight)?, filters),
            epilogue: Epilogue::new(bias, activation)?,
            depth: window.depth(),
            filters,
            width: filters.next_multiple_of(M::Registers::LANES),
        };
        Ok(Self { multiplier, window, layers: vec![layer] })
    }

    /// Appends `next`, which sees what this puts out, or gives it back if it sees more than a pixel at
    /// a time.
    pub(super) fn append(&mut self, next: Self) -> Option<Self> {
        if !next.window.is_pixel() {
            return Some(next);
        }
        self.layers.extend(next.layers);
        None
    }

    /// As [`super::MlpConv::run`].
    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (pictures, channels, height, width) = x.size4()?;
        let [pictures, channels, height, width] =
            [pictures, channels, height, width].map(|n| n as usize);
        let sides = [height, width].map(|side| self.window.outputs(side));
        let (true, [Some(out_height), Some(out_width)]) = (channels == self.window.channels, sides)
        else {
            return Err(TchError::Shape(format!("{:?} of {:?}", self.window, x.size())));
        };
        let filters = self.layers.last().map_or(channels, |last| last.filters);
        let shape = [pictures, out_height, out_width, filters].map(|n| n as i64);
        let mut y = Tensor::f_empty(shape, (E::KIND, Device::Cpu))?;
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let size = Grid { height, width, out_height, out_width };
        let padded;
        let x = match values(&x)? {
            x if self.window.is_row(self.stride()) => x,
            x => {
                padded = self.window.padded((x, size), pictures, CHUNK);
                &*padded
            }
        };
        let multiplications = self.layers.iter().map(|layer| layer.depth * layer.filters).sum();
        let items = pictures * out_height * out_width;
        let work = Work { items, together: PIXELS_AT_ONCE, multiplications };
        let offset = |pixel| pixel * filters;
        let worker = || {
            let mut buffers = self.buffers();
            move |pixels, y: &mut [E]| self.fill(&mut buffers, (x, size), (pixels, y))
        };
        work.share(values_mut(&mut y)?, offset, worker);
        y.f_permute([0, 3, 1, 2])
    }

    pub(super) fn weights(&self) -> Vec<&dyn Fetch> {
        self.layers.iter().map(|layer| &layer.weights as _).collect()
    }

    /// Values from one window to the next one.
    fn stride(&self) -> usize {
        self.window.depth().next_multiple_of(M::STEP)
    }

    fn buffers(&self) -> Buffers<E> {
        let buffer = |width: usize| vec![E::default(); PIXELS_AT_ONCE * width];
        let depth = self.stride();
        let outputs = self.layers.iter().map(|layer| buffer(layer.width)).collect();
        let window = vec![E::default(); PIXELS_AT_ONCE * depth + CHUNK];
        Buffers { window, depth, outputs }
    }

    /// Writes the pixels from `first` to before `end` to `y`.
    fn fill(
        &self,
        Buffers { window, depth, outputs }: &mut Buffers<E>,
        x: (&[E], Grid),
        ([first, end], y): ([usize; 2], &mut [E]),
    ) {
        let layers = (self.layers.split_last(), outputs.split_last_mut());
        let (Some((last, before)), Some((outputs, between))) = layers else { return };
        let depth = *depth;
        let parts = (first..end).step_by(PIXELS_AT_ONCE);
        for (first, y) in parts.zip(y.chunks_mut(PIXELS_AT_ONCE * last.filters)) {
            let count = y.len() / last.filters;
            let values = self.window.rows(x, [first, count], (window, depth));
            let mut input = Rows { values, count, depth, stride: depth };
            for (layer, outputs) in before.iter().zip(&mut *between) {
                layer.run(self.multiplier, input, outputs);
                let depth = layer.filters.next_multiple_of(M::STEP);
                input = Rows { values: outputs, count, depth, stride: layer.width };
            }
            if last.width == last.filters {
                last.run(self.multiplier, input, y);
                continue;
            }
            last.run(self.multiplier, input, outputs);
            let pixels = y.chunks_exact_mut(last.filters);
            for (pixel, outputs) in pixels.zip(outputs.chunks_exact(last.width)) {
                pixel.copy_from_slice(&outputs[..last.filters]);
            }
        }
    }
}

impl<M: Multiplier<Element = E, Product = E>, E: Element> Layer<M> {
    fn run(&self, multiplier: M, input: Rows<'_, E>, outputs: &mut [E]) {
        multiplier.call(
            #[inline(always)]
            || {
                let factors = (input, Panels::of(&self.weights, &self.weights));
                multiply(multiplier, factors, outputs, Some(&self.epilogue));
            },
        );
    }
}
