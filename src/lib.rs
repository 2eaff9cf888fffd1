//! Serves Network-in-Network image classifiers.

pub mod app;
pub mod batching;
pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod explain;
pub mod http;
pub mod lifecycle;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod models;
pub mod preprocess;
pub mod service;
pub mod telemetry;
pub mod threads;
pub mod training;
pub mod warm_up;
