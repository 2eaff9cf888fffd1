//! A model on disk: `model.toml`, `weights.safetensors`, `labels.txt`, `README.md`.

use super::architecture::Architecture;
use super::manifest::{Manifest, ManifestError};
use super::weights::{Weights, WeightsError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub const MANIFEST: &str = "model.toml";
pub const WEIGHTS: &str = "weights.safetensors";
pub const LABELS: &str = "labels.txt";

/// A model folder that has passed every check but the golden one, which needs a running network.
#[derive(Debug)]
pub struct ModelFolder {
    /// The name of the folder.
    pub name: String,
    pub manifest: Manifest,
    pub architecture: Architecture,
    /// One per class, in the order of the network's outputs.
    pub labels: Vec<String>,
    /// `weights.safetensors`; its digest and its tensors have been checked.
    weights: PathBuf,
}

/// What is wrong, and in which file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FolderError {
    pub path: PathBuf,
    pub problem: Problem,
}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    #[error("{found} labels, expected one line per class ({expected})")]
    LabelCount { found: usize, expected: u32 },
    #[error("line {line}: {reason}")]
    Label { line: usize, reason: &'static str },
    #[error("SHA-256 is {found}, but model.toml says {expected}")]
    Digest { found: String, expected: String },
    #[error("{0}")]
    Weights(#[from] WeightsError),
    #[error("a model's name may hold letters, digits, '.', '_' and '-' only")]
    Name,
    #[error("no model folder in here (a folder with a {MANIFEST})")]
    NoModels,
}

impl ModelFolder {
    /// Reads and checks the folder `path`.
    pub fn load(path: &Path) -> Result<Self, FolderError> {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
        let name = name.ok_or_else(|| at(path, Problem::Name))?.to_owned();
        let file = path.join(MANIFEST);
        let (manifest, architecture) =
            read_manifest(&file).map_err(|problem| at(&file, problem))?;
        let file = path.join(LABELS);
        let labels = read_labels(&file, manifest.classes).map_err(|problem| at(&file, problem))?;
        let weights = path.join(WEIGHTS);
        let folder = Self { name, manifest, architecture, labels, weights };
        folder.tensors()?;
        Ok(folder)
    }

    /// The weights as tensors, f32. Read anew and checked in every call, as they are wanted at the start
    /// and hardly ever again: a file that has been changed since is an error.
    pub fn tensors(&self) -> Result<Weights, FolderError> {
        let channels = self.manifest.input.channels.count() as u32;
        let read = || {
            let bytes = read_weights(&self.weights, &self.manifest)?;
            Ok(Weights::read(&bytes, &self.architecture.convolutions(channels))?)
        };
        read().map_err(|problem| at(&self.weights, problem))
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> u64 {
        self.architecture.parameters(self.manifest.input.channels.count() as u32)
    }
}

/// Loads every model folder in `directory`, in the order of their names.
pub fn load_all(directory: &Path) -> Result<Vec<ModelFolder>, FolderError> {
    let paths = paths(directory)?;
    if paths.is_empty() {
        return Err(at(directory, Problem::NoModels));
    }
    paths.iter().map(|path| ModelFolder::load(path)).collect()
}

/// Names of the model folders in `directory`, in their order.
pub fn names(directory: &Path) -> Result<Vec<String>, FolderError> {
    let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    let names = paths(directory)?;
    Ok(names.iter().filter_map(name).filter(|name| is_name(name)).collect())
}

fn paths(directory: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let wrong = |problem: std::io::Error| at(directory, problem.into());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.join(MANIFEST).is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// SHA-256 in lower-case hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn at(path: &Path, problem: Problem) -> FolderError {
    FolderError { path: path.to_owned(), problem }
}

/// Names appear in URLs, metrics and log lines.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits)
}

fn read_manifest(path: &Path) -> Result<(Manifest, Architecture), Problem> {
    parse_manifest(&std::fs::read_to_string(path)?)
}

/// Reads and checks the text of a `model.toml`.
pub fn parse_manifest(text: &str) -> Result<(Manifest, Architecture), Problem> {
    let manifest: Manifest = toml::from_str(text)?;
    let architecture = manifest.validate()?;
    Ok((manifest, architecture))
}

fn read_labels(path: &Path, expected: u32) -> Result<Vec<String>, Problem> {
    let text = std::fs::read_to_string(path)?;
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if labels.len() != expected as usize {
        return Err(Problem::LabelCount { found: labels.len(), expected });
    }
    let mut seen = std::collections::HashSet::new();
    for (index, label) in labels.iter().enumerate() {
        let line = index + 1;
        if label.is_empty() {
            return Err(Problem::Label { line, reason: "the label is empty" });
        }
        if !seen.insert(label) {
            return Err(Problem::Label { line, reason: "the label stands here a second time" });
        }
    }
    Ok(labels)
}

fn read_weights(path: &Path, manifest: &Manifest) -> Result<Vec<u8>, Problem> {
    let bytes = std::fs::read(path)?;
    let found = digest(&bytes);
    if found != manifest.weights.sha256 {
        let expected = manifest.weights.sha256.clone();
        return Err(Problem::Digest { found, expected });
    }
    Ok(bytes)
}
