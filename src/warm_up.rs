//! Which batch sizes a network runs, found out while it warms up.
//!
//! The first batch of a size is slow: libtorch's kernels are made for a shape, and kept in a
//! cache of 1024. Measured on two cores, a first batch cost 2 to 50 ms more than the next of its
//! size. Warming up all of 32 sizes takes seconds for each network, and four networks with 32
//! sizes outgrow the cache, so that it would all be for nothing.
//!
//! So a network with convolutions of libtorch's runs batches of 1, 2, 4, … only, each warmed up before it
//! is ready. What comes in between is run in parts (13 as 8 + 4 + 1) or filled up with black (13 as 16),
//! whatever takes less time by what was measured: where a lone picture takes as long as two, much of the
//! time for 13 would go to the last one. Convolutions of our own have no such kernels: 13 run as 13.
//!
//! The sizes stop where one run would take longer than [`LONGEST_RUN`]: larger batches would make
//! everybody wait and nothing faster. It bounds the warm-up, too, to thrice that or little more for
//! each network.
//!
//! Small batches are run by one thread, if that is clearly faster than all together: others have to be
//! woken for them.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::model::{Runs, Team};

/// Longest that one batch may take.
const LONGEST_RUN: Duration = Duration::from_millis(250);

/// How often a batch is timed. The least time counts: whatever else the machine does only adds to it.
const TRIALS: usize = 4;

/// How often one thread and all together are timed by turns, to find out who is faster; fewer times where
/// it would take longer than this.
const TURNS: usize = 4;
const TIME_FOR_TURNS: Duration = Duration::from_millis(40);

/// Times that one thread has to be faster. What else happens while models are loaded delays many threads
/// more than one, and between requests, which find all caches cold, one loses more than many.
const CLEARLY: f64 = 1.3;

/// A batch that will take longer is timed once, and left to all threads.
const SMALL: Duration = Duration::from_millis(20);

/// A lone picture whose first run took longer is as that, however long its kernels took.
const WITH_KERNELS: Duration = Duration::from_millis(100);

/// The sizes that are warm, ascending, of which the first is 1, and those that are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSizes {
    warm: Vec<Warm>,
    /// What is run first of 1, 2, 3, … pictures, up to the largest size.
    firsts: Vec<(usize, Team)>,
}

/// A size, who runs it, and how long that takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Warm {
    size: NonZeroUsize,
    team: Team,
    took: Duration,
}

/// What is run at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a, T> {
    pub items: &'a [T],
    /// How many are run: if there are fewer items, the rest is of no account.
    pub size: usize,
    pub team: Team,
}

impl BatchSizes {
    /// Runs ever larger batches, up to `max`. `run` runs one of a size as often as it is told, by whom it
    /// is told, and says how long it took at least.
    pub fn warm_up<E>(
        runs: Runs,
        max: NonZeroUsize,
        mut run: impl FnMut(usize, Team, usize) -> Result<Duration, E>,
    ) -> Result<Self, E> {
        // The very first run sets libtorch up; its time says nothing.
        run(1, Team::All, 1)?;
        let mut warm = Vec::new();
        let mut next = Some(NonZeroUsize::MIN);
        while let Some(size) = next {
            let found = warmed(size, warm.last(), &mut run)?;
            next = larger(size, found.took, max);
            warm.push(found);
        }
        // Now, when the heap has grown as far as it will: before, memory takes part of the time.
        for warm in &mut warm {
            match by_one(*warm, &mut run)? {
                Some(by_one) => *warm = by_one,
                None => break,
            }
        }
        let firsts = match runs {
            Runs::Prepared => firsts(&warm),
            Runs::All => all(&warm),
        };
        Ok(Self { warm, firsts })
    }

    pub fn largest(&self) -> NonZeroUsize {
        self.warm.last().map_or(NonZeroUsize::MIN, |warm| warm.size)
    }

    /// The parts in which `batch` is run. Only the last may have fewer items than are run.
    pub fn split<'a, T>(&'a self, mut batch: &'a [T]) -> impl Iterator<Item = Part<'a, T>> {
        std::iter::from_fn(move || {
            let left = batch.len().checked_sub(1)?;
            let (size, team) = *self.firsts.get(left).or(self.firsts.last())?;
            let (items, rest) = batch.split_at(size.min(batch.len()));
            batch = rest;
            Some(Part { items, size, team })
        })
    }
}

/// Warms batches of `size` up for all threads; `smaller` are those before.
fn warmed<E>(
    size: NonZeroUsize,
    smaller: Option<&Warm>,
    run: &mut impl FnMut(usize, Team, usize) -> Result<Duration, E>,
) -> Result<Warm, E> {
    // The first run makes the kernels.
    let first = run(size.get(), Team::All, 1)?;
    let is_small = match smaller {
        Some(smaller) => 2 * smaller.took <= SMALL,
        None => first <= WITH_KERNELS,
    };
    let took = run(size.get(), Team::All, if is_small { TRIALS } else { 1 })?;
    Ok(Warm { size, team: Team::All, took })
}

/// The same with one thread, if that is clearly faster. What is too much for it stays so with larger
/// batches.
fn by_one<E>(
    all: Warm,
    run: &mut impl FnMut(usize, Team, usize) -> Result<Duration, E>,
) -> Result<Option<Warm>, E> {
    if all.took > SMALL {
        return Ok(None);
    }
    let size = all.size.get();
    // It has kernels of its own.
    run(size, Team::One, 1)?;
    let (mut by_one, mut by_all) = (Duration::MAX, all.took);
    let turn = 2 * TRIALS as u32 * all.took;
    let turns = TIME_FOR_TURNS.div_duration_f64(turn) as usize;
    for _ in 0..turns.clamp(1, TURNS) {
        by_all = by_all.min(run(size, Team::All, TRIALS)?);
        by_one = by_one.min(run(size, Team::One, TRIALS)?);
    }
    let is_faster = by_one.mul_f64(CLEARLY) < by_all;
    Ok(is_faster.then_some(Warm { team: Team::One, took: by_one, ..all }))
}

/// See [`BatchSizes::firsts`]: the largest size that fits, or the next to be filled up, if that takes
/// less.
fn firsts(warm: &[Warm]) -> Vec<(usize, Team)> {
    let times = plausible(warm);
    let (mut first, mut least) = (Vec::new(), vec![Duration::ZERO]);
    for (place, Warm { size, .. }) in warm.iter().enumerate() {
        // All beyond the size before.
        for count in least.len()..=size.get() {
            let filled_up = (times[place], place);
            let in_parts = place
                .checked_sub(1)
                .filter(|_| count < size.get())
                .map(|below| (times[below] + least[count - warm[below].size.get()], below));
            let (took, place) = in_parts.map_or(filled_up, |parts| parts.min(filled_up));
            least.push(took);
            first.push((warm[place].size.get(), warm[place].team));
        }
    }
    first
}

/// Every size as it is, by whom the next that is warm is run.
fn all(warm: &[Warm]) -> Vec<(usize, Team)> {
    let mut all = Vec::new();
    for Warm { size, team, .. } in warm {
        all.extend((all.len() + 1..=size.get()).map(|count| (count, *team)));
    }
    all
}

/// How long each size takes, as far as it is certain: no longer than the size before twice, nor than
/// the size after. What is timed while others want the processor may seem to.
fn plausible(warm: &[Warm]) -> Vec<Duration> {
    let mut times: Vec<_> = warm.iter().map(|warm| warm.took).collect();
    for place in 1..times.len() {
        times[place] = times[place].min(2 * times[place - 1]);
    }
    for place in (1..times.len()).rev() {
        times[place - 1] = times[place - 1].min(times[place]);
    }
    times
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
        // Each picture takes as long, and to begin takes next to nothing.
        let run =
            |size: usize, _, _| Ok::<_, Infallible>(Duration::from_nanos(1 + 1000 * size as u64));
        let Ok(sizes) = BatchSizes::warm_up(Runs::Prepared, max, run);
        sizes
    }

    /// Pictures in each part, and how many are run.
    fn parts(sizes: &BatchSizes, batch: usize) -> Vec<(usize, usize)> {
        sizes.split(&vec![(); batch]).map(|part| (part.items.len(), part.size)).collect()
    }

    #[test]
    fn sizes_double_up_to_the_largest() {
        assert_eq!(parts(&sizes(1), 3), [(1, 1), (1, 1), (1, 1)]);
        assert_eq!(sizes(24).largest().get(), 24);
        let whole = [24, 16, 4, 2, 1].map(|size| (size, size));
        assert_eq!(parts(&sizes(24), 47), whole);
        assert_eq!(parts(&sizes(32), 32), [(32, 32)]);
        assert!(parts(&sizes(32), 0).is_empty());
    }

    #[test]
    fn a_batch_is_filled_up_where_that_takes_less_than_another_run() {
        // To begin takes as long as three pictures.
        let run = |size: usize, _, _| Ok::<_, Infallible>(Duration::from_micros(3 + size as u64));
        let max = NonZeroUsize::new(32).expect("not zero");
        let Ok(sizes) = BatchSizes::warm_up(Runs::Prepared, max, run);
        assert_eq!(parts(&sizes, 3), [(3, 4)]);
        assert_eq!(parts(&sizes, 6), [(6, 8)]);
        assert_eq!(parts(&sizes, 17), [(16, 16), (1, 1)]);
        assert_eq!(parts(&sizes, 20), [(16, 16), (4, 4)]);
        assert_eq!(parts(&sizes, 23), [(16, 16), (7, 8)]);
        assert_eq!(parts(&sizes, 30), [(30, 32)]);
        assert_eq!(parts(&sizes, 33), [(32, 32), (1, 1)]);
        // A network that is not prepared for sizes runs each as it is.
        let Ok(sizes) = BatchSizes::warm_up(Runs::All, max, run);
        assert_eq!(sizes.largest(), max);
        assert_eq!([3, 17, 32].map(|size| parts(&sizes, size)), [3, 17, 32].map(|n| vec![(n, n)]));
        assert_eq!(parts(&sizes, 37), [(32, 32), (5, 5)]);
    }

    #[test]
    fn a_size_that_was_timed_in_a_slow_spell_is_run_all_the_same() {
        let run = |size: usize, _, _| {
            let slow = if size >= 8 { 10 } else { 1 };
            Ok::<_, Infallible>(Duration::from_micros(slow * (1 + size as u64)))
        };
        let max = NonZeroUsize::new(16).expect("not zero");
        let Ok(sizes) = BatchSizes::warm_up(Runs::Prepared, max, run);
        assert_eq!(parts(&sizes, 9), [(8, 8), (1, 1)]);
        assert_eq!(parts(&sizes, 15), [(8, 8), (4, 4), (2, 2), (1, 1)]);
    }

    #[test]
    fn slow_networks_run_small_batches() {
        let (size, max) = (NonZeroUsize::MIN, NonZeroUsize::MAX);
        assert_eq!(larger(size, LONGEST_RUN / 2, max).map(NonZeroUsize::get), Some(2));
        assert_eq!(larger(size, LONGEST_RUN, max), None);
    }

    #[test]
    fn small_batches_are_left_to_one_thread() {
        // Together they take 150 µs longer to begin.
        let run = |size: usize, team, _| {
            let (begin, threads) = if team == Team::One { (0, 1) } else { (150, 2) };
            Ok::<_, Infallible>(Duration::from_micros(begin + 70 * size as u64 / threads))
        };
        let max = NonZeroUsize::new(8).expect("not zero");
        let Ok(sizes) = BatchSizes::warm_up(Runs::All, max, run);
        let teams = [1, 2, 3, 4, 8].map(|size| sizes.split(&vec![(); size]).next().map(|p| p.team));
        assert_eq!(teams, [Team::One, Team::One, Team::All, Team::All, Team::All].map(Some));
    }

    #[test]
    fn a_failure_ends_the_warm_up() {
        let fails = |size, _, _| if size == 4 { Err(size) } else { Ok(Duration::ZERO) };
        assert_eq!(BatchSizes::warm_up(Runs::All, NonZeroUsize::MAX, fails), Err(4));
    }
}
