//! `ModelInfer`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;

use super::messages::{
    InferRequest, InferResponse, InputTensor, Parameters, RequestedOutput, TensorHeader,
};
use super::{Call, codec, receive};
use crate::batching::MemoryBudget;
use crate::http::v2::{
    self, Accepted, Datatype, Input, InputError, Layout, TensorError, VERSION, Wanted,
};
use crate::http::{Administration, Admitted, Charge, Problem, RequestContext, charged};
use crate::model::Pixels;

pub(super) async fn infer(
    State(state): State<Administration>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Result<Response, Problem> {
    let (call, message, charge) = receive::<InferRequest>(state, context, request).await?;
    let Call { state, context, mut ticket, .. } = call;
    let api = &state.api;
    v2::check_version(&message.model_name, &message.model_version)?;
    if let Some(time) = whole(&message.parameters, "timeout").filter(|time| *time > 0) {
        ticket.limit(Duration::from_micros(time));
    }
    let admitted = Admitted::new(api, &context, ticket, Some(&message.model_name))?;
    let top_k = whole(&message.parameters, "top_k");
    let top_k = top_k.and_then(|best| NonZeroUsize::new(usize::try_from(best).ok()?));
    let outputs = outputs(&message.outputs)?;
    let id = message.id;

    let info = &admitted.model.info;
    let accepted = Accepted { spec: &info.input, most: api.config.max_batch_images };
    let data = data(message.inputs, message.raw_input_contents, accepted)?;
    let (charge, budget) = (Arc::new(charge), api.service.budget().clone());
    let input = if data.layout.datatype == Datatype::Bytes {
        data.decode(&budget, &charge)
    } else {
        // Megabytes of numbers are work for the decoding threads.
        let decode = move || data.decode(&budget, &charge);
        api.service.off_runtime(&admitted.ticket, decode).await?
    };
    let input = input.map_err(|error| error.problem(api, &admitted))?;
    let (predictions, _) = v2::run(api, &context, &admitted, input).await?;

    let tensors = outputs.iter().map(|wanted| wanted.tensor(&info.labels, &predictions, top_k));
    let (outputs, raw_output_contents) = tensors
        .map(|tensor| {
            let header = TensorHeader {
                name: tensor.name.to_owned(),
                datatype: tensor.datatype().as_str().to_owned(),
                shape: tensor.shape.map(|side| side as i64).to_vec(),
            };
            (header, tensor.to_bytes())
        })
        .unzip();
    Ok(codec::encode(InferResponse {
        model_name: info.name.clone(),
        model_version: VERSION.to_owned(),
        id,
        outputs,
        raw_output_contents,
    }))
}

/// A parameter that is a whole number, not below zero.
fn whole(parameters: &Parameters, name: &str) -> Option<u64> {
    let parameter = parameters.get(name)?;
    parameter.uint64.or_else(|| u64::try_from(parameter.int64?).ok())
}

fn refuse_shared_memory(parameters: &Parameters) -> Result<(), TensorError> {
    let shared = parameters.contains_key("shared_memory_region");
    if shared { Err(TensorError::SharedMemory) } else { Ok(()) }
}

fn outputs(asked: &[RequestedOutput]) -> Result<Vec<Wanted>, TensorError> {
    if asked.is_empty() {
        return Ok(Wanted::default().to_vec());
    }
    let mut wanted = Vec::with_capacity(asked.len().min(3));
    for output in asked {
        refuse_shared_memory(&output.parameters)?;
        let classes = whole(&output.parameters, "classification");
        let classes = classes.map(|classes| usize::try_from(classes).unwrap_or(usize::MAX));
        wanted.push(Wanted::new(&output.name, classes)?);
        // Here, so that the list stays short.
        Wanted::check_unique(&wanted)?;
    }
    Ok(wanted)
}

/// The data of the one input, where it lies in the message.
struct Data {
    layout: Layout,
    source: Source,
}

enum Source {
    Raw(Bytes),
    Elements(Vec<Bytes>),
    Floats(Vec<f32>),
    Bytes(Vec<u32>),
}

fn data(
    inputs: Vec<InputTensor>,
    raw: Vec<Bytes>,
    accepted: Accepted<'_>,
) -> Result<Data, TensorError> {
    let [tensor] =
        <[InputTensor; 1]>::try_from(inputs).map_err(|inputs| TensorError::Inputs(inputs.len()))?;
    refuse_shared_memory(&tensor.parameters)?;
    let layout = accepted.layout(&tensor.name, &tensor.datatype, &tensor.shape)?;
    let input = layout.input;
    let source = match (raw.len(), tensor.contents) {
        (0, None) => return Err(TensorError::NoData { input }),
        (0, Some(contents)) => match layout.datatype {
            Datatype::Bytes => Source::Elements(contents.bytes_contents),
            Datatype::Fp32 => Source::Floats(contents.fp32_contents),
            Datatype::Uint8 => Source::Bytes(contents.uint_contents),
        },
        (_, Some(_)) => return Err(TensorError::TwoData { input }),
        (1, None) => Source::Raw(raw.into_iter().next().unwrap_or_default()),
        (count, None) => {
            let detail = format!("{count} raw_input_contents for one input");
            return Err(TensorError::Data { input, detail });
        }
    };
    Ok(Data { layout, source })
}

impl Data {
    fn decode(self, budget: &MemoryBudget, charge: &Arc<Charge>) -> Result<Input, InputError> {
        let Self { layout, source } = self;
        let expected = layout.count * layout.elements;
        let check = |found: usize| {
            if found == expected {
                return Ok(());
            }
            let detail = format!("{found} elements; the shape asks for {expected}");
            Err(layout.wrong()(detail))
        };
        match source {
            Source::Raw(data) => layout.read_binary(charged(data, charge), budget),
            Source::Elements(pictures) => {
                check(pictures.len())?;
                let pictures = pictures.into_iter().map(|picture| charged(picture, charge));
                Ok(Input::Pictures(pictures.collect()))
            }
            Source::Floats(values) => {
                check(values.len())?;
                let permits = layout.reserve(budget)?;
                let pixels = values.chunks(layout.elements).map(|s| Pixels::Floats(s.to_vec()));
                layout.samples(pixels, permits)
            }
            Source::Bytes(values) => {
                check(values.len())?;
                let permits = layout.reserve(budget)?;
                let bytes: Vec<u8> = values.iter().map_while(|v| u8::try_from(*v).ok()).collect();
                if bytes.len() < values.len() {
                    let detail = format!("element {} is above 255", bytes.len());
                    return Err(layout.wrong()(detail).into());
                }
                let pixels = bytes.chunks(layout.elements).map(|s| Pixels::Bytes(s.to_vec()));
                layout.samples(pixels, permits)
            }
        }
    }
}
