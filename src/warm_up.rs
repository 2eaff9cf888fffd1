//! Which batch sizes a network runs, found out while it warms up.
//!
//! The first batch of a size is slow: libtorch's kernels are made for a shape, and kept in a
//! cache of 1024. Measured on two cores, a first batch cost 2 to 50 ms more than the next of its
//! size. Warming up all of 32 sizes takes seconds for each network, and four networks with 32
//! sizes outgrow the cache, so that it would all be for nothing.
//!
//! So a network runs batches of 1, 2, 4, … only, each warmed up before it is ready; what comes
//! in between is run in parts (13 as 8 + 4 + 1), which costs next to nothing: a picture in a
//! batch of 4 takes hardly longer than one in a batch of 32. For the same reason the sizes stop
//! where one run would take longer than [`LONGEST_RUN`]: larger batches would make everybody wait
//! and nothing faster. It bounds the warm-up, too, to twice that for each network.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Longest that one batch may take.
const LONGEST_RUN: Duration = Duration::from_millis(250);

/// The sizes that are warm, ascending; the first is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSizes(Vec<NonZeroUsize>);

impl BatchSizes {
    /// Runs ever larger batches, up to `max`; `run` says how long it took.
    pub fn warm_up<E>(
        max: NonZeroUsize,
        mut run: impl FnMut(usize) -> Result<Duration, E>,
    ) -> Result<Self, E> {
        // The very first run sets libtorch up; its time says nothing.
        run(1)?;
        let mut sizes = Vec::new();
        let mut next = Some(NonZeroUsize::MIN);
        while let Some(size) = next {
            let took = run(size.get())?;
            sizes.push(size);
            next = larger(size, took, max);
        }
        Ok(Self(sizes))
    }

    pub fn largest(&self) -> NonZeroUsize {
        self.0.last().copied().unwrap_or(NonZeroUsize::MIN)
    }

    /// The parts, the largest first, in which `batch` is run.
    pub fn split<'a, T>(&'a self, mut batch: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        std::iter::from_fn(move || {
            let fits = |size: &&NonZeroUsize| size.get() <= batch.len();
            let size = self.0.iter().rev().find(fits)?;
            let (part, rest) = batch.split_at(size.get());
            batch = rest;
            Some(part)
        })
    }
}

/// The size after `size`, whose run took `took`.
fn larger(size: NonZeroUsize, took: Duration, max: NonZeroUsize) -> Option<NonZeroUsize> {
    let twice = size.saturating_mul(const { NonZeroUsize::new(2).unwrap() });
    let next = twice.min(max);
    (next > size && 2 * took <= LONGEST_RUN).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn sizes(max: usize) -> BatchSizes {
        let max = NonZeroUsize::new(max).expect("not zero");
        let Ok(sizes) = BatchSizes::warm_up(max, |_| Ok::<_, Infallible>(Duration::ZERO));
        sizes
    }

    fn parts(sizes: &BatchSizes, batch: usize) -> Vec<usize> {
        sizes.split(&vec![(); batch]).map(<[()]>::len).collect()
    }

    #[test]
    fn sizes_double_up_to_the_largest() {
        assert_eq!(parts(&sizes(1), 3), [1, 1, 1]);
        assert_eq!(sizes(24).largest().get(), 24);
        assert_eq!(parts(&sizes(24), 47), [24, 16, 4, 2, 1]);
        assert_eq!(parts(&sizes(32), 32), [32]);
        assert!(parts(&sizes(32), 0).is_empty());
    }

    #[test]
    fn slow_networks_run_small_batches() {
        let (size, max) = (NonZeroUsize::MIN, NonZeroUsize::MAX);
        assert_eq!(larger(size, LONGEST_RUN / 2, max).map(NonZeroUsize::get), Some(2));
        assert_eq!(larger(size, LONGEST_RUN, max), None);
    }

    #[test]
    fn a_failure_ends_the_warm_up() {
        let fails = |size| if size == 4 { Err(size) } else { Ok(Duration::ZERO) };
        assert_eq!(BatchSizes::warm_up(NonZeroUsize::MAX, fails), Err(4));
    }
}
