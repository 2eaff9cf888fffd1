//! `POST /classify/batch`: several pictures in one request, each with an answer of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::classify::{Finding, admit, server_timing};
use super::context::RequestContext;
use super::params::{ClassifyParams, Params};
use super::problem::{Problem, ProblemBody};
use super::upload::{Shape, Upload, receive};
use super::{Api, json};
use crate::service::{Classification, Picture, ServiceError, Timings};

/// One result per picture, in the order of the pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    model: String,
    results: Vec<BatchResult>,
}

#[derive(Debug, Serialize, ToSchema)]
struct BatchResult {
    /// File name or field name of the part, or the picture's place in the JSON.
    name: String,
    /// What `/classify` would answer for this picture alone.
    status: u16,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Outcome {
    Found(Finding),
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
        (status = "4XX", description = "The request as a whole is wrong: as for one picture, and \
            `too-many-images` (400)",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "As for one picture",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn classify_batch(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Params(params): Params<ClassifyParams>,
    request: Request,
) -> Result<Response, Problem> {
    let (ticket, model) = admit(&api, &context, &params)?;
    let shape = Shape::Many(api.config.max_batch_images);
    let uploads = receive(&api, (&ticket, &model), shape, request).await?;
    context.record(|work| work.pictures = uploads.len());

    let mut pictures = Vec::with_capacity(uploads.len());
    let mut senders = Vec::with_capacity(uploads.len());
    for Upload { name, declared, bytes } in uploads {
        let unread = bytes.map(|bytes| pictures.push(Picture { bytes, maps: false })).err();
        senders.push((name, declared, unread));
    }
    let classified = api.service.classify_all(&ticket, &model, pictures).await;
    let timings = record(&context, &classified);

    let mut classified = classified.into_iter();
    let results = senders.into_iter().map(|(name, declared, unread)| {
        let outcome = match unread {
            Some(error) => Err(Problem::from(error)),
            None => match classified.next() {
                Some(outcome) => outcome.map_err(Problem::from),
                None => Err(Problem::internal("fewer answers than pictures")),
            },
        };
        match outcome {
            Ok(classification) => {
                let asked = (declared.as_deref(), &params);
                let finding = Finding::new(&model, &classification, asked);
                let status = StatusCode::OK.as_u16();
                BatchResult { name, status, outcome: Outcome::Found(finding) }
            }
            Err(problem) => {
                let (status, error) = (problem.code().status().as_u16(), problem.body(&context));
                BatchResult { name, status, outcome: Outcome::Failed { error } }
            }
        }
    });
    let answer = BatchAnswer { model: model.info.name.clone(), results: results.collect() };
    Ok(([("server-timing", server_timing(timings, &ticket))], Json(answer)).into_response())
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
