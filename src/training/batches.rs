//! Shuffled, augmented batches, made ahead of the network by a thread of their own.
//!
//! Every random choice follows from the seed, the epoch and the place in it, never from what ran
//! before: so a run that is resumed in the middle of an epoch sees the same batches.

use super::augment::{Augment, Size};
use super::pictures::Pictures;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::mpsc;

/// Pictures for one step.
#[derive(Debug)]
pub struct Batch {
    /// `[N, H, W, C]` u8.
    pub pixels: Vec<u8>,
    pub classes: Vec<i64>,
}

/// Where batches come from, and how.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub pictures: &'a Pictures,
    pub augment: Augment,
    pub batch_size: usize,
    pub seed: u64,
}

/// How many batches are made ahead.
const AHEAD: usize = 3;

impl Source<'_> {
    /// Steps in an epoch; the last batch may be smaller than the others.
    pub fn steps(&self) -> usize {
        self.pictures.len().div_ceil(self.batch_size)
    }

    /// Gives the batches of `steps` in `epoch`, pictures of size `to`, to `consume`, in order.
    /// Stops early when `consume` gives an error, and returns it.
    pub fn for_each<E>(
        &self,
        epoch: usize,
        steps: Range<usize>,
        to: Size,
        mut consume: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let order = self.order(epoch);
        let (send, receive) = mpsc::sync_channel(AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for step in steps {
                    let chosen = order.chunks(self.batch_size).nth(step).unwrap_or_default();
                    // The other side hangs up when it has stopped early.
                    if send.send(self.batch(epoch, chosen, to)).is_err() {
                        return;
                    }
                }
            });
            // Dropping the receiver on an error lets the thread end.
            receive.into_iter().try_for_each(&mut consume)
        })
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.pictures.len()).collect();
        order.shuffle(&mut self.rng(epoch, usize::MAX));
        order
    }

    fn batch(&self, epoch: usize, chosen: &[usize], to: Size) -> Batch {
        let augmented = chosen.par_iter().flat_map_iter(|&index| {
            let source = (self.pictures.get(index), size_of(self.pictures));
            self.augment.apply(source, to, &mut self.rng(epoch, index))
        });
        let classes = chosen.iter().map(|&index| self.pictures.classes[index] as i64).collect();
        Batch { pixels: augmented.collect(), classes }
    }

    /// Epochs and indices stay below 2²⁴ and 2⁴⁰; the generator mixes neighbouring seeds apart.
    fn rng(&self, epoch: usize, index: usize) -> Pcg64Mcg {
        let place = (epoch as u64) << 40 | index as u64 & ((1 << 40) - 1);
        Pcg64Mcg::seed_from_u64(self.seed.rotate_left(32) ^ place)
    }
}

/// The size of the stored pictures.
pub fn size_of(pictures: &Pictures) -> Size {
    let spec = &pictures.spec;
    let (width, height) = (spec.width as usize, spec.height as usize);
    Size { width, height, channels: spec.channels.count() }
}
