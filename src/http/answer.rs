//! What is said of a picture.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::explain::Explanation;
use super::media;
use crate::preprocess::{Format, Header, Warning};
use crate::service::{Classification, ServedModel, Ticket, Timings, ranking};

pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What was found in a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Finding<'a> {
    /// By probability, the highest first. Over all classes they sum to 1.
    predictions: Vec<ClassProbability<'a>>,
    image: ImageInfo,
    /// What was done to the picture that its sender may not expect.
    warnings: Vec<Warning>,
    /// With `explain=true`: where the network saw the best class.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClassProbability<'a> {
    label: &'a str,
    /// The class's place among the model's labels, from 0.
    index: usize,
    #[schema(minimum = 0, maximum = 1)]
    probability: f32,
}

/// The picture as it was understood.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImageInfo {
    format: Format,
    /// Pixels, after EXIF orientation.
    width: u32,
    /// Pixels, after EXIF orientation.
    height: u32,
}

impl ImageInfo {
    pub(super) fn of(header: &Header) -> Self {
        Self { format: header.format, width: header.width, height: header.height }
    }
}

/// What was done to the picture; `declared` is the media type that its sender gave.
pub(super) fn warnings(classification: &Classification, declared: Option<&str>) -> Vec<Warning> {
    let mut warnings = classification.warnings.clone();
    if media::contradicts(declared, classification.header.format) {
        warnings.push(Warning::ContentTypeMismatch);
    }
    warnings
}

impl<'a> Finding<'a> {
    /// `declared` is the media type that the sender gave.
    pub(super) fn new(
        model: &'a ServedModel,
        classification: &Classification,
        declared: Option<&str>,
        top_k: Option<NonZeroUsize>,
    ) -> Self {
        let ranking = ranking(&classification.prediction.probabilities, top_k);
        // The service has made sure that there is one label per probability.
        let predictions = ranking.into_iter().map(|(index, probability)| ClassProbability {
            label: &model.info.labels[index],
            index,
            probability,
        });
        Self {
            predictions: predictions.collect(),
            image: ImageInfo::of(&classification.header),
            warnings: warnings(classification, declared),
            explanation: None,
        }
    }

    pub(super) fn explained(self, explanation: Option<Explanation>) -> Self {
        Self { explanation, ..self }
    }
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
