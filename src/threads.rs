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

/// Threads for the async runtime at most: it only moves bytes. Where there are few cores one thread for
/// two is enough; more of them wake each other for nothing.
const MOST_RUNTIME_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

/// What each pool may take.
///
/// Decoding and inference may each take all CPUs, and never more: whichever has work to do gets
/// the machine, and where both have the kernel shares it out. A hard split would let half of the
/// machine stand idle whenever pictures are small, or networks are. Means of three runs with 16
/// clients at once, f32, on two CPUs that others used, too: large photographs through `nin-cifar`
/// went from 72 a second with one thread each to 105 with two each, digits through `nin-28` from
/// 870 to 1300.
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
    /// The threads of this process; what is given wins.
    pub fn detect(decode: Option<NonZeroUsize>, inference: Option<NonZeroUsize>) -> Self {
        // Unknown only where the platform can't tell: then one of each is safe.
        let cpus = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            cpus,
            decode: decode.unwrap_or(cpus),
            inference: inference.unwrap_or(cpus),
            runtime: half(cpus).min(MOST_RUNTIME_THREADS),
        }
    }
}

/// Rounded up.
fn half(cpus: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add((cpus.get() - 1) / 2)
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpus, decode, inference, runtime } = self;
        write!(f, "{cpus} CPUs: {decode} decode, {inference} infer, {runtime} serve HTTP")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_cpus_is_one_at_least() {
        let halves = [1, 2, 3, 4, 16].map(|cpus| half(NonZeroUsize::new(cpus).expect("not zero")));
        assert_eq!(halves.map(NonZeroUsize::get), [1, 1, 2, 2, 8]);
    }

    #[test]
    fn no_pool_takes_more_than_the_cpus_unless_told_to() {
        let threads = Threads::detect(None, None);
        assert_eq!((threads.decode, threads.inference), (threads.cpus, threads.cpus));
        assert_eq!(threads.runtime, half(threads.cpus).min(MOST_RUNTIME_THREADS));
        let seven = NonZeroUsize::new(7);
        let threads = Threads::detect(seven, None);
        assert_eq!((Some(threads.decode), threads.inference), (seven, threads.cpus));
    }
}
