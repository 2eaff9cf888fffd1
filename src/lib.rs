//! Serves Network-in-Network image classifiers.

pub mod batching;
pub mod engine;
pub mod http;
pub mod model;
pub mod preprocess;
pub mod service;
pub mod training;
