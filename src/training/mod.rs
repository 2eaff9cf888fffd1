//! Training, evaluation and export of networks.
//!
//! ```text
//! folders ─ listing ─▶ pictures (decoded once, by the serving pipeline)
//!                         │ augment
//!                         ▼
//!                      batches ─▶ trainable network ─ sgd ─▶ checkpoint
//!                                        │ fold
//!                                        ▼
//!                                  model folder ◀─ evaluate (the serving pipeline again)
//! ```

pub mod agreement;
pub mod augment;
pub mod batches;
pub mod checkpoint;
mod convolution;
pub mod evaluate;
pub mod export;
pub mod labels;
pub mod listing;
pub mod net;
pub mod pictures;
pub mod plots;
pub mod recipe;
pub mod report;
pub mod run;
pub mod sgd;
pub mod whiten;
mod winograd;
