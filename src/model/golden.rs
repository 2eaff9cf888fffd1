//! The golden check: a generated picture and the probabilities that it must give.
//!
//! It catches what a digest can't: a libtorch, a processor or a precision that computes something
//! else than the machine on which the model was made.

use crate::preprocess::InputSpec;
use serde::{Deserialize, Serialize};

/// Expected answer to [`picture`], stored in `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Largest difference allowed per probability, in f32.
    #[serde(default = "tolerance")]
    pub tolerance: f32,
    /// In the order of the labels.
    pub probabilities: Vec<f32>,
}

/// Largest difference allowed per probability when the network runs in bf16, whose eight bits of
/// mantissa leave about two decimal digits.
pub const BF16_TOLERANCE: f32 = 0.05;

pub fn tolerance() -> f32 {
    1e-3
}

/// The generated picture, `[H, W, C]` u8: a grid of XOR texture, other in each channel. It has
/// edges of every scale, and needs neither a file nor floating point.
pub fn picture(spec: &InputSpec) -> Vec<u8> {
    let scaled = |at: u32, side: u32| (u64::from(at) * 256 / u64::from(side)) as u8;
    let mut pixels = Vec::with_capacity(spec.bytes());
    for y in 0..spec.height {
        for x in 0..spec.width {
            for channel in 0..spec.channels.count() as u8 {
                let (column, row) = (scaled(x, spec.width), scaled(y, spec.height));
                pixels.push((column ^ row).rotate_left(u32::from(channel)));
            }
        }
    }
    pixels
}

impl Golden {
    /// Compares with what a network answered; the error says where they differ most.
    pub fn check(&self, probabilities: &[f32], tolerance: f32) -> Result<(), GoldenMismatch> {
        let differences = self.probabilities.iter().zip(probabilities).map(|(a, b)| (a - b).abs());
        for (index, difference) in differences.enumerate() {
            if difference.is_nan() || difference > tolerance {
                let (expected, found) = (self.probabilities[index], probabilities[index]);
                return Err(GoldenMismatch { index, expected, found, tolerance });
            }
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "golden check: class {index} got probability {found}, expected {expected} within {tolerance}"
)]
pub struct GoldenMismatch {
    pub index: usize,
    pub expected: f32,
    pub found: f32,
    pub tolerance: f32,
}
