//! `POST /classify/batch`: several pictures in one request, each with an answer of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Finding, SERVER_TIMING, server_timing};
use super::classify::{Admitted, admit};
use super::context::RequestContext;
use super::explain::{Explanation, Question, Sight, explanations};
use super::openapi::Problems;
use super::params::{ClassifyParams, Params};
use super::problem::{Problem, ProblemBody};
use super::upload::{Shape, Upload, UploadError, receive};
use super::{Api, json};
use crate::service::{Classification, Picture, ServiceError, Timings};

/// One result per picture, in the order of the pictures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "model": "nin-mnist",
    "results": [
        {
            "name": "seven.png",
            "status": 200,
            "predictions": [{"label": "7", "index": 7, "probability": 0.9987}],
            "image": {"format": "png", "width": 120, "height": 160},
            "warnings": ["inverted"]
        },
        {
            "name": "notes.txt",
            "status": 415,
            "error": {
                "type": "urn:nin-serve:problem:unsupported-image",
                "title": "Not a picture in a supported format",
                "status": 415,
                "detail": "the content is not a picture in a supported format",
                "instance": "/classify/batch",
                "code": "unsupported-image",
                "request_id": "01983a2e-8f0b-7c3e-9a51-3f1f0c5c2d7e"
            }
        }
    ]
})))]
struct BatchAnswer<'a> {
    model: &'a str,
    results: Vec<BatchResult<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct BatchResult<'a> {
    /// File name or field name of the part, or the picture's place in the JSON.
    name: String,
    /// What `/classify` would answer for this picture alone.
    status: u16,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Outcome<'a> {
    Found(Finding<'a>),
    Failed { error: ProblemBody },
}

/// Classify several pictures
///
/// A picture that can't be classified never spoils its neighbours: its result holds the problem.
#[utoipa::path(
    post,
    path = "/classify/batch",
    tag = "classification",
    params(ClassifyParams),
    request_body(content(
        (super::openapi::ManyFiles = "multipart/form-data"),
        (json::ManyImages = "application/json"),
    )),
    responses(
        (status = 200, description = "One result per picture", body = BatchAnswer),
        Problems,
    )
)]
pub(super) async fn classify_batch(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Params(params): Params<ClassifyParams>,
    request: Request,
) -> Result<Response, Problem> {
    let admitted = admit(&api, &context, params.model.as_deref(), params.patience())?;
    let Admitted { ticket, model } = &admitted;
    let shape = Shape::Many(api.config.max_batch_images);
    let uploads = receive(&api, &admitted, shape, request).await?;
    context.record(|work| work.pictures = uploads.len());

    let (senders, classified) = classify_readable(&api, &admitted, uploads, params.explain).await;
    let timings = record(&context, &classified);
    let explanations = explain_all(&api, &admitted, &classified, params.explain).await?;
    let mut explanations = explanations.into_iter();

    let mut classified = classified.into_iter();
    let results = senders.into_iter().map(|Sender { name, declared, unreadable }| {
        let outcome = match unreadable {
            Some(error) => Err(error.into()),
            None => match classified.next() {
                Some(outcome) => outcome.map_err(Problem::from),
                None => Err(Problem::internal("fewer answers than pictures")),
            },
        };
        let (status, outcome) = match outcome {
            Ok(classification) => {
                let declared = declared.as_deref();
                let finding = Finding::new(model, &classification, declared, params.top_k);
                (StatusCode::OK, Outcome::Found(finding.explained(explanations.next())))
            }
            Err(problem) => {
                (problem.code().status(), Outcome::Failed { error: problem.body(&context) })
            }
        };
        BatchResult { name, status: status.as_u16(), outcome }
    });
    let answer = BatchAnswer { model: &model.info.name, results: results.collect() };
    Ok(([(SERVER_TIMING, server_timing(timings, ticket))], Json(answer)).into_response())
}

/// An upload without its bytes.
struct Sender {
    name: String,
    declared: Option<String>,
    unreadable: Option<UploadError>,
}

/// Classifies the uploads that could be read; the answers are in their order.
async fn classify_readable(
    api: &Api,
    Admitted { ticket, model }: &Admitted,
    uploads: Vec<Upload>,
    maps: bool,
) -> (Vec<Sender>, Vec<Result<Classification, ServiceError>>) {
    let mut pictures = Vec::with_capacity(uploads.len());
    let senders = uploads.into_iter().map(|Upload { name, declared, bytes }| {
        let unreadable = bytes.map(|bytes| pictures.push(Picture { bytes, maps })).err();
        Sender { name, declared, unreadable }
    });
    let senders = senders.collect();
    (senders, api.service.classify_all(ticket, model, pictures).await)
}

/// Explains the best classes of what was classified with maps, if that is `wanted`.
async fn explain_all(
    api: &Api,
    admitted: &Admitted,
    classified: &[Result<Classification, ServiceError>],
    wanted: bool,
) -> Result<Vec<Explanation>, Problem> {
    let found = classified.iter().flatten().filter(|_| wanted);
    let model = &admitted.model.info;
    let sights = found.map(|found| Sight::of(model, found, Question::default()));
    let sights = sights.collect::<Result<_, _>>()?;
    explanations(api, admitted, sights).await
}

/// Puts the work into the request's record, and gives the longest times.
fn record(
    context: &RequestContext,
    classified: &[Result<Classification, ServiceError>],
) -> Timings {
    let found = || classified.iter().flatten();
    let longest = |time: fn(&Timings) -> Duration| {
        found().map(|classification| time(&classification.timings)).max().unwrap_or_default()
    };
    let timings = Timings {
        decode: longest(|timings| timings.decode),
        queue: longest(|timings| timings.queue),
        inference: longest(|timings| timings.inference),
    };
    context.record(|work| {
        work.batch_size = found().map(|classification| classification.batch_size).max();
        work.timings = work.batch_size.map(|_| timings);
    });
    timings
}
