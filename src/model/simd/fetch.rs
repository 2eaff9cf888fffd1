//! Weights on their way into the caches, before they are multiplied by.

use std::hint::black_box;
use std::ops::Deref;

use super::aligned::LINE;

/// Bytes that are read before it is asked again whether they are wanted.
const PART: usize = 64 << 10;

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
