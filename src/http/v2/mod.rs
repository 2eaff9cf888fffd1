//! The Open Inference Protocol, version 2, over REST, as Triton and KServe speak it.
//!
//! <https://github.com/kserve/open-inference-protocol>, with Triton's extensions: binary tensor
//! data, classification, statistics, model repository.
//!
//! A model takes one of two inputs and gives up to three outputs:
//!
//! | tensor | datatype, shape | |
//! | --- | --- | --- |
//! | `image` | BYTES `[N]` or `[N, 1]` | encoded pictures: base64 in JSON, the file itself in binary |
//! | `pixels` | FP32 `[N, C, H, W]` | prepared and normalised: straight into the network |
//! | `pixels` | UINT8 `[N, H, W, C]` | prepared, 0 to 255, channels in the network's order; normalised here |
//! | `probabilities` | FP32 `[N, K]` | in the order of the classes |
//! | `labels` | BYTES `[N, K']` | the best first; `K'` is the parameter `top_k` of the request, else `K` |
//! | `logits` | FP32 `[N, K]` | only if asked for; of networks that average distributions the logarithm of the probabilities |
//!
//! A request is answered as a whole: the first picture that can't be classified is its error.
//! `pixels` and pictures go through the same queue as everything else.

mod bounded;
mod error;
mod infer;
mod input;
pub(crate) mod metadata;
mod output;
mod query;
mod run;
mod scalars;
mod tensor;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::routing::{get, post};
use serde::Deserialize;

pub(crate) use bounded::First;
pub(crate) use error::TensorError;
pub(crate) use input::{Accepted, Input, InputError, Layout};
pub(crate) use output::Wanted;
pub(crate) use run::run;
pub(crate) use tensor::Datatype;

use super::Api;
use super::code::Code;
use super::problem::Problem;

pub const LIVE: &str = "/v2/health/live";
pub const READY: &str = "/v2/health/ready";

/// Models have one version at a time.
pub(crate) const VERSION: &str = "1";

pub(super) fn routes() -> Router<Arc<Api>> {
    let mut routes = Router::new()
        .route("/v2", get(metadata::server))
        .route(LIVE, get(metadata::live))
        .route(READY, get(metadata::ready))
        .route("/v2/models/stats", get(metadata::all_statistics));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        routes = routes
            .route(model, get(metadata::model))
            .route(&format!("{model}/ready"), get(metadata::model_ready))
            .route(&format!("{model}/stats"), get(metadata::statistics))
            .route(&format!("{model}/infer"), post(infer::infer));
    }
    routes
}

/// A model in a path, of the version that there is.
#[derive(Debug, Deserialize)]
pub(super) struct ModelPath {
    pub(super) model: String,
    version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(path) = Path::<Self>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::NotFound, error.body_text()))?;
        check_version(&path.model, path.version.as_deref().unwrap_or_default())?;
        Ok(path)
    }
}

/// An empty version is any.
pub(crate) fn check_version(model: &str, version: &str) -> Result<(), Problem> {
    if matches!(version, "" | VERSION) {
        return Ok(());
    }
    let detail =
        format!("there is no version {version:?} of model {model:?}; there is {VERSION:?}");
    Err(Problem::new(Code::UnknownModel, detail))
}
