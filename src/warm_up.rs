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
//!
//! Small batches are run by one thread, if that is clearly faster than all together: others have to be
//! woken for them.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::model::Team;

/// Longest that one batch may take.
const LONGEST_RUN: Duration = Duration::from_millis(250);

/// How often a batch is timed. The least time counts: whatever else the machine does only adds to it.
const TRIALS: usize = 4;

/// Times that one thread has to be faster. What else happens while models are loaded delays many threads
/// more than one.
const CLEARLY: f64 = 1.1;

/// A batch that will take longer is left to all threads untried.
const SMALL: Duration = Duration::from_millis(20);

/// The sizes that are warm, ascending, and who runs them; the first is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSizes(Vec<(NonZeroUsize, Team)>);

impl BatchSizes {
    /// Runs ever larger batches, up to `max`. `run` runs one of a size as often as it is told, by whom it
    /// is told, and says how long it took at least.
    pub fn warm_up<E>(
        max: NonZeroUsize,
        mut run: impl FnMut(usize, Team, usize) -> Result<Duration, E>,
    ) -> Result<Self, E> {
        // The very first run sets libtorch up; its time says nothing.
        run(1, Team::All, 1)?;
        let mut sizes = Vec::new();
        let (mut next, mut smaller) = (Some(NonZeroUsize::MIN), (Team::One, Duration::ZERO));
        while let Some(size) = next {
            let (team, took) = warm(size, smaller, &mut run)?;
            sizes.push((size, team));
            smaller = (team, took);
            next = larger(size, took, max);
        }
        Ok(Self(sizes))
    }

    pub fn largest(&self) -> NonZeroUsize {
        self.0.last().map_or(NonZeroUsize::MIN, |(size, _)| *size)
    }

    /// The parts, the largest first, in which `batch` is run, and by whom.
    pub fn split<'a, T>(&'a self, mut batch: &'a [T]) -> impl Iterator<Item = (&'a [T], Team)> {
        std::iter::from_fn(move || {
            let fits = |(size, _): &&(NonZeroUsize, Team)| size.get() <= batch.len();
            let (size, team) = self.0.iter().rev().find(fits)?;
            let (part, rest) = batch.split_at(size.get());
            batch = rest;
            Some((part, *team))
        })
    }
}

/// Who runs batches of `size`, and how long that takes; `smaller` is the same of those before. What is
/// too much for one thread stays so.
fn warm<E>(
    size: NonZeroUsize,
    smaller: (Team, Duration),
    run: &mut impl FnMut(usize, Team, usize) -> Result<Duration, E>,
) -> Result<(Team, Duration), E> {
    let mut run = |team, times| run(size.get(), team, times);
    // The first run makes the kernels, which depend on the number of threads, too.
    let first = run(Team::All, 1)?;
    if smaller.0 == Team::All || 2 * smaller.1 > SMALL {
        return Ok((Team::All, first));
    }
    run(Team::One, 1)?;
    let (all, one) = (run(Team::All, TRIALS)?, run(Team::One, TRIALS)?);
    Ok(if one.mul_f64(CLEARLY) < all { (Team::One, one) } else { (Team::All, all) })
}

/// The size after `size`, whose run took `took`.
fn larger(size: NonZeroUsize, took: Duration, max: NonZeroUsize) -> Option<NonZeroUsize> {
    let twice = size.saturating_mul(NonZeroUsize::MIN.saturating_add(1));
    let next = twice.min(max);
    (next > size && 2 * took <= LONGEST_RUN).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn sizes(max: usize) -> BatchSizes {
        let max = NonZeroUsize::new(max).expect("not zero");
        let Ok(sizes) = BatchSizes::warm_up(max, |_, _, _| Ok::<_, Infallible>(Duration::ZERO));
        sizes
    }

    fn parts(sizes: &BatchSizes, batch: usize) -> Vec<usize> {
        sizes.split(&vec![(); batch]).map(|(part, _)| part.len()).collect()
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
    fn small_batches_are_left_to_one_thread() {
        // Together they take 100 µs longer to begin.
        let run = |size: usize, team, _| {
            let (begin, threads) = if team == Team::One { (0, 1) } else { (100, 2) };
            Ok::<_, Infallible>(Duration::from_micros(begin + 70 * size as u64 / threads))
        };
        let Ok(sizes) = BatchSizes::warm_up(NonZeroUsize::new(8).expect("not zero"), run);
        let teams: Vec<_> = sizes.split(&[(); 15]).map(|(part, team)| (part.len(), team)).collect();
        assert_eq!(teams, [(8, Team::All), (4, Team::All), (2, Team::One), (1, Team::One)]);
    }

    #[test]
    fn a_failure_ends_the_warm_up() {
        let fails = |size, _, _| if size == 4 { Err(size) } else { Ok(Duration::ZERO) };
        assert_eq!(BatchSizes::warm_up(NonZeroUsize::MAX, fails), Err(4));
    }
}
