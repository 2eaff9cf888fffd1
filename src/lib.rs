//! Serves Network-in-Network image classifiers.

pub mod batching;
pub mod commands;
pub mod engine;
pub mod http;
pub mod memory;
pub mod model;
pub mod preprocess;
pub mod service;
pub mod training;
