//! `model.toml`: what a model is, how to feed it, and how good it was found to be.

use super::architecture::{Architecture, Head, Layer};
use super::golden::Golden;
use super::preset::Preset;
use crate::preprocess::InputSpec;
use serde::{Deserialize, Serialize};

/// The whole of `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One sentence for people.
    pub description: String,
    /// Number of classes; `labels.txt` has one line for each.
    pub classes: u32,
    pub architecture: ArchitectureSpec,
    pub input: InputSpec,
    pub weights: WeightsSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    pub golden: Golden,
}

/// A preset by name, or layers of one's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchitectureSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Layer>>,
}

/// What the weights file must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// SHA-256 of `weights.safetensors`, lower-case hexadecimal.
    pub sha256: String,
}

/// What `nin-serve evaluate` measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// The held-out pictures.
    pub data: String,
    pub pictures: u64,
    /// Share of pictures whose best class is right, 0 to 1.
    pub top1: f64,
    /// Share of pictures whose class is among the best five, 0 to 1.
    pub top5: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("architecture: give either a preset or layers, with a head if you like")]
    PresetOrLayers,
    #[error("classes must be between 2 and 65536, not {0}")]
    Classes(u32),
    #[error("input: {0}")]
    Input(String),
    #[error("golden: {found} probabilities, expected one per class ({expected})")]
    Golden { found: usize, expected: u32 },
    #[error(transparent)]
    Architecture(#[from] super::architecture::ArchitectureError),
}

/// Longest side of an input, in pixels.
const LARGEST_SIDE: u32 = 4096;

impl ArchitectureSpec {
    pub fn of_preset(preset: Preset) -> Self {
        Self { preset: Some(preset), head: None, layers: None }
    }

    /// The layers for `classes` classes.
    pub fn resolve(&self, classes: u32) -> Result<Architecture, ManifestError> {
        match (&self.preset, &self.layers, self.head) {
            (Some(preset), None, None) => Ok(preset.architecture(classes)),
            (None, Some(layers), head) => {
                Ok(Architecture { layers: layers.clone(), head: head.unwrap_or_default() })
            }
            _ => Err(ManifestError::PresetOrLayers),
        }
    }
}

impl Manifest {
    /// Checks everything that can be checked without the other files, and gives the architecture.
    pub fn validate(&self) -> Result<Architecture, ManifestError> {
        if !(2..=65536).contains(&self.classes) {
            return Err(ManifestError::Classes(self.classes));
        }
        let architecture = self.architecture.resolve(self.classes)?;
        check_input(&self.input).map_err(ManifestError::Input)?;
        architecture.map_size(self.input.width, self.input.height)?;
        architecture.check_classes(self.classes)?;
        let found = self.golden.probabilities.len();
        if found != self.classes as usize {
            return Err(ManifestError::Golden { found, expected: self.classes });
        }
        Ok(architecture)
    }
}

fn check_input(input: &InputSpec) -> Result<(), String> {
    for (name, side) in [("width", input.width), ("height", input.height)] {
        if !(1..=LARGEST_SIDE).contains(&side) {
            return Err(format!("{name} must be between 1 and {LARGEST_SIDE}, not {side}"));
        }
    }
    let channels = input.channels.count();
    for (name, values) in [("mean", &input.mean), ("std", &input.std)] {
        if values.len() != channels {
            return Err(format!("{name} has {} values, expected {channels}", values.len()));
        }
    }
    let finite = input.mean.iter().chain(&input.std).all(|value| value.is_finite());
    if !finite || !input.scale.is_finite() {
        return Err("scale, mean and std must be finite".into());
    }
    if input.std.iter().any(|&std| std <= 0.0) {
        return Err("std must be above 0".into());
    }
    Ok(())
}
