//! What a model has done since it went into service.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::Timings;
use crate::batching::Observer;

/// Counters of one model, for protocols that report them. Metrics are elsewhere.
#[derive(Debug, Default)]
pub struct Statistics(Mutex<Counts>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pictures that were answered, from the arrival of their request on.
    pub success: Total,
    /// Pictures that were not, unless their client hung up.
    pub fail: Total,
    /// Of the pictures that were answered.
    pub decode: Total,
    pub queue: Total,
    pub inference: Total,
    pub last_success: Option<SystemTime>,
    /// Runs of the engine by the number of pictures in them. A picture is alone in a run that
    /// retries a failed one.
    pub batches: BTreeMap<usize, Total>,
}

/// How often, and how long in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    pub count: u64,
    pub time: Duration,
}

impl Total {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

impl Statistics {
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// A picture is answered, if it was with its times, `took` after its request arrived.
    pub(super) fn ended(&self, took: Duration, timings: Option<Timings>) {
        let mut counts = self.lock();
        let Some(timings) = timings else {
            counts.fail.add(took);
            return;
        };
        counts.success.add(took);
        counts.decode.add(timings.decode);
        counts.queue.add(timings.queue);
        counts.inference.add(timings.inference);
        counts.last_success = Some(SystemTime::now());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // No code under the lock leaves anything half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Statistics {
    fn batch(&self, size: usize, inference: Duration) {
        self.lock().batches.entry(size).or_default().add(inference);
    }
}
