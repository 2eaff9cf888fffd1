//! One test crate for all areas, so that it links once.

mod batching;
mod engine;
mod http;
mod lifecycle;
mod networks;
mod preprocess;
mod support;
mod support_models;
