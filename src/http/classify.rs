//! `POST /classify`: one picture.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Finding, SERVER_TIMING, server_timing};
use super::context::RequestContext;
use super::explain::{Question, Sight, explanations};
use super::openapi::Problems;
use super::params::{ClassifyParams, Params};
use super::problem::Problem;
use super::upload::{Shape, Upload, UploadError, receive};
use super::{Api, json};
use crate::service::{Picture, ServedModel, Ticket};

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
struct ClassifyAnswer<'a> {
    model: &'a str,
    #[serde(flatten)]
    finding: Finding<'a>,
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
            headers(("server-timing" = String,
                description = "`decode`, `queue`, `inference` and `total`, in milliseconds"))),
        Problems,
    )
)]
pub(super) async fn classify(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Params(params): Params<ClassifyParams>,
    request: Request,
) -> Result<Response, Problem> {
    let admitted = admit(&api, &context, params.model.as_deref(), params.patience())?;
    let Admitted { ticket, model } = &admitted;
    let uploads = receive(&api, &admitted, Shape::One, request).await?;
    context.record(|work| work.pictures = uploads.len());
    let upload = uploads.into_iter().next();
    let Upload { declared, bytes, .. } = upload.ok_or(UploadError::EmptyBody)?;
    let picture = Picture { bytes: bytes?, maps: params.explain };
    let classification = api.service.classify(ticket, model, picture).await?;
    let timings = classification.timings;
    context.record(|work| {
        work.batch_size = Some(classification.batch_size);
        work.timings = Some(timings);
    });
    let finding = Finding::new(model, &classification, declared.as_deref(), params.top_k);
    let sight =
        params.explain.then(|| Sight::of(&model.info, &classification, Question::default()));
    let sights = sight.transpose()?.into_iter().collect();
    let finding = finding.explained(explanations(&api, &admitted, sights).await?.pop());
    let answer = ClassifyAnswer { model: &model.info.name, finding };
    Ok(([(SERVER_TIMING, server_timing(timings, ticket))], Json(answer)).into_response())
}

/// A request that was let in, with the model that it asks.
pub(crate) struct Admitted {
    pub(crate) ticket: Ticket,
    pub(crate) model: Arc<ServedModel>,
}

/// Lets the request in, unless its model is not there or the service shuts down. Without a name it
/// asks the default model.
pub(super) fn admit(
    api: &Api,
    context: &RequestContext,
    model: Option<&str>,
    patience: Option<Duration>,
) -> Result<Admitted, Problem> {
    let ticket = api.service.accept(patience)?;
    Admitted::new(api, context, ticket, model)
}

impl Admitted {
    /// Without a name it is the default model that is asked.
    pub(crate) fn new(
        api: &Api,
        context: &RequestContext,
        ticket: Ticket,
        model: Option<&str>,
    ) -> Result<Self, Problem> {
        let models = api.service.models().current();
        let model = Arc::clone(models.get(model)?);
        context.record(|work| work.model = Some(model.info.name.clone()));
        Ok(Self { ticket: ticket.traced(context.trace().clone()), model })
    }
}
