//! One test crate for all areas, so that it links once.

#![expect(clippy::disallowed_methods, reason = "a test may panic, and nobody drains it")]

mod batching;
mod browser;
mod digits;
mod engine;
mod explain;
mod fuzz;
mod hostile;
mod http;
mod lifecycle;
mod networks;
mod preprocess;
mod service;
mod shipped;
mod support;
mod support_models;
mod training;
