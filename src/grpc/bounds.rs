//! Refuses messages that would take many times their size in memory.
//!
//! Two bytes on the wire can become a string, a map's entry or a tensor of a hundred bytes. So
//! the fields of a message are counted before it is decoded.

use prost::encoding::{WireType, decode_key, decode_varint};

/// Fields of a message and of those in it. Each picture is one at most.
const MOST_FIELDS: usize = 1 << 16;
/// Bytes of a shape, whose numbers are packed; eight dimensions fit.
const LONGEST_SHAPE: usize = 80;

/// Where a field stands in a `ModelInferRequest`. Other messages have nothing of the kind, and
/// are measured by the same rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Request,
    /// An input, an output or a parameter.
    Tensor,
    Contents,
}

pub(super) fn check(message: &[u8]) -> Result<(), String> {
    let mut fields = 0;
    walk(message, Place::Request, &mut fields)
}

fn walk(mut rest: &[u8], place: Place, fields: &mut usize) -> Result<(), String> {
    let broken = |error: prost::DecodeError| error.to_string();
    let cut = || "the message is cut short".to_owned();
    while !rest.is_empty() {
        *fields += 1;
        if *fields > MOST_FIELDS {
            return Err(format!("the message has more than {MOST_FIELDS} fields"));
        }
        let (tag, kind) = decode_key(&mut rest).map_err(broken)?;
        let length = match kind {
            WireType::Varint => {
                decode_varint(&mut rest).map_err(broken)?;
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => {
                let length = decode_varint(&mut rest).map_err(broken)?;
                usize::try_from(length).map_err(|_| cut())?
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err("the message has groups".to_owned());
            }
        };
        let (content, after) = rest.split_at_checked(length).ok_or_else(cut)?;
        rest = after;
        if kind != WireType::LengthDelimited {
            continue;
        }
        match (place, tag) {
            (Place::Request, 4..=6) => walk(content, Place::Tensor, fields)?,
            (Place::Tensor, 5) => walk(content, Place::Contents, fields)?,
            (Place::Tensor, 3) if content.len() > LONGEST_SHAPE => {
                return Err("a shape has more dimensions than make sense".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}
