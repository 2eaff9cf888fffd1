//! `POST /classify`: one picture.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::context::RequestContext;
use super::params::{ClassifyParams, Params};
use super::problem::{Problem, ProblemBody};
use super::upload::{Shape, Upload, UploadError, receive};
use super::{Api, json, media};
use crate::preprocess::{Format, Warning};
use crate::service::{Classification, Picture, ServedModel, Ticket, Timings, ranking};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What the network says of a picture.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "model": "nin-cifar10",
    "predictions": [
        {"label": "cat", "index": 3, "probability": 0.9312},
        {"label": "dog", "index": 5, "probability": 0.0521}
    ],
    "image": {"format": "jpeg", "width": 1024, "height": 768},
    "warnings": []
})))]
pub(super) struct ClassifyAnswer {
    model: String,
    #[serde(flatten)]
    finding: Finding,
}

/// What was found in a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Finding {
    /// By probability, the highest first. Over all classes they sum to 1.
    predictions: Vec<ClassProbability>,
    image: ImageInfo,
    /// What was done to the picture that its sender may not expect.
    #[schema(value_type = Vec<String>)]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClassProbability {
    label: String,
    /// The class's place among the model's labels, from 0.
    index: usize,
    #[schema(minimum = 0, maximum = 1)]
    probability: f32,
}

/// The picture as it was understood.
#[derive(Debug, Serialize, ToSchema)]
struct ImageInfo {
    #[schema(value_type = String)]
    format: Format,
    /// Pixels, after EXIF orientation.
    width: u32,
    /// Pixels, after EXIF orientation.
    height: u32,
}

impl Finding {
    pub(super) fn new(
        model: &ServedModel,
        classification: &Classification,
        (declared, params): (Option<&str>, &ClassifyParams),
    ) -> Self {
        let ranking = ranking(&classification.prediction.probabilities, params.top_k);
        let predictions = ranking.into_iter().map(|(index, probability)| ClassProbability {
            label: model.info.labels[index].clone(),
            index,
            probability,
        });
        let header = &classification.header;
        let mut warnings = classification.warnings.clone();
        if media::contradicts(declared, header.format) {
            warnings.push(Warning::ContentTypeMismatch);
        }
        Self {
            predictions: predictions.collect(),
            image: ImageInfo { format: header.format, width: header.width, height: header.height },
            warnings,
        }
    }
}

/// Classify one picture
///
/// The picture is the body itself, the one file part of a form, or base64 in JSON. What it is, is
/// judged by its content; a declared type that differs only gives a warning.
#[utoipa::path(
    post,
    path = "/classify",
    tag = "classification",
    params(ClassifyParams),
    request_body(content(
        ("image/*"),
        ("application/octet-stream"),
        (super::openapi::OneFile = "multipart/form-data"),
        (json::OneImage = "application/json"),
    )),
    responses(
        (status = 200, description = "What the network says", body = ClassifyAnswer,
            headers(("Server-Timing" = String,
                description = "`decode`, `queue`, `inference` and `total`, in milliseconds"))),
        (status = "4XX", description = "`empty-body`, `missing-image`, `too-many-images`, \
            `invalid-base64`, `invalid-json`, `invalid-multipart`, `invalid-parameter`, \
            `incomplete-body` (400); `unknown-model` (404); `request-timeout` (408); \
            `body-too-large`, `image-too-large` (413); `unsupported-image` (415); \
            `corrupt-image` (422)",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "`inference-failed`, `internal-error` (500); \
            `overloaded` with `Retry-After`, `shutting-down` (503); `deadline-exceeded` (504)",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn classify(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Params(params): Params<ClassifyParams>,
    request: Request,
) -> Result<Response, Problem> {
    let (ticket, model) = admit(&api, &context, &params)?;
    let uploads = receive(&api, (&ticket, &model), Shape::One, request).await?;
    context.record(|work| work.pictures = uploads.len());
    let upload = uploads.into_iter().next();
    let Upload { declared, bytes, .. } = upload.ok_or_else(|| UploadError::EmptyBody)?;
    let picture = Picture { bytes: bytes?, maps: false };
    let classification = api.service.classify(&ticket, &model, picture).await?;
    let timings = classification.timings;
    context.record(|work| {
        work.batch_size = Some(classification.batch_size);
        work.timings = Some(timings);
    });
    let finding = Finding::new(&model, &classification, (declared.as_deref(), &params));
    let answer = ClassifyAnswer { model: model.info.name.clone(), finding };
    Ok(([(SERVER_TIMING, server_timing(timings, &ticket))], Json(answer)).into_response())
}

/// Lets the request in, unless its model is not there or the service shuts down.
pub(super) fn admit(
    api: &Api,
    context: &RequestContext,
    params: &ClassifyParams,
) -> Result<(Ticket, Arc<ServedModel>), Problem> {
    let ticket = api.service.accept(params.patience())?;
    let models = api.service.models().current();
    let model = Arc::clone(models.get(params.model.as_deref())?);
    context.record(|work| work.model = Some(model.info.name.clone()));
    Ok((ticket, model))
}

/// The value of `Server-Timing`, with what has passed since the arrival as `total`.
pub(super) fn server_timing(timings: Timings, ticket: &Ticket) -> HeaderValue {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let value = format!(
        "decode;dur={:.3}, queue;dur={:.3}, inference;dur={:.3}, total;dur={:.3}",
        milliseconds(timings.decode),
        milliseconds(timings.queue),
        milliseconds(timings.inference),
        milliseconds(ticket.arrived().elapsed()),
    );
    HeaderValue::from_str(&value).expect("names, digits and separators are visible ASCII")
}
