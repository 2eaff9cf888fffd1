//! Walks through a JSON array, however nested, without building it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Number(f64),
    Text(&'a str),
}

type Take<'t> = &'t mut dyn FnMut(Scalar<'_>) -> Result<(), String>;

/// Calls `take` for each number or string in row-major order, until it fails.
pub(super) fn each_scalar(json: &[u8], take: Take<'_>) -> Result<(), String> {
    let mut failure = None;
    let mut json = serde_json::Deserializer::from_slice(json);
    let walked = (&mut json).deserialize_seq(Walk { take, failure: &mut failure });
    // What `take` says is clearer than where serde_json met it.
    walked.map_err(|error| failure.unwrap_or_else(|| error.to_string()))
}

struct Walk<'w> {
    take: Take<'w>,
    failure: &'w mut Option<String>,
}

impl Walk<'_> {
    fn scalar<E: Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        (self.take)(scalar).map_err(|reason| {
            *self.failure = Some(reason);
            E::custom("refused")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers or of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Walk { take: self.take, failure: self.failure })?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(text))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Number(value as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(json: &str) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        each_scalar(json.as_bytes(), &mut |scalar| {
            if seen.len() == 5 {
                return Err("five are enough".to_owned());
            }
            seen.push(format!("{scalar:?}"));
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn nesting_does_not_matter() {
        let flat = walk("[1, -2, 3.5, 4]").expect("an array");
        assert_eq!(flat, ["Number(1.0)", "Number(-2.0)", "Number(3.5)", "Number(4.0)"]);
        assert_eq!(walk("[[[1, -2], []], [[3.5, 4]]]").as_deref(), Ok(&flat[..]));
        assert_eq!(walk(r#"["a\u0062"]"#), Ok(vec![r#"Text("ab")"#.to_owned()]));
    }

    #[test]
    fn all_else_is_refused() {
        for json in ["1", "{}", "[null]", "[true]", "[{}]", "[1, \"", "\"text\""] {
            assert!(walk(json).is_err(), "{json}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(walk(&deep).is_err_and(|error| error.contains("recursion")));
        assert_eq!(walk("[1,2,3,4,5,6,7]"), Err("five are enough".to_owned()));
    }
}
