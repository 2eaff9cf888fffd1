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
//! Small batches are run by one thread, if it is not slower by more than [`WAKING`] than all together:
//! others have to be woken first, for each layer again where libgomp lets them sleep in between, and
//! are taken from decoding.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::model::Team;

/// Longest that one batch may take.
const LONGEST_RUN: Duration = Duration::from_millis(250);

/// What it may cost to wake a thread and to wait for it through the layers of a network. While networks
/// warm up threads are awake, so that it is not in what is measured then.
const WAKING: Duration = Duration::from_millis(1);

/// The sizes that are warm, ascending, and who runs them; the first is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSizes(Vec<(NonZeroUsize, Team)>);

impl BatchSizes {
    /// Runs ever larger batches, up to `max`; `run` says how long it took.
    pub fn warm_up<E>(
        max: NonZeroUsize,
        mut run: impl FnMut(usize, Team) -> Result<Duration, E>,
    ) -> Result<Self, E> {
        // The very first run sets libtorch up; its time says nothing.
        run(1, Team::All)?;
        let mut sizes = Vec::new();
        let (mut next, mut team) = (Some(NonZeroUsize::MIN), Team::One);
        while let Some(size) = next {
            let took;
            (team, took) = warm(size, team, &mut run)?;
            sizes.push((size, team));
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

/// Who runs batches of `size` and how long that takes. `smaller` is who runs those before: what is
/// too much for one thread stays so.
fn warm<E>(
    size: NonZeroUsize,
    smaller: Team,
    run: &mut impl FnMut(usize, Team) -> Result<Duration, E>,
) -> Result<(Team, Duration), E> {
    if smaller == Team::All {
        return Ok((Team::All, run(size.get(), Team::All)?));
    }
    // The first run makes the kernels, which depend on the number of threads, too.
    let mut second = |team| run(size.get(), team).and_then(|_| run(size.get(), team));
    let (all, one) = (second(Team::All)?, second(Team::One)?);
    Ok(if one <= all + WAKING { (Team::One, one) } else { (Team::All, all) })
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
        let Ok(sizes) = BatchSizes::warm_up(max, |_, _| Ok::<_, Infallible>(Duration::ZERO));
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
        // 0.7 ms a picture for one thread; two share what takes time, once they are awake.
        let run = |size: usize, team| {
            let threads = if team == Team::One { 1 } else { 2 };
            Ok::<_, Infallible>(Duration::from_micros(700) * size as u32 / threads)
        };
        let Ok(sizes) = BatchSizes::warm_up(NonZeroUsize::new(8).expect("not zero"), run);
        let teams: Vec<_> = sizes.split(&[(); 15]).map(|(part, team)| (part.len(), team)).collect();
        assert_eq!(teams, [(8, Team::All), (4, Team::All), (2, Team::One), (1, Team::One)]);
    }

    #[test]
    fn a_failure_ends_the_warm_up() {
        let fails = |size, _| if size == 4 { Err(size) } else { Ok(Duration::ZERO) };
        assert_eq!(BatchSizes::warm_up(NonZeroUsize::MAX, fails), Err(4));
    }
}
