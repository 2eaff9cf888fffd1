//! How many threads do what.
//!
//! The share of the machine that a container may use is its cgroup's CPU quota (`cpu.max`, or
//! `cpu.cfs_quota_us` in version 1) and its CPU affinity, not the number of cores that the host
//! has. A pool sized for the host is throttled by the kernel: every thread stands still for the
//! rest of each period, and latency with it. [`std::thread::available_parallelism`] reads all
//! three, the quotas of parent groups included, and rounds a quota down.

use std::fmt;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Threads for the async runtime at most: it only moves bytes.
const MOST_RUNTIME_THREADS: usize = 4;

/// The split of the CPUs. Decoding and inference together take no more threads than there are
/// CPUs, where there are two or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// What the quota and the affinity leave us.
    pub cpus: NonZeroUsize,
    /// Decode pictures, one each.
    pub decode: NonZeroUsize,
    /// Run one batch together: libtorch's intra-op threads.
    pub inference: NonZeroUsize,
    /// Of the async runtime.
    pub runtime: NonZeroUsize,
}

impl Threads {
    /// The split for this process; what is given wins.
    pub fn detect(decode: Option<NonZeroUsize>, inference: Option<NonZeroUsize>) -> Self {
        // Unknown only where the platform can't tell: then one of each is safe.
        let cpus = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self::split(cpus, decode, inference)
    }

    /// What is not given is what the other leaves. If neither is, half of the CPUs (rounded
    /// down) decode: a photograph of 500×375 pixels takes as long to decode as a small network
    /// takes to look at it.
    fn split(
        cpus: NonZeroUsize,
        decode: Option<NonZeroUsize>,
        inference: Option<NonZeroUsize>,
    ) -> Self {
        let left_by = |taken: NonZeroUsize| at_least_one(cpus.get().saturating_sub(taken.get()));
        let (decode, inference) = match (decode, inference) {
            (Some(decode), Some(inference)) => (decode, inference),
            (Some(decode), None) => (decode, left_by(decode)),
            (None, Some(inference)) => (left_by(inference), inference),
            (None, None) => {
                let decode = at_least_one(cpus.get() / 2);
                (decode, left_by(decode))
            }
        };
        let runtime = at_least_one(cpus.get().min(MOST_RUNTIME_THREADS));
        Self { cpus, decode, inference, runtime }
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpus, decode, inference, runtime } = self;
        write!(f, "{cpus} CPUs: {decode} decode, {inference} infer, {runtime} serve HTTP")
    }
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(cpus: usize, decode: usize, inference: usize) -> (usize, usize) {
        let threads = Threads::split(
            at_least_one(cpus),
            NonZeroUsize::new(decode),
            NonZeroUsize::new(inference),
        );
        (threads.decode.get(), threads.inference.get())
    }

    #[test]
    fn the_pools_share_the_cpus() {
        assert_eq!(split(1, 0, 0), (1, 1));
        assert_eq!(split(2, 0, 0), (1, 1));
        assert_eq!(split(3, 0, 0), (1, 2));
        assert_eq!(split(16, 0, 0), (8, 8));
    }

    #[test]
    fn what_is_given_wins_and_the_other_gets_the_rest() {
        assert_eq!(split(8, 2, 0), (2, 6));
        assert_eq!(split(8, 0, 6), (2, 6));
        assert_eq!(split(8, 0, 99), (1, 99));
        assert_eq!(split(8, 3, 3), (3, 3));
    }
}
