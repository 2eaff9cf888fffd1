//! `POST /v2/models/{model}/infer`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Serialize;

use super::input::{Accepted, Input};
use super::query::{self, Query, Source};
use super::tensor::{Datatype, Values};
use super::{ModelPath, VERSION, run};
use crate::http::Api;
use crate::http::answer::{SERVER_TIMING, server_timing};
use crate::http::body::{Charge, Received, charged};
use crate::http::classify::Admitted;
use crate::http::code::Code;
use crate::http::context::RequestContext;
use crate::http::media;
use crate::http::problem::Problem;
use crate::http::upload::read_body;
use crate::model::Prediction;

const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// JSON up to here is read at once; longer is work for the decoding threads.
const SHORT: usize = 16 << 10;

pub(super) async fn infer(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    path: ModelPath,
    request: Request,
) -> Result<Response, Problem> {
    let ticket = api.service.accept(None)?;
    let mut admitted = Admitted::new(&api, &context, ticket, Some(&path.model))?;
    let (parts, body) = request.into_parts();
    let header_length = header_length(&parts.headers)?;
    let Received { bytes, charge } = read_body(&api, &admitted, body).await?;
    let charge = Arc::new(charge);
    let body = charged(bytes.into(), &charge);

    let header = query::header(&body, header_length)?;
    let mut query = match header {
        None => Query::raw(body),
        Some(header) => parse(&api, &admitted, header, body).await?,
    };
    if let Some(patience) = query.patience {
        admitted.ticket.limit(patience);
    }
    // Taken out, so that the body is gone once it has been read.
    let source = std::mem::replace(&mut query.source, Source::Raw(Bytes::new()));
    let input = decode(&api, &admitted, (source, query.layout), charge).await?;
    let (predictions, timings) = run(&api, &context, &admitted, input).await?;
    let answer = Answer { query: &query, admitted: &admitted, predictions: &predictions };
    let timing = [(SERVER_TIMING, server_timing(timings, &admitted.ticket))];
    Ok((timing, answer.response()?).into_response())
}

fn header_length(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
        let detail = format!("the body must not be compressed; it is {encoding:?}");
        return Err(Problem::new(Code::UnsupportedEncoding, detail));
    }
    // What is not ASCII is no number, which is said where the body's length is known.
    Ok(headers.get(HEADER_LENGTH).map(|length| length.to_str().unwrap_or("not ASCII")))
}

async fn parse(
    api: &Api,
    Admitted { ticket, model }: &Admitted,
    header: Bytes,
    body: Bytes,
) -> Result<Query, Problem> {
    let most = api.config.max_batch_images;
    let binary = body.slice(header.len()..);
    if header.len() <= SHORT {
        return Ok(Query::parse(&header, binary, Accepted { spec: &model.info.input, most })?);
    }
    let model = Arc::clone(model);
    let parse = move || Query::parse(&header, binary, Accepted { spec: &model.info.input, most });
    Ok(api.service.off_runtime(ticket, parse).await??)
}

async fn decode(
    api: &Api,
    admitted: &Admitted,
    (source, layout): (Source, super::input::Layout),
    charge: Arc<Charge>,
) -> Result<Input, Problem> {
    // Pictures that come as they are need no more than to be told apart.
    let at_once = match &source {
        Source::Raw(_) => true,
        Source::Binary(data) => layout.datatype == Datatype::Bytes || data.len() <= SHORT,
        Source::Json(json) => json.len() <= SHORT,
    };
    let budget = api.service.budget().clone();
    let decode = move || query::decode(source, layout, &budget, &charge);
    let input =
        if at_once { decode() } else { api.service.off_runtime(&admitted.ticket, decode).await? };
    input.map_err(|error| error.problem(api, admitted))
}

/// What is answered, before it has a form.
struct Answer<'a> {
    query: &'a Query,
    admitted: &'a Admitted,
    predictions: &'a [Prediction],
}

#[derive(Debug, Serialize)]
struct Header<'a> {
    model_name: &'a str,
    model_version: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    outputs: Vec<OutputHeader<'a>>,
}

#[derive(Debug, Serialize)]
struct OutputHeader<'a> {
    name: &'static str,
    datatype: Datatype,
    shape: [usize; 2],
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Content<'a> {
    Data(Values<'a>),
    Parameters { binary_data_size: usize },
}

impl Answer<'_> {
    fn response(&self) -> Result<Response, Problem> {
        let labels = &self.admitted.model.info.labels;
        let mut binary = Vec::new();
        let mut outputs = Vec::with_capacity(self.query.outputs.len());
        for (wanted, as_binary) in &self.query.outputs {
            let tensor = wanted.tensor(labels, self.predictions, self.query.top_k);
            let (name, datatype, shape) = (tensor.name, tensor.datatype(), tensor.shape);
            let content = if *as_binary {
                let bytes = tensor.to_bytes();
                binary.extend_from_slice(&bytes);
                Content::Parameters { binary_data_size: bytes.len() }
            } else {
                Content::Data(tensor.values)
            };
            outputs.push(OutputHeader { name, datatype, shape, content });
        }
        let header = Header {
            model_name: &self.admitted.model.info.name,
            model_version: VERSION,
            id: &self.query.id,
            outputs,
        };
        if !self.query.outputs.iter().any(|(_, binary)| *binary) {
            return Ok(Json(header).into_response());
        }
        let mut body =
            serde_json::to_vec(&header).map_err(|error| Problem::internal(&error.to_string()))?;
        let length = HeaderValue::from(body.len());
        body.append(&mut binary);
        let kind = HeaderValue::from_static(media::BINARY);
        Ok(([(HEADER_LENGTH, length), (header::CONTENT_TYPE, kind)], body).into_response())
    }
}
