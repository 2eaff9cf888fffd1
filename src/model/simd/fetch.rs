//! Weights on their way into the caches, before they are multiplied by.

use std::hint::black_box;
use std::ops::Deref;

use super::aligned::LINE;

/// Bytes that are read before it is asked again whether they are wanted.
const PART: usize = 16 << 10;

/// Weights of a layer, of whatever kind.
pub(in crate::model) trait Fetch: Sync {
    fn bytes(&self) -> usize;

    /// Reads them, for as long as they are `wanted`, so that who comes next finds them in the last cache.
    fn fetch(&self, wanted: &dyn Fn() -> bool);
}

impl<E: Copy, V: Deref<Target = [E]> + Sync> Fetch for V {
    fn bytes(&self) -> usize {
        size_of_val(&**self)
    }

    fn fetch(&self, wanted: &dyn Fn() -> bool) {
        for part in self.chunks(PART / size_of::<E>()) {
            if !wanted() {
                return;
            }
            for value in part.iter().step_by(LINE / size_of::<E>()) {
                black_box(*value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn it_ends_when_the_weights_are_read_or_not_wanted_any_more() {
        let weights = vec![0f32; 3 * PART / size_of::<f32>() + 1];
        assert_eq!(weights.bytes(), 3 * PART + size_of::<f32>());
        for (patience, expected) in [(usize::MAX, 4), (2, 3), (0, 1)] {
            let asked = Cell::new(0);
            weights.fetch(&|| asked.replace(asked.get() + 1) < patience);
            assert_eq!(asked.get(), expected);
        }
    }
}
