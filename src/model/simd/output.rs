//! An output that many threads write.

#![expect(unsafe_code, reason = "parts that lie apart are written at the same time")]

use std::marker::PhantomData;

/// Values of which each thread writes others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a, E> {
    first: *mut E,
    count: usize,
    values: PhantomData<&'a mut [E]>,
}

// SAFETY: it is a slice of which `part` leaves to the caller who writes what.
unsafe impl<E: Send> Send for Output<'_, E> {}
unsafe impl<E: Send> Sync for Output<'_, E> {}

impl<'a, E> Output<'a, E> {
    pub(super) fn new(values: &'a mut [E]) -> Self {
        Self { first: values.as_mut_ptr(), count: values.len(), values: PhantomData }
    }

    /// `count` values from `first` on.
    ///
    /// # Safety
    ///
    /// Nobody has any of them meanwhile.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[inline(always)]
    pub(super) unsafe fn part(self, first: usize, count: usize) -> &'a mut [E] {
        assert!(first <= self.count && count <= self.count - first);
        // SAFETY: they are within the slice that this was made of, and nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(first), count) }
    }
}
