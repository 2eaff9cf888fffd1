//! Memory that begins where a line of the caches does.

use std::ops::{Deref, DerefMut};

/// Bytes of a line. A row of a tile that lies in two of them takes twice as long to load.
pub(super) const LINE: usize = 64;

/// Values whose first one is at the beginning of a line.
#[derive(Debug)]
pub(super) struct Aligned<E> {
    /// With as many more as a line has.
    values: Vec<E>,
    first: usize,
    count: usize,
}

impl<E: Copy> Aligned<E> {
    /// `count` times `value`.
    pub(super) fn filled(value: E, count: usize) -> Self {
        let values = vec![value; count + LINE / size_of::<E>()];
        let first = values.as_ptr().align_offset(LINE);
        Self { values, first, count }
    }
}

impl<E: Copy + Default> From<&[E]> for Aligned<E> {
    fn from(values: &[E]) -> Self {
        let mut aligned = Self::filled(E::default(), values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl<E> Deref for Aligned<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.values[self.first..][..self.count]
    }
}

impl<E> DerefMut for Aligned<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.values[self.first..][..self.count]
    }
}
