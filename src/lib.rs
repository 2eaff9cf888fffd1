//! Serves Network-in-Network image classifiers.
//!
//! Data flows one way:
//!
//! ```text
//! upload bytes ─ http ─▶ service ─▶ preprocess ─▶ batching ─▶ engine (model) ─▶ JSON
//!                (axum)  (byte      (decode       (queue)     (libtorch thread)
//!                        budget)     pool)
//! ```
//!
//! | module | owns | may use |
//! | --- | --- | --- |
//! | [`cli`], [`commands`], [`config`] | arguments → validated settings; a file per subcommand | all below |
//! | [`app`], [`models`], [`lifecycle`], [`telemetry`], [`metrics`], [`threads`] | build → run → drain | `http`, `service`, `model` |
//! | [`traces`] | spans for an OpenTelemetry collector | nothing of ours |
//! | [`http`] | routes, uploads, problems, OpenAPI, the web page | `service`, `explain` |
//! | [`explain`] | class maps over the picture: evidence, regions, heat | `model`'s data |
//! | [`service`] | from the bytes of a picture to what the network says | `preprocess`, `batching` |
//! | [`batching`], [`engine`] | the queue; the thread that owns a network | nothing of ours |
//! | [`preprocess`] | bytes → pixels | `image` and codecs |
//! | [`model`] | architectures as data, weights, forward pass, the model folder | `tch` |
//! | `bench` | measures the parts in one process, and the service from outside | all above |
//! | [`training`] | data sets, the loop, evaluation, export | `model`, `preprocess`, `tch` |
//!
//! Only `model`, `models` and `training` know tensors; only `http`, `app` and `lifecycle` know HTTP.

pub mod app;
pub mod batching;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod environment;
pub mod explain;
pub mod grpc;
pub mod http;
pub mod inference;
pub mod lifecycle;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod models;
mod pair;
pub mod preprocess;
pub mod reload;
pub mod service;
pub mod telemetry;
pub mod threads;
pub mod traces;
pub mod training;
pub mod warm_up;
mod workers;
