//! Shares of a layer's output for threads.

use std::sync::{Mutex, PoisonError};

use crate::model::team::run_by_all;

/// Multiplications of a share, about: a tenth of a millisecond at most. So long a thread may wait for the
/// others at the end of a layer.
pub(super) const SHARE: usize = 2 << 20;
/// Multiplications that are worth other threads, be they asleep.
pub(super) const WORTH_IT: usize = 2 << 20;

/// Work on items that all take as many multiplications.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) items: usize,
    /// How many of them are best worked on at once.
    pub(super) together: usize,
    /// Of one of them.
    pub(super) multiplications: usize,
}

impl Work {
    /// Has all items worked on, by the threads that libtorch may use, or by one. Each makes a `worker`,
    /// which is given the items from one to before another, and their part of `y`, of which `offset`
    /// tells where an item's begins. Who is done takes the next share, so that a thread whose processor
    /// is wanted for something else holds up nobody.
    pub(super) fn share<T: Send, W: FnMut([usize; 2], &mut [T])>(
        self,
        y: &mut [T],
        offset: impl Fn(usize) -> usize,
        worker: impl Fn() -> W + Sync,
    ) {
        let multiplications = self.items * self.multiplications;
        let threads = tch::get_num_threads().max(1) as usize;
        if threads == 1 || multiplications < WORTH_IT {
            return worker()([0, self.items], y);
        }
        let together = self.together.min(self.items.div_ceil(threads)).max(1);
        let groups = self.items.div_ceil(together);
        let count = groups.min(threads.max(multiplications / SHARE));
        let mut rest = y;
        let shares = (0..count).map(|share| {
            let bound = |share| self.items.min(share * groups / count * together);
            let [first, end] = [share, share + 1].map(bound);
            let part;
            (part, rest) = std::mem::take(&mut rest).split_at_mut(offset(end) - offset(first));
            ([first, end], part)
        });
        let shares = Mutex::new(shares.collect::<Vec<_>>().into_iter());
        let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
        run_by_all(&|| {
            let mut share = next();
            if share.is_some() {
                let mut run = worker();
                while let Some((items, part)) = share {
                    run(items, part);
                    share = next();
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_knows_its_place() {
        tch::set_num_threads(3);
        for (items, together, multiplications) in
            [(1, 1, 1), (7, 1, SHARE), (7, 3, SHARE), (1000, 48, SHARE / 3), (3, 4, 10 * SHARE)]
        {
            let width = |item: usize| item * (item + 1) / 2;
            let mut y = vec![0.0; width(items)];
            let run = |[first, end]: [usize; 2], part: &mut [f32]| {
                assert_eq!(part.len(), width(end) - width(first));
                for item in first..end {
                    let at = width(item) - width(first);
                    part[at..at + item + 1].iter_mut().for_each(|value| *value += item as f32);
                }
            };
            Work { items, together, multiplications }.share(&mut y, width, || run);
            let mut expected = (0..items).flat_map(|item| vec![item as f32; item + 1]);
            assert!(y.iter().all(|value| Some(*value) == expected.next()));
        }
    }
}
