//! `POST /explain`, and what `explain=true` adds to other answers: where the network saw a class.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{ImageInfo, SERVER_TIMING, server_timing, warnings};
use super::classify::{Admitted, admit};
use super::code::Code;
use super::context::RequestContext;
use super::openapi::Problems;
use super::params::{ExplainParams, Params};
use super::problem::Problem;
use super::upload::{Shape, Upload, UploadError, receive};
use super::{Api, json, media};
use crate::explain::{self, DEFAULT_THRESHOLD, Evidence, Found, PixelBox};
use crate::preprocess::{Region, Warning};
use crate::service::{Classification, ModelInfo, Picture, View, ranking};

/// Where the network saw a class.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    label: String,
    /// The class's place among the model's labels, from 0.
    index: usize,
    #[schema(minimum = 0, maximum = 1)]
    probability: f32,
    map: ClassMap,
    /// Of the strongest connected region; `null` if nothing in the picture speaks for the class.
    #[serde(rename = "box")]
    bounds: Option<PixelBox>,
    /// Share of the strongest evidence from which on a point belongs to a region.
    threshold: f32,
    /// The strongest region as a `data:` URL of a PNG: the whole picture, scaled to at most 512
    /// pixels on its longer side, white in the region and black elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
}

/// The class confidence map, row by row.
#[derive(Debug, Serialize, ToSchema)]
struct ClassMap {
    /// Cells along each axis.
    width: usize,
    height: usize,
    /// What the network put out at each cell. Their mean is the class's logit or, for networks
    /// with the softmax before the pooling, its probability.
    values: Vec<f32>,
    /// What speaks for the class at each cell, 0 to 1: how far the value is above the mean of all
    /// classes there, over the largest of these.
    strengths: Vec<f32>,
    /// What the cells cover, each its share.
    area: Region,
    /// What the network was shown of the picture. Nothing is known of the rest.
    shown: Region,
}

/// What the network says of a picture, and where it saw that.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "model": "nin-mnist",
    "label": "7",
    "index": 7,
    "probability": 0.9987,
    "map": {
        "width": 2,
        "height": 2,
        "values": [0.99, 1.0, 0.98, 1.0],
        "strengths": [0.9889, 1.0, 0.9778, 1.0],
        "area": {"x": 12.0, "y": 12.0, "width": 96.0, "height": 96.0},
        "shown": {"x": 0.0, "y": 0.0, "width": 120.0, "height": 120.0}
    },
    "box": {"x": 14, "y": 10, "width": 88, "height": 92},
    "threshold": 0.2,
    "image": {"format": "png", "width": 120, "height": 120},
    "warnings": ["inverted"]
})))]
struct ExplainAnswer<'a> {
    model: &'a str,
    #[serde(flatten)]
    explanation: Explanation,
    image: ImageInfo,
    /// What was done to the picture that its sender may not expect.
    warnings: Vec<Warning>,
}

/// Show where the network saw a class
///
/// A class confidence map, enlarged to the picture, with the box of its strongest region: weakly
/// supervised detection and segmentation, and coarse. With `Accept: image/png` the answer is the
/// heat map laid over the picture, or with `mask=true` the mask alone.
#[utoipa::path(
    post,
    path = "/explain",
    tag = "classification",
    params(ExplainParams),
    request_body(content(
        ("image/*"),
        ("application/octet-stream"),
        (super::openapi::OneFile = "multipart/form-data"),
        (json::OneImage = "application/json"),
    )),
    responses(
        (status = 200, description = "Where the network saw the class",
            content((ExplainAnswer = "application/json"), (super::openapi::File = "image/png")),
            headers(("server-timing" = String,
                description = "`decode`, `queue`, `inference` and `total`, in milliseconds"))),
        Problems,
    )
)]
pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Params(params): Params<ExplainParams>,
    request: Request,
) -> Result<Response, Problem> {
    let question = Question::of(&params)?;
    let as_png = media::prefers_png(request.headers());
    let admitted = admit(&api, &context, params.model.as_deref(), params.patience())?;
    let Admitted { ticket, model } = &admitted;
    let class = params.class.as_deref().map(|class| find_class(&model.info, class)).transpose()?;
    let question = Question { class, ..question };
    let uploads = receive(&api, &admitted, Shape::One, request).await?;
    context.record(|work| work.pictures = uploads.len());
    let upload = uploads.into_iter().next();
    let Upload { declared, bytes, .. } = upload.ok_or(UploadError::EmptyBody)?;
    let bytes = bytes?;
    let picture = Picture { bytes: bytes.clone(), maps: true };
    let classification = api.service.classify(ticket, model, picture).await?;
    let timings = classification.timings;
    context.record(|work| {
        work.batch_size = Some(classification.batch_size);
        work.timings = Some(timings);
    });
    let timing = || [(SERVER_TIMING, server_timing(timings, ticket))];
    let sight = Sight::of(&model.info, &classification, question)?;
    if as_png {
        let size = explain::within(sight.picture, explain::LONGEST_SIDE);
        let view = View { bytes, header: classification.header, size };
        let png = picture_of(&api, &admitted, sight, view).await?;
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
        return Ok((kind, timing(), png).into_response());
    }
    let served = Arc::clone(model);
    let image = ImageInfo::of(&classification.header);
    let warnings = warnings(&classification, declared.as_deref());
    let explained = move || sight.explanation(&served.info);
    let explanation = api.service.off_runtime(ticket, explained).await?;
    let answer = ExplainAnswer { model: &model.info.name, explanation, image, warnings };
    Ok((timing(), Json(answer)).into_response())
}

/// What is to be explained, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// None: each picture's best class.
    class: Option<usize>,
    threshold: f32,
    mask: bool,
}

impl Default for Question {
    fn default() -> Self {
        Self { class: None, threshold: DEFAULT_THRESHOLD, mask: false }
    }
}

impl Question {
    fn of(params: &ExplainParams) -> Result<Self, Problem> {
        let threshold = params.threshold.unwrap_or(DEFAULT_THRESHOLD);
        if !(threshold > 0.0 && threshold <= 1.0) {
            let detail = format!("threshold: must be above 0 and at most 1, not {threshold}");
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        Ok(Self { class: None, threshold, mask: params.mask })
    }
}

/// A class by its label or, if there is no such label, by its index.
fn find_class(model: &ModelInfo, class: &str) -> Result<usize, Problem> {
    let by_label = model.labels.iter().position(|label| label == class);
    let by_index = || class.parse().ok().filter(|&index| index < model.labels.len());
    by_label.or_else(by_index).ok_or_else(|| {
        let detail = format!(
            "class: {class:?} is neither a label of {:?} nor an index below {}",
            model.name,
            model.labels.len()
        );
        Problem::new(Code::InvalidParameter, detail)
    })
}

/// Finds the regions and draws the masks, on a decoding thread.
pub(super) async fn explanations(
    api: &Api,
    Admitted { ticket, model }: &Admitted,
    sights: Vec<Sight>,
) -> Result<Vec<Explanation>, Problem> {
    if sights.is_empty() {
        return Ok(Vec::new());
    }
    let model = Arc::clone(model);
    let explain = move || sights.into_iter().map(|sight| sight.explanation(&model.info)).collect();
    Ok(api.service.off_runtime(ticket, explain).await?)
}

/// The answer as PNG: the mask if it is asked for, else the heat map over the picture.
async fn picture_of(
    api: &Api,
    Admitted { ticket, model }: &Admitted,
    sight: Sight,
    view: View,
) -> Result<Vec<u8>, Problem> {
    if sight.question.mask {
        return Ok(api.service.off_runtime(ticket, move || sight.mask(sight.found())).await?);
    }
    let paint = move |mut view: RgbImage| {
        explain::overlay(&mut view, sight.picture, &sight.evidence);
        explain::png(view)
    };
    Ok(api.service.view(ticket, model, view, paint).await?)
}

/// A class as the network saw it in a picture.
pub(super) struct Sight {
    class: usize,
    probability: f32,
    evidence: Evidence,
    /// Size of the picture, (width, height).
    picture: (u32, u32),
    question: Question,
}

impl Sight {
    /// The picture must have been classified with maps.
    pub(super) fn of(
        model: &ModelInfo,
        classification: &Classification,
        question: Question,
    ) -> Result<Self, Problem> {
        let prediction = &classification.prediction;
        let best = || ranking(&prediction.probabilities, None).first().map(|&(class, _)| class);
        let (Some(maps), Some(class)) = (&prediction.maps, question.class.or_else(best)) else {
            return Err(Problem::internal("the network gave no class confidence maps"));
        };
        let header = &classification.header;
        Ok(Self {
            class,
            probability: prediction.probabilities[class],
            evidence: Evidence::new(class, maps, classification.region, &model.input),
            picture: (header.width, header.height),
            question,
        })
    }

    fn found(&self) -> Option<Found> {
        explain::strongest(&self.evidence, self.picture, self.question.threshold)
    }

    /// As PNG.
    fn mask(&self, found: Option<Found>) -> Vec<u8> {
        explain::png(found.map_or_else(|| explain::no_region(self.picture), |found| found.mask))
    }

    fn explanation(self, model: &ModelInfo) -> Explanation {
        let found = self.found();
        let bounds = found.as_ref().map(|found| found.bounds);
        let mask = self
            .question
            .mask
            .then(|| format!("data:image/png;base64,{}", BASE64_STANDARD.encode(self.mask(found))));
        let Evidence { width, height, values, strengths, area, shown } = self.evidence;
        Explanation {
            label: model.labels[self.class].clone(),
            index: self.class,
            probability: self.probability,
            map: ClassMap { width, height, values, strengths, area, shown },
            bounds,
            threshold: self.question.threshold,
            mask,
        }
    }
}
