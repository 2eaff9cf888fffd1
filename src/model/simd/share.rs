//! Shares of a layer's output for threads.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Multiplications of a share, about: a millisecond of one thread, to begin which takes a tenth of that.
const SHARE: usize = 32 << 20;

/// Work on items that all take as many multiplications.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) items: usize,
    pub(super) multiplications: usize,
}

impl Work {
    /// Has all items worked on, by as many threads as libtorch may use, or by fewer. `run` is given the
    /// items from one to before another, and their part of `y`, of which `offset` tells where an item's
    /// begins. Who is done takes the next share, so that a thread whose processor is wanted for
    /// something else holds up nobody.
    pub(super) fn share(
        self,
        y: &mut [f32],
        offset: impl Fn(usize) -> usize,
        run: impl Fn([usize; 2], &mut [f32]) + Sync,
    ) {
        let count = (self.items * self.multiplications / SHARE).clamp(1, self.items.max(1));
        let mut rest = y;
        let shares = (0..count).map(|share| {
            let [first, end] = [share, share + 1].map(|share| share * self.items / count);
            let part;
            (part, rest) = std::mem::take(&mut rest).split_at_mut(offset(end) - offset(first));
            ([first, end], part)
        });
        let shares = Mutex::new(shares.collect::<Vec<_>>().into_iter());
        let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some((items, part)) = next() {
                run(items, part);
            }
        };
        let threads = count.min(tch::get_num_threads().max(1) as usize);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_knows_its_place() {
        for (items, multiplications) in [(1, 1), (7, SHARE), (1000, SHARE / 3), (3, 10 * SHARE)] {
            let width = |item: usize| item * (item + 1) / 2;
            let mut y = vec![0.0; width(items)];
            Work { items, multiplications }.share(&mut y, width, |[first, end], part| {
                assert_eq!(part.len(), width(end) - width(first));
                for item in first..end {
                    let at = width(item) - width(first);
                    part[at..at + item + 1].iter_mut().for_each(|value| *value += item as f32);
                }
            });
            let mut expected = (0..items).flat_map(|item| vec![item as f32; item + 1]);
            assert!(y.iter().all(|value| Some(*value) == expected.next()));
        }
    }
}
