//! KServe's first protocol, `/v1`: pictures as base64 in JSON instances.
//!
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol>

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{SERVER_TIMING, server_timing};
use super::body::{Received, charged};
use super::classify::Admitted;
use super::code::Code;
use super::context::RequestContext;
use super::problem::Problem;
use super::upload::{UploadError, read_body};
use super::v2::{First, Input, run};
use super::{Api, json};
use crate::model::Prediction;
use crate::service::{ModelInfo, ranking};

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model).post(predict))
}

async fn models(State(api): State<Arc<Api>>) -> Json<Value> {
    let models = api.service.models().current();
    let names: Vec<_> = models.iter().map(|model| model.info.name.clone()).collect();
    Json(json!({"models": names}))
}

fn segment(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(segment) = path.map_err(|error| Problem::new(Code::NotFound, error.body_text()))?;
    Ok(segment)
}

async fn model(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = segment(path)?;
    let models = api.service.models().current();
    if let Some(unready) = models.get(Some(&name))?.unready() {
        return Err(Problem::new(Code::NotReady, unready.to_string()));
    }
    Ok(Json(json!({"name": name, "ready": true})).into_response())
}

/// `POST /v1/models/{model}:predict`.
async fn predict(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let segment = segment(path)?;
    let Some((name, "predict")) = segment.rsplit_once(':') else {
        let detail = format!("there is nothing to post to at {:?}", context.path());
        return Err(Problem::new(Code::NotFound, detail));
    };
    let ticket = api.service.accept(None)?;
    let admitted = Admitted::new(&api, &context, ticket, Some(name))?;
    let Received { bytes, charge } = read_body(&api, &admitted, request.into_body()).await?;
    let most = api.config.max_batch_images;
    let parse = move || {
        let charge = Arc::new(charge);
        let bind = |bytes: Vec<u8>| charged(bytes.into(), &charge);
        let pictures = parse(&bytes, most)?;
        Ok::<_, UploadError>(pictures.into_iter().map(bind).collect::<Vec<Bytes>>())
    };
    let pictures = api.service.off_runtime(&admitted.ticket, parse).await??;
    let input = Input::Pictures(pictures);
    let (predictions, timings) = run(&api, &context, &admitted, input).await?;
    let info = &admitted.model.info;
    let predictions = predictions.iter().map(|found| Found::new(info, found)).collect();
    let timing = [(SERVER_TIMING, server_timing(timings, &admitted.ticket))];
    Ok((timing, Json(Answer { predictions })).into_response())
}

/// What is said of a picture.
#[derive(Debug, Serialize)]
struct Found<'a> {
    /// Of the best class.
    label: &'a str,
    index: usize,
    probability: f32,
    /// In the order of the classes.
    probabilities: &'a [f32],
}

impl<'a> Found<'a> {
    fn new(info: &'a ModelInfo, prediction: &'a Prediction) -> Self {
        let best = ranking(&prediction.probabilities, Some(NonZeroUsize::MIN));
        // A network has two classes at least.
        let (index, probability) = best.first().copied().unwrap_or_default();
        let probabilities = &prediction.probabilities;
        Self { label: &info.labels[index], index, probability, probabilities }
    }
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    predictions: Vec<Found<'a>>,
}

/// More instances than these are not even kept to be counted.
const MOST: usize = 1 << 16;

/// Other fields, such as `signature_name`, are passed over.
#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    instances: Option<First<Instance<'a>, MOST>>,
}

/// One of the forms in which clients write a picture.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Instance<'a> {
    #[serde(borrow)]
    B64(Cow<'a, str>),
    #[serde(borrow)]
    Data(Cow<'a, str>),
    /// TensorFlow Serving's clients say `image_bytes`.
    #[serde(borrow, alias = "image_bytes")]
    Image(Base64<'a>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64<'a> {
    #[serde(borrow)]
    b64: Cow<'a, str>,
}

fn parse(body: &[u8], most: usize) -> Result<Vec<Vec<u8>>, UploadError> {
    let body: Body<'_> =
        serde_json::from_slice(body).map_err(|error| UploadError::Json(error.to_string()))?;
    let missing = |what: &str| UploadError::MissingImage(what.to_owned());
    let instances = body.instances.ok_or_else(|| missing("the JSON has no \"instances\""))?;
    let limit = most.min(MOST);
    if instances.count > limit {
        return Err(UploadError::TooManyImages { limit });
    }
    if instances.count == 0 {
        return Err(missing("there are no instances"));
    }
    let decode = |(index, instance): (usize, &Instance<'_>)| {
        let (Instance::B64(text) | Instance::Data(text) | Instance::Image(Base64 { b64: text })) =
            instance;
        let decoded = json::picture(text);
        decoded
            .map(|(_, bytes)| bytes)
            .map_err(|reason| UploadError::Base64 { place: format!("instances[{index}]"), reason })
    };
    instances.elements.iter().enumerate().map(decode).collect()
}
