//! Lists that a client can't make long: JSON of two bytes per element would take many times its
//! size in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// The first `MOST` elements of a list, and how many there were.
#[derive(Debug)]
pub(crate) struct First<T, const MOST: usize> {
    pub(crate) elements: Vec<T>,
    pub(crate) count: usize,
}

impl<T, const MOST: usize> Default for First<T, MOST> {
    fn default() -> Self {
        Self { elements: Vec::new(), count: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for First<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for ListVisitor<T, MOST> {
    type Value = First<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut first = First::default();
        while first.count < MOST {
            let Some(element) = list.next_element()? else { return Ok(first) };
            first.elements.push(element);
            first.count += 1;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            first.count += 1;
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_many_is_counted_and_not_kept() {
        for (json, elements, count) in
            [("[]", &[][..], 0), ("[1,2]", &[1, 2], 2), ("[1,2,3,{},[]]", &[1, 2, 3], 5)]
        {
            let first: First<u8, 3> = serde_json::from_str(json).expect("a list");
            assert_eq!((&first.elements[..], first.count), (elements, count));
        }
        assert!(serde_json::from_str::<First<u8, 3>>("[1,2,3,").is_err());
    }
}
