//! `GET /models` and `GET /models/{name}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::code::Code;
use super::problem::{Problem, ProblemBody};
use crate::service::ModelInfo;

/// The models that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    /// Answers requests that name no model.
    default: String,
    /// In the order of their names.
    models: Vec<ModelInfo>,
}

/// List the models
#[utoipa::path(get, path = "/models", tag = "models", responses(
    (status = 200, description = "All models", body = ModelList)
))]
pub(super) async fn models(State(api): State<Arc<Api>>) -> Json<ModelList> {
    let set = api.service.models().current();
    let models = set.iter().map(|model| model.info.clone()).collect();
    Json(ModelList { default: set.default_name().to_owned(), models })
}

/// Describe one model
#[utoipa::path(
    get, path = "/models/{name}", tag = "models",
    params(("name" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "The model", body = ModelInfo),
        (status = 404, description = "`unknown-model`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn model(
    State(api): State<Arc<Api>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelInfo>, Problem> {
    let Path(name) = name.map_err(|error| Problem::new(Code::NotFound, error.body_text()))?;
    let set = api.service.models().current();
    Ok(Json(set.get(Some(&name))?.info.clone()))
}
