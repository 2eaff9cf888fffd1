//! What the service and its models are, whether they are ready, and what they have done.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::input::{IMAGE, PIXELS};
use super::output::{LABELS, LOGITS, PROBABILITIES};
use super::tensor::Datatype;
use super::{ModelPath, VERSION};
use crate::http::Api;
use crate::http::health::fresh;
use crate::http::problem::Problem;
use crate::service::{ModelInfo, ServedModel, Total};

pub(crate) const NAME: &str = env!("CARGO_PKG_NAME");
pub(crate) const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");
/// What stands behind a model.
pub(crate) const PLATFORM: &str = "nin-serve_libtorch";
/// Triton's names of what is there beyond the protocol.
pub(crate) const EXTENSIONS: [&str; 4] =
    ["binary_tensor_data", "classification", "model_repository", "statistics"];

/// A tensor that a model takes or gives; -1 is any number.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct TensorMetadata {
    pub(crate) name: &'static str,
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<i64>,
}

/// Either of them is sent. That `pixels` may be UINT8 as well can't be said here.
pub(crate) fn inputs(info: &ModelInfo) -> [TensorMetadata; 2] {
    let spec = &info.input;
    let channels = spec.channels.count() as i64;
    let pixels = vec![-1, channels, i64::from(spec.height), i64::from(spec.width)];
    [
        TensorMetadata { name: IMAGE, datatype: Datatype::Bytes, shape: vec![-1] },
        TensorMetadata { name: PIXELS, datatype: Datatype::Fp32, shape: pixels },
    ]
}

pub(crate) fn outputs(info: &ModelInfo) -> [TensorMetadata; 3] {
    let classes = info.labels.len() as i64;
    let floats = |name| TensorMetadata { name, datatype: Datatype::Fp32, shape: vec![-1, classes] };
    let labels =
        TensorMetadata { name: LABELS, datatype: Datatype::Bytes, shape: vec![-1, classes] };
    [floats(PROBABILITIES), labels, floats(LOGITS)]
}

pub(super) async fn server() -> Json<Value> {
    Json(json!({"name": NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS}))
}

pub(super) async fn live() -> Response {
    fresh(StatusCode::OK, json!({"live": true}))
}

pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let ready = api.service.unready().is_empty();
    fresh(ready_code(ready), json!({"ready": ready}))
}

fn ready_code(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

impl ModelPath {
    fn find(&self, api: &Api) -> Result<Arc<ServedModel>, Problem> {
        Ok(Arc::clone(api.service.models().current().get(Some(&self.model))?))
    }
}

pub(super) async fn model(
    State(api): State<Arc<Api>>,
    path: ModelPath,
) -> Result<Json<Value>, Problem> {
    let info = &path.find(&api)?.info;
    Ok(Json(json!({
        "name": info.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": inputs(info),
        "outputs": outputs(info),
    })))
}

pub(super) async fn model_ready(
    State(api): State<Arc<Api>>,
    path: ModelPath,
) -> Result<Response, Problem> {
    let ready = path.find(&api)?.unready().is_none();
    Ok(fresh(ready_code(ready), json!({"name": path.model, "ready": ready})))
}

pub(super) async fn statistics(
    State(api): State<Arc<Api>>,
    path: ModelPath,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"model_stats": [statistics_of(&*path.find(&api)?)]})))
}

pub(super) async fn all_statistics(State(api): State<Arc<Api>>) -> Json<Value> {
    let models = api.service.models().current();
    let all: Vec<_> = models.iter().map(|model| statistics_of(model)).collect();
    Json(json!({"model_stats": all}))
}

/// As Triton counts, but for requests: here each picture is one. Preparing the answer
/// (`compute_output`) takes no time worth counting.
fn statistics_of(model: &ServedModel) -> Value {
    let counts = model.statistics.counts();
    let last = counts.last_success.and_then(|last| last.duration_since(UNIX_EPOCH).ok());
    let batches = counts.batches.iter().map(|(size, run)| {
        let none = total(Total { count: run.count, ..Total::default() });
        json!({
            "batch_size": size,
            "compute_input": none,
            "compute_infer": total(*run),
            "compute_output": none,
        })
    });
    json!({
        "name": model.info.name,
        "version": VERSION,
        "last_inference": last.map_or(0, |last| last.as_millis()),
        "inference_count": counts.success.count,
        "execution_count": counts.batches.values().map(|run| run.count).sum::<u64>(),
        "inference_stats": {
            "success": total(counts.success),
            "fail": total(counts.fail),
            "queue": total(counts.queue),
            "compute_input": total(counts.decode),
            "compute_infer": total(counts.inference),
            "compute_output": total(Total { count: counts.success.count, ..Total::default() }),
            "cache_hit": total(Total::default()),
            "cache_miss": total(Total::default()),
        },
        "batch_stats": batches.collect::<Vec<_>>(),
        "memory_usage": [],
    })
}

fn total(total: Total) -> Value {
    let ns = u64::try_from(total.time.as_nanos()).unwrap_or(u64::MAX);
    json!({"count": total.count, "ns": ns})
}
