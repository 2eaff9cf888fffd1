//! Serves Network-in-Network image classifiers.

pub mod commands;
pub mod memory;
pub mod model;
pub mod preprocess;
pub mod training;
