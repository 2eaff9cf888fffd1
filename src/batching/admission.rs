//! Admission in bytes: decoded pictures are what fills the memory, not requests.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per permit: the semaphore takes 32 bits at once, so this allows requests up to 4 TiB.
const UNIT: u64 = 1024;

/// Bounds the bytes that all requests hold together. Clones share the budget.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    units: u64,
}

impl MemoryBudget {
    /// A budget of `bytes`, rounded down to whole KiB.
    pub fn new(bytes: u64) -> Self {
        // More than the semaphore can count is as good as unlimited.
        let units = (bytes / UNIT).min(Semaphore::MAX_PERMITS as u64);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Takes `bytes`, rounded up to whole KiB, if they are free. Never waits: a queue for memory
    /// would be a second queue without a bound.
    pub fn try_acquire(&self, bytes: u64) -> Result<BytesPermit, BudgetExceeded> {
        let units = bytes.div_ceil(UNIT);
        let never_fits = BudgetExceeded::NeverFits { bytes, budget: self.total() };
        if units > self.units {
            return Err(never_fits);
        }
        let units = u32::try_from(units).map_err(|_| never_fits)?;
        Arc::clone(&self.free)
            .try_acquire_many_owned(units)
            .map(|permit| BytesPermit { permit })
            .map_err(|_| BudgetExceeded::Full { bytes })
    }

    /// The whole budget, in bytes.
    pub fn total(&self) -> u64 {
        self.units * UNIT
    }

    /// What is taken now, in bytes: a gauge.
    pub fn in_flight(&self) -> u64 {
        // Permits never outnumber `units`; `saturating` costs nothing.
        self.units.saturating_sub(self.free.available_permits() as u64) * UNIT
    }
}

/// Bytes taken from a [`MemoryBudget`], given back on drop. It travels with what it pays for.
#[must_use = "dropping the permit gives the bytes back"]
pub struct BytesPermit {
    permit: OwnedSemaphorePermit,
}

impl BytesPermit {
    /// The bytes held, in whole KiB.
    pub fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT
    }

    /// Gives back all but `bytes` (rounded up to whole KiB): a decoded picture of megabytes goes
    /// on as a resized one of kilobytes. Never takes more.
    pub fn shrink_to(&mut self, bytes: u64) {
        let keep = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let surplus = self.permit.num_permits().saturating_sub(keep);
        drop(self.permit.split(surplus));
    }
}

impl fmt::Debug for BytesPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesPermit").field("bytes", &self.bytes()).finish()
    }
}

/// Why [`MemoryBudget::try_acquire`] refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BudgetExceeded {
    /// Trying again is of no use.
    #[error("{bytes} bytes never fit into the memory budget of {budget} bytes")]
    NeverFits { bytes: u64, budget: u64 },
    /// Others hold the bytes now.
    #[error("{bytes} bytes are not free in the memory budget now")]
    Full { bytes: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    #[test]
    fn bytes_come_back() {
        let budget = MemoryBudget::new(10 * KIB);
        let mut permit = budget.try_acquire(4 * KIB + 1).expect("fits");
        assert_eq!((permit.bytes(), budget.in_flight()), (5 * KIB, 5 * KIB));
        permit.shrink_to(1);
        assert_eq!((permit.bytes(), budget.in_flight()), (KIB, KIB));
        permit.shrink_to(9 * KIB);
        assert_eq!(permit.bytes(), KIB);
        drop(permit);
        assert_eq!(budget.in_flight(), 0);
    }

    #[test]
    fn too_much_now_is_not_too_much_ever() {
        let budget = MemoryBudget::new(10 * KIB);
        let held = budget.try_acquire(6 * KIB).expect("fits");
        let bytes = 5 * KIB;
        let refused = budget.try_acquire(bytes).expect_err("full");
        assert_eq!(refused, BudgetExceeded::Full { bytes });
        drop(held);
        assert!(budget.try_acquire(bytes).is_ok());

        for bytes in [10 * KIB + 1, u64::MAX] {
            let refused = budget.try_acquire(bytes).expect_err("too big");
            let budget = 10 * KIB;
            assert_eq!(refused, BudgetExceeded::NeverFits { bytes, budget });
        }
    }

    #[test]
    fn a_huge_budget_is_no_panic() {
        let budget = MemoryBudget::new(u64::MAX);
        assert!(budget.try_acquire(1 << 40).is_ok());
        assert_eq!(budget.in_flight(), 0);
        assert!(budget.try_acquire(u64::MAX).is_err());
    }
}
