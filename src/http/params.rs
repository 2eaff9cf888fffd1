//! Parameters in the URL, read strictly: a name that is not known is an error, as a misspelt one
//! would be ignored otherwise.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::code::Code;
use super::problem::Problem;

/// How to classify.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClassifyParams {
    /// The model that answers; without it, the default one does.
    pub(super) model: Option<String>,
    /// How many classes to name, the best first; all if there are fewer, or without it.
    #[param(value_type = Option<u32>, minimum = 1)]
    pub(super) top_k: Option<NonZeroUsize>,
    /// Milliseconds that the client will wait, from the arrival of the request. The service's own
    /// timeout bounds it.
    #[param(value_type = Option<u64>, minimum = 1)]
    timeout_ms: Option<NonZeroU64>,
    /// Whether to add where the network saw the best class, as `/explain` tells it.
    #[serde(default)]
    #[param(required = false)]
    pub(super) explain: bool,
}

/// What to explain, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainParams {
    /// The model that answers; without it, the default one does.
    pub(super) model: Option<String>,
    /// The label of the class to explain, or its index; without it, the best one.
    pub(super) class: Option<String>,
    /// Share of the strongest evidence from which on a point belongs to a region, above 0;
    /// without it 0.2.
    #[param(exclusive_minimum = 0, maximum = 1)]
    pub(super) threshold: Option<f32>,
    /// Whether to send a mask of the strongest region: a coarse segmentation.
    #[serde(default)]
    #[param(required = false)]
    pub(super) mask: bool,
    /// Milliseconds that the client will wait, from the arrival of the request. The service's own
    /// timeout bounds it.
    #[param(value_type = Option<u64>, minimum = 1)]
    timeout_ms: Option<NonZeroU64>,
}

impl ClassifyParams {
    pub(super) fn patience(&self) -> Option<Duration> {
        self.timeout_ms.map(milliseconds)
    }
}

impl ExplainParams {
    pub(super) fn patience(&self) -> Option<Duration> {
        self.timeout_ms.map(milliseconds)
    }
}

fn milliseconds(count: NonZeroU64) -> Duration {
    Duration::from_millis(count.get())
}

/// The query string as a `T`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            // Its source says what is wrong with which parameter, and no more.
            let source = std::error::Error::source(&rejection);
            let detail = source.map_or_else(|| rejection.body_text(), ToString::to_string);
            Problem::new(Code::InvalidParameter, detail)
        })?;
        Ok(Self(params))
    }
}
