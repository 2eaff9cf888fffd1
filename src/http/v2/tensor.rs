//! Tensors as the protocol writes them: datatypes, little-endian bytes, length-prefixed elements.

use std::borrow::Cow;
use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use serde::Serialize;

/// The datatypes in use here, of those of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Datatype {
    Bytes,
    Fp32,
    Uint8,
}

impl Datatype {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "BYTES",
            Self::Fp32 => "FP32",
            Self::Uint8 => "UINT8",
        }
    }

    /// Bytes of one element in the binary part; none if elements differ in length.
    pub(super) const fn size(self) -> Option<usize> {
        match self {
            Self::Bytes => None,
            Self::Fp32 => Some(4),
            Self::Uint8 => Some(1),
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An output of the network, on its way to the client.
#[derive(Debug, PartialEq)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'static str,
    /// `[N, columns]`.
    pub(crate) shape: [usize; 2],
    /// Row-major.
    pub(crate) values: Values<'a>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Values<'a> {
    Floats(Vec<f32>),
    Texts(Vec<Cow<'a, str>>),
}

impl Tensor<'_> {
    pub(crate) fn datatype(&self) -> Datatype {
        match self.values {
            Values::Floats(_) => Datatype::Fp32,
            Values::Texts(_) => Datatype::Bytes,
        }
    }

    /// As in the binary part of an answer: floats in little-endian order; each text after its
    /// length in four bytes.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::new();
        match &self.values {
            Values::Floats(values) => {
                bytes.reserve_exact(4 * values.len());
                values.iter().for_each(|&value| bytes.put_f32_le(value));
            }
            Values::Texts(texts) => {
                for text in texts {
                    // Labels are lines of a file that fits into memory.
                    bytes.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
                    bytes.put_slice(text.as_bytes());
                }
            }
        }
        bytes.into()
    }
}

/// Takes `count` elements, each after its length in four little-endian bytes, out of `data`,
/// which must hold nothing else. Copies nothing.
pub(crate) fn split_elements(mut data: Bytes, count: usize) -> Result<Vec<Bytes>, String> {
    let mut elements = Vec::with_capacity(count);
    for index in 0..count {
        let length = data.try_get_u32_le().map_err(|_| {
            format!("the data ends before element {index}, of {count} that its shape asks for")
        })?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > data.len() {
            let left = data.len();
            return Err(format!(
                "element {index} has {length} bytes by its prefix, {left} are left"
            ));
        }
        elements.push(data.split_to(length));
    }
    if !data.is_empty() {
        return Err(format!("{} bytes follow the last of {count} elements", data.len()));
    }
    Ok(elements)
}

/// Little-endian floats; `data` is a multiple of four bytes.
pub(super) fn floats(data: &[u8]) -> Vec<f32> {
    let (chunks, _) = data.as_chunks::<4>();
    chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_survive_the_way_there_and_back() {
        let texts = vec![Cow::from("cat"), "".into(), "señal:2".into()];
        let tensor = Tensor { name: "labels", shape: [1, 3], values: Values::Texts(texts.clone()) };
        let elements = split_elements(tensor.to_bytes(), 3).expect("whole");
        let back: Vec<_> = elements.iter().map(|e| std::str::from_utf8(e).expect("text")).collect();
        assert_eq!(back, texts);
    }

    #[test]
    fn broken_elements_are_told_apart() {
        let bytes: &[u8] = &[2, 0, 0, 0, 7, 8, 255, 255, 255, 255, 9];
        for (length, count, part) in [
            (11, 2, "element 1 has 4294967295 bytes"),
            (8, 2, "ends before element 1"),
            (5, 1, "element 0 has 2 bytes by its prefix, 1 are left"),
            (11, 1, "5 bytes follow"),
            (11, 0, "11 bytes follow"),
        ] {
            let error = split_elements(Bytes::from_static(&bytes[..length]), count);
            let error = error.expect_err("broken");
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn floats_are_little_endian() {
        let tensor = Tensor { name: "x", shape: [1, 2], values: Values::Floats(vec![1.0, -2.5]) };
        assert_eq!(tensor.to_bytes()[..4], [0, 0, 0x80, 0x3f]);
        assert_eq!(floats(&tensor.to_bytes()), [1.0, -2.5]);
    }
}
