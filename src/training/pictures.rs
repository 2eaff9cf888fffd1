//! Decoded pictures in memory: one block of bytes, each picture `[H, W, C]` u8.

use super::listing::Item;
use crate::preprocess::{Header, InputSpec, PictureError, prepare};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Pictures of one size, decoded by the serving pipeline.
#[derive(Debug)]
pub struct Pictures {
    /// `[N, H, W, C]`, row-major.
    pixels: Vec<u8>,
    pub classes: Vec<usize>,
    pub spec: InputSpec,
}

/// A file that could not be read as a picture.
#[derive(Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub reason: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Training data is trusted more than uploads, but a header may still lie.
const MAX_PIXELS: u64 = 100_000_000;

impl Pictures {
    /// Decodes `items` to the size of `spec`. Files that can't be read are left out and listed.
    pub fn load(items: &[Item], spec: &InputSpec) -> (Self, Vec<Unreadable>) {
        let decoded: Vec<_> = items.par_iter().map(|item| decode(&item.path, spec)).collect();
        let mut pictures = Self { pixels: Vec::new(), classes: Vec::new(), spec: spec.clone() };
        pictures.pixels.reserve_exact(items.len() * spec.bytes());
        let mut unreadable = Vec::new();
        for (item, decoded) in items.iter().zip(decoded) {
            match decoded {
                Ok(pixels) => {
                    pictures.pixels.extend_from_slice(&pixels);
                    pictures.classes.push(item.class);
                }
                Err(reason) => unreadable.push(Unreadable { path: item.path.clone(), reason }),
            }
        }
        (pictures, unreadable)
    }

    pub fn len(&self) -> usize {
        self.classes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// One picture, `[H, W, C]`.
    pub fn get(&self, index: usize) -> &[u8] {
        let size = self.spec.bytes();
        &self.pixels[index * size..][..size]
    }

    /// Mean and standard deviation of every channel, in units of `pixel / 255`.
    pub fn channel_statistics(&self) -> (Vec<f32>, Vec<f32>) {
        let channels = self.spec.channels.count();
        let statistic = |channel: usize| {
            let values = self.pixels.par_iter().skip(channel).step_by(channels);
            let (sum, squares) = values
                .map(|&value| (u64::from(value), u64::from(value).pow(2)))
                .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            let count = (self.pixels.len() / channels) as f64;
            let (mean, square) = (sum as f64 / count / 255.0, squares as f64 / count / 65025.0);
            // A channel that never changes must not divide by zero.
            ((mean as f32), (square - mean * mean).max(1e-6).sqrt() as f32)
        };
        (0..channels).map(statistic).unzip()
    }
}

/// One picture through the serving pipeline.
fn decode(path: &Path, spec: &InputSpec) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let prepared = Header::read(&bytes, MAX_PIXELS)
        .and_then(|header| prepare(&bytes, &header, spec))
        .map_err(|error: PictureError| error.to_string())?;
    Ok(prepared.pixels)
}
