//! Serves Network-in-Network image classifiers.

pub mod model;
pub mod preprocess;
pub mod training;
