//! Reads a request to infer: the JSON header, and where the data lies, as JSON or behind it
//! (binary tensor data extension).

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bounded::First;
use super::error::TensorError;
use super::input::{Accepted, IMAGE, Input, InputError, Layout};
use super::output::Wanted;
use super::scalars::{Scalar, each_scalar};
use super::tensor::Datatype;
use crate::batching::MemoryBudget;
use crate::http::body::{Charge, charged};
use crate::http::json;
use crate::model::Pixels;

/// More inputs, outputs or dimensions than any request that makes sense has: those beyond need
/// not be seen to refuse it.
const FEW: usize = 8;

/// What a client asks; its data is not looked at yet.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) id: String,
    /// How long the client will wait.
    pub(super) patience: Option<Duration>,
    pub(super) top_k: Option<NonZeroUsize>,
    /// Each with whether it is to go into the binary part.
    pub(super) outputs: Vec<(Wanted, bool)>,
    pub(super) layout: Layout,
    pub(super) source: Source,
}

/// Where the data is.
#[derive(Debug)]
pub(super) enum Source {
    /// An array, flat or nested.
    Json(Bytes),
    Binary(Bytes),
    /// The body is a picture.
    Raw(Bytes),
}

#[derive(Debug, Deserialize)]
struct Header<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: First<InputHeader<'a>, FEW>,
    #[serde(default, borrow)]
    outputs: First<OutputHeader<'a>, FEW>,
}

/// Others are passed over, as the protocol leaves them to the servers.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// For the outputs that do not say it themselves.
    binary_data_output: Option<bool>,
    /// Microseconds.
    timeout: Option<u64>,
    /// Labels of each picture.
    top_k: Option<NonZeroUsize>,
}

#[derive(Debug, Deserialize)]
struct InputHeader<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    shape: First<i64, FEW>,
    #[serde(default)]
    parameters: InputParameters,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
struct InputParameters {
    binary_data_size: Option<u64>,
    shared_memory_region: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct OutputHeader<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Debug, Default, Deserialize)]
struct OutputParameters {
    binary_data: Option<bool>,
    classification: Option<usize>,
    shared_memory_region: Option<serde::de::IgnoredAny>,
}

/// The part of the body that is the header. None: the body is a picture.
pub(super) fn header(body: &Bytes, length: Option<&str>) -> Result<Option<Bytes>, TensorError> {
    let Some(text) = length else {
        return Ok(Some(body.clone()));
    };
    match text.parse::<usize>() {
        Ok(0) => Ok(None),
        Ok(length) if length <= body.len() => Ok(Some(body.slice(..length))),
        _ => {
            Err(TensorError::HeaderLength { length: super::input::clipped(text), body: body.len() })
        }
    }
}

impl Query {
    /// One picture, without any header.
    pub(super) fn raw(body: Bytes) -> Self {
        let layout = Layout { input: IMAGE, datatype: Datatype::Bytes, count: 1, elements: 1 };
        Self {
            id: String::new(),
            patience: None,
            top_k: None,
            outputs: Wanted::default().map(|wanted| (wanted, false)).to_vec(),
            layout,
            source: Source::Raw(body),
        }
    }

    /// `binary` is what follows the header.
    pub(super) fn parse(
        header: &Bytes,
        binary: Bytes,
        accepted: Accepted<'_>,
    ) -> Result<Self, TensorError> {
        let parsed: Header<'_> =
            serde_json::from_slice(header).map_err(|error| TensorError::Json(error.to_string()))?;
        let parameters = parsed.parameters;
        let outputs =
            outputs(&parsed.outputs.elements, parameters.binary_data_output.unwrap_or(false))?;
        let [input] = &parsed.inputs.elements[..] else {
            return Err(TensorError::Inputs(parsed.inputs.count));
        };
        let layout = accepted.layout(&input.name, &input.datatype, &input.shape.elements)?;
        Ok(Self {
            source: source(header, binary, input, layout.input)?,
            id: parsed.id,
            patience: parameters.timeout.filter(|time| *time > 0).map(Duration::from_micros),
            top_k: parameters.top_k,
            outputs,
            layout,
        })
    }
}

fn outputs(
    outputs: &[OutputHeader<'_>],
    binary_by_default: bool,
) -> Result<Vec<(Wanted, bool)>, TensorError> {
    if outputs.is_empty() {
        return Ok(Wanted::default().map(|wanted| (wanted, binary_by_default)).to_vec());
    }
    let mut wanted = Vec::with_capacity(outputs.len());
    for OutputHeader { name, parameters } in outputs {
        if parameters.shared_memory_region.is_some() {
            return Err(TensorError::SharedMemory);
        }
        wanted.push(Wanted::new(name, parameters.classification)?);
    }
    Wanted::check_unique(&wanted)?;
    let binary = outputs.iter().map(|output| output.parameters.binary_data);
    let binary = binary.map(|binary| binary.unwrap_or(binary_by_default));
    Ok(wanted.into_iter().zip(binary).collect())
}

fn source(
    header: &Bytes,
    binary: Bytes,
    InputHeader { parameters, data, .. }: &InputHeader<'_>,
    input: &'static str,
) -> Result<Source, TensorError> {
    if parameters.shared_memory_region.is_some() {
        return Err(TensorError::SharedMemory);
    }
    let announced = parameters.binary_data_size;
    if binary.len() as u64 != announced.unwrap_or(0) {
        let (found, announced) = (binary.len(), announced.unwrap_or(0));
        return Err(TensorError::BinaryPart { found, announced });
    }
    match (data, announced) {
        (Some(data), None) => Ok(Source::Json(header.slice_ref(data.get().as_bytes()))),
        (None, Some(_)) => Ok(Source::Binary(binary)),
        (None, None) => Err(TensorError::NoData { input }),
        (Some(_), Some(_)) => Err(TensorError::TwoData { input }),
    }
}

/// Takes the data out of the body; `charge` is for what is made of it.
pub(super) fn decode(
    source: Source,
    layout: Layout,
    budget: &MemoryBudget,
    charge: &Arc<Charge>,
) -> Result<Input, InputError> {
    match source {
        Source::Raw(picture) => Ok(Input::Pictures(vec![picture])),
        Source::Binary(data) => layout.read_binary(data, budget),
        Source::Json(data) => match layout.datatype {
            Datatype::Bytes => {
                let mut pictures = Vec::with_capacity(layout.count);
                fill(&data, layout, |scalar| {
                    let Scalar::Text(text) = scalar else { return Err("is not a string".into()) };
                    let (_, bytes) =
                        json::picture(text).map_err(|reason| format!("is not base64: {reason}"))?;
                    pictures.push(charged(bytes.into(), charge));
                    Ok(())
                })?;
                Ok(Input::Pictures(pictures))
            }
            Datatype::Fp32 => {
                let permits = layout.reserve(budget)?;
                let mut values = Vec::with_capacity(layout.count * layout.elements);
                fill(&data, layout, |scalar| {
                    let Scalar::Number(value) = scalar else {
                        return Err("is not a number".into());
                    };
                    values.push(value as f32);
                    Ok(())
                })?;
                let pixels = values.chunks(layout.elements).map(|s| Pixels::Floats(s.to_vec()));
                layout.samples(pixels, permits)
            }
            Datatype::Uint8 => {
                let permits = layout.reserve(budget)?;
                let mut values = Vec::with_capacity(layout.count * layout.elements);
                fill(&data, layout, |scalar| match scalar {
                    Scalar::Number(v) if v.fract() == 0.0 && (0.0..256.0).contains(&v) => {
                        values.push(v as u8);
                        Ok(())
                    }
                    _ => Err("is not a whole number from 0 to 255".into()),
                })?;
                let pixels = values.chunks(layout.elements).map(|s| Pixels::Bytes(s.to_vec()));
                layout.samples(pixels, permits)
            }
        },
    }
}

/// Hands exactly as many scalars of `json` as the shape asks for to `take`.
fn fill(
    json: &[u8],
    layout: Layout,
    mut take: impl FnMut(Scalar<'_>) -> Result<(), String>,
) -> Result<(), TensorError> {
    let expected = layout.count * layout.elements;
    let mut found = 0;
    each_scalar(json, &mut |scalar| {
        if found == expected {
            return Err(format!("more than the {expected} elements that the shape asks for"));
        }
        found += 1;
        take(scalar).map_err(|what| format!("element {} {what}", found - 1))
    })
    .map_err(layout.wrong())?;
    if found < expected {
        let detail = format!("{found} elements; the shape asks for {expected}");
        return Err(layout.wrong()(detail));
    }
    Ok(())
}
