//! Networks: architectures as data, weights, the forward pass, the model folder.
//!
//! ```text
//! model.toml ─ manifest ─┐
//! labels.txt ────────────┼─ folder ─▶ classifier ─▶ predictions
//! weights.safetensors ───┘             (network: convolutions, ReLU, pooling)
//! ```

pub mod architecture;
pub mod caffe;
pub mod classifier;
mod convolution;
pub mod folder;
mod fused;
pub mod golden;
pub mod manifest;
pub mod network;
mod normaliser;
mod parts;
pub(crate) mod pooling;
pub mod preset;
pub mod scores;
mod simd;
mod team;
pub mod trial;
pub mod weights;

pub use classifier::{ClassMaps, Classifier, ClassifierError, Pixels, Prediction, Runs, Sample};
pub use folder::{FolderError, ModelFolder};
pub use manifest::Manifest;
pub use network::Precision;
pub use preset::Preset;
pub use team::Team;
