//! The steps of Winograd's algorithm, some tiles at a time.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use super::Epilogue;
use super::aligned::Aligned;
use super::elements::{Bf16, Element, MOST_CHANNELS, values, values_mut};
use super::fixed::Scaling;
use super::multiplier::Multiplier;
use super::output::Output;
use super::product::{NEAR, panels};
use super::registers::{Registers, panel_of};
use super::share::WORTH_IT;
use super::tiles::Grid;
use super::transform::{Filtering, transformed};
use crate::model::team::run_by_all;

/// Tiles that go through all steps together. What is between the steps takes 0.4 MB for them, if there
/// are 96 channels, and the filters are read once for so many. More were no faster.
const TILES_AT_ONCE: usize = 12;
/// The same where threads divide the filters among them, so that each transforms all tiles.
const DIVIDED_AT_ONCE: usize = 24;
/// With fewer channels or filters the transforms outweigh what they save.
const FEW: usize = 48;
const FEW_FILTERS: usize = 8;
/// Bytes of transformed filters that stay in the last cache.
const LARGE: usize = 8 << 20;
/// Bytes of more than that which are worth reading for each tile of a picture.
const LARGE_FOR_A_TILE: usize = 1 << 20;

/// A convolution by `F`, multiplied by `M`.
#[derive(Debug)]
pub(super) struct Tiled<M: Multiplier, F, const REACH: usize, const KERNEL: usize> {
    pub(super) multiplier: M,
    pub(super) weights: Weights<M::Element>,
    pub(super) epilogue: Epilogue,
    pub(super) channels: usize,
    /// Whole registers, of which the last ones may have nothing in them.
    pub(super) filters: usize,
    wanted: usize,
    pub(super) padding: usize,
    /// What was needed between the steps, to be used again.
    spare: Mutex<Vec<Scratch<M::Element>>>,
    filtering: PhantomData<F>,
}

/// Transformed filters.
#[derive(Debug)]
pub(super) struct Weights<E> {
    /// `[panels, REACH * REACH, channels, filters of a panel]`.
    pub(super) panels: Aligned<E>,
    /// `[REACH * REACH, filters]`.
    pub(super) scales: Vec<f32>,
}

/// What is between the steps.
#[derive(Debug)]
pub(super) struct Scratch<E> {
    /// Of one tile, `[REACH * REACH, channels]`.
    pub(super) tile: Aligned<f32>,
    /// For each point `[tiles, channels]`.
    pub(super) tiles: Aligned<E>,
    /// `[tiles, REACH * REACH]`.
    pub(super) scales: Vec<f32>,
    /// For each point `[tiles, filters of a panel]`.
    pub(super) products: Aligned<f32>,
}

impl<M, F, const REACH: usize, const KERNEL: usize> Tiled<M, F, REACH, KERNEL>
where
    M: Scaling,
    F: Filtering<REACH, KERNEL>,
{
    pub(super) const POINTS: usize = REACH * REACH;

    /// For pictures of `size`, width and height.
    pub(super) fn new(
        multiplier: M,
        (weight, epilogue): (&Tensor, Epilogue),
        (size, padding): ((u32, u32), i64),
    ) -> Result<Option<Self>, TchError> {
        let (wanted, channels, ..) = weight.size4()?;
        let [channels, wanted, padding] = [channels, wanted, padding].map(|n| n as usize);
        let filters = wanted.next_multiple_of(M::Registers::LANES);
        let [width, height] = [size.0, size.1].map(|side| side as usize);
        let Some(grid) = Self::grid([height, width], padding) else { return Ok(None) };
        let worth_it = LARGE.max(LARGE_FOR_A_TILE * grid.tiles());
        let is_large = size_of::<M::Element>() * Self::POINTS * channels * filters > worth_it;
        let fits = channels % M::Registers::LANES == 0 && channels <= MOST_CHANNELS;
        if channels < FEW || wanted < FEW_FILTERS || is_large || !fits {
            return Ok(None);
        }
        // `[kernel, kernel, channels, filters]`.
        let weight = weight.f_to_kind(Kind::Float)?.f_permute([2, 3, 1, 0])?;
        let weight = weight.f_constant_pad_nd([0, (filters - wanted) as i64])?.f_contiguous()?;
        let points = transformed::<F, REACH, KERNEL>(values(&weight)?);
        let weights = Weights::new(multiplier, &points, [channels, filters]);
        let (spare, filtering) = (Mutex::default(), PhantomData);
        Ok(Some(Self {
            multiplier,
            weights,
            epilogue,
            channels,
            filters,
            wanted,
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
        let grid = Self::grid([height, width], self.padding);
        let Some(grid) = grid.filter(|_| channels == self.channels) else {
            let shape = x.size();
            return Err(TchError::Shape(format!("no {} channels in {shape:?}", self.channels)));
        };
        let Grid { out_height, out_width, .. } = grid;
        let shape = [pictures, out_height, out_width, self.filters].map(|n| n as i64);
        let mut y = Tensor::f_empty(shape, (E::KIND, Device::Cpu))?;
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let tiles = pictures * grid.tiles();
        let (x, output) = ((values::<E>(&x)?, grid), Output::new(values_mut(&mut y)?));
        self.share((x, tiles), output);
        y.f_narrow(3, 0, self.wanted as i64)?.f_permute([0, 3, 1, 2])
    }

    /// None if there is no room for an output.
    fn grid([height, width]: [usize; 2], padding: usize) -> Option<Grid> {
        let outputs = |side: usize| (side + 2 * padding).checked_sub(KERNEL - 1).filter(|&n| n > 0);
        let (out_height, out_width) = (outputs(height)?, outputs(width)?);
        Some(Grid { height, width, out_height, out_width })
    }

    /// Writes all outputs, by the threads that libtorch may use. Who is done takes the next group of tiles
    /// or, of large layers, the next panel of filters.
    fn share<E: Element>(&self, (x, tiles): ((&[E], Grid), usize), y: Output<'_, E>) {
        let threads = match tch::get_num_threads().max(1) as usize {
            threads if tiles * self.weights.panels.len() >= WORTH_IT => threads,
            _ => 1,
        };
        // Where they are few, each thread reads the filters once in any case.
        let divided = threads > 1 && self.is_large() && tiles > threads * most(TILES_AT_ONCE);
        let groups = if divided {
            groups(tiles, 1, DIVIDED_AT_ONCE)
        } else {
            groups(tiles, threads, TILES_AT_ONCE)
        };
        let panels: Vec<_> = (0..self.filters).step_by(panel_of::<M::Registers>()).collect();
        let together = if divided { 1 } else { panels.len() };
        let next = AtomicUsize::new(0);
        let work = || {
            let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let found = spare().pop();
            let mut scratch = found.unwrap_or_else(|| self.scratch());
            let mut gathered = None;
            loop {
                let share = next.fetch_add(1, Ordering::Relaxed);
                let place = share * together;
                let Some(&group) = groups.get(place / panels.len()) else { break };
                let first = place % panels.len();
                self.multiplier.call(
                    #[inline(always)]
                    || {
                        if gathered != Some(group) {
                            self.gather(x, group, &mut scratch);
                        }
                        for &filter in &panels[first..first + together] {
                            self.multiply([filter, group[1]], &mut scratch);
                            self.scatter((filter, x.1), (group, &scratch), y);
                        }
                    },
                );
                gathered = Some(group);
            }
            spare().push(scratch);
        };
        if threads == 1 { work() } else { run_by_all(&work) }
    }

    fn is_large(&self) -> bool {
        size_of_val(&*self.weights.panels) > NEAR
    }

    fn scratch(&self) -> Scratch<M::Element> {
        let most = most(if self.is_large() { DIVIDED_AT_ONCE } else { TILES_AT_ONCE });
        Scratch {
            tile: Aligned::filled(0.0, Self::POINTS * self.channels),
            tiles: Aligned::filled(M::Element::default(), Self::POINTS * most * self.channels),
            scales: vec![1.0; Self::POINTS * most],
            products: Aligned::filled(0.0, Self::POINTS * most * panel_of::<M::Registers>()),
        }
    }
}

impl<E: Copy + Default> Weights<E> {
    /// Of `points`, `[REACH * REACH, channels, filters]`.
    fn new<M: Scaling<Element = E>>(
        multiplier: M,
        points: &[f32],
        [channels, filters]: [usize; 2],
    ) -> Self {
        let (size, mut scales) = (channels * filters, vec![1.0; points.len() / channels]);
        let (mut columns, mut narrowed) = (vec![0.0; size], vec![E::default(); size]);
        let mut elements = Vec::with_capacity(points.len());
        for (points, scales) in points.chunks_exact(size).zip(scales.chunks_exact_mut(filters)) {
            for (filter, column) in columns.chunks_exact_mut(channels).enumerate() {
                let values = points[filter..].iter().step_by(filters);
                column.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            }
            let columns = (&*columns, channels);
            multiplier.call(|| multiplier.narrow(columns, (&mut narrowed, channels), scales));
            for channel in 0..channels {
                elements.extend(narrowed[channel..].iter().step_by(channels));
            }
        }
        // All that is left of the axis of filters is one matrix.
        let panels = Aligned::from(&*panels::<M>(&elements, filters));
        Self { panels, scales }
    }
}

/// Groups of tiles that go through all steps together: the first one, and how many. About `at_once`, and as
/// many groups for each of `threads`.
fn groups(tiles: usize, threads: usize, at_once: usize) -> Vec<[usize; 2]> {
    let at_once = match threads {
        1 => at_once,
        _ => tiles.div_ceil(threads * tiles.div_ceil(threads * most(at_once))),
    };
    let (mut groups, mut first) = (Vec::new(), 0);
    while first < tiles {
        let left = tiles - first;
        let count = if left > most(at_once) { at_once } else { left };
        groups.push([first, count]);
        first += count;
    }
    groups
}

/// What is left at the end goes with the last group: filters cost as much to read for one tile as for 12.
fn most(at_once: usize) -> usize {
    at_once + at_once / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_get_as_many_groups() {
        let sizes = |tiles, threads, at_once| -> Vec<_> {
            groups(tiles, threads, at_once).into_iter().map(|[_, count]| count).collect()
        };
        assert_eq!(sizes(16, 1, 12), [16]);
        assert_eq!(sizes(49, 1, 12), [12, 12, 12, 13]);
        assert_eq!(sizes(16, 2, 12), [8, 8]);
        assert_eq!(sizes(36, 2, 12), [9, 9, 9, 9]);
        assert_eq!(sizes(49, 1, 24), [24, 25]);
        assert_eq!(sizes(1, 8, 12), [1]);
        assert_eq!(groups(40, 1, 12), [[0, 12], [12, 12], [24, 16]]);
    }
}
