//! What is said of a picture.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::media;
use crate::preprocess::{Format, Warning};
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
struct ImageInfo {
    format: Format,
    /// Pixels, after EXIF orientation.
    width: u32,
    /// Pixels, after EXIF orientation.
    height: u32,
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
