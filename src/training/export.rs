//! Writes a trained network as a model folder.

use super::checkpoint::write_atomically;
use super::evaluate::Evaluation;
use crate::model::classifier::{Classifier, Pixels, Sample};
use crate::model::folder::{self, LABELS, MANIFEST, ModelFolder, WEIGHTS};
use crate::model::golden::{self, Golden};
use crate::model::manifest::{Accuracy, ArchitectureSpec, Manifest, WeightsSpec};
use crate::model::network::Precision;
use crate::model::weights::{Storage, Weights};
use crate::preprocess::InputSpec;
use anyhow::Context;
use std::path::Path;

/// The model card.
pub const CARD: &str = "README.md";

/// What a model folder says beside its weights.
#[derive(Debug, Clone)]
pub struct Draft {
    pub description: String,
    pub architecture: ArchitectureSpec,
    pub input: InputSpec,
    pub labels: Vec<String>,
    pub storage: Storage,
}

/// Writes weights, labels and manifest, with the golden answer of these weights, and loads the
/// folder again the way the service will.
pub fn write(out: &Path, draft: &Draft, weights: &Weights) -> anyhow::Result<ModelFolder> {
    let bytes = weights.write(draft.storage)?;
    let mut manifest = Manifest {
        description: draft.description.clone(),
        classes: draft.labels.len() as u32,
        architecture: draft.architecture.clone(),
        input: draft.input.clone(),
        weights: WeightsSpec { sha256: folder::digest(&bytes) },
        accuracy: None,
        golden: Golden {
            tolerance: golden::tolerance(),
            probabilities: vec![0.0; draft.labels.len()],
        },
    };
    write_atomically(&out.join(WEIGHTS), &bytes)?;
    write_atomically(&out.join(LABELS), (draft.labels.join("\n") + "\n").as_bytes())?;
    write_manifest(out, &manifest)?;
    // From the file and not from memory: what is stored may be rounded to bf16.
    let classifier = Classifier::new(&ModelFolder::load(out)?, Precision::F32)?;
    let pixels = Pixels::Bytes(golden::picture(&manifest.input));
    let answer = classifier.infer(&[Sample { pixels, maps: false }])?;
    manifest.golden.probabilities = answer.into_iter().flat_map(|p| p.probabilities).collect();
    write_manifest(out, &manifest)?;
    Ok(ModelFolder::load(out)?)
}

/// Puts what was measured into the manifest. `data` says on which pictures.
pub fn record_accuracy(out: &Path, evaluation: &Evaluation, data: &str) -> anyhow::Result<()> {
    let mut manifest = ModelFolder::load(out)?.manifest;
    manifest.accuracy = Some(Accuracy {
        data: data.to_owned(),
        pictures: evaluation.pictures,
        top1: round(evaluation.top1),
        top5: round(evaluation.top5),
    });
    write_manifest(out, &manifest)
}

fn round(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

fn write_manifest(out: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let path = out.join(MANIFEST);
    write_atomically(&path, toml::to_string(manifest)?.as_bytes())
        .with_context(|| path.display().to_string())
}

/// Writes the model card, with the numbers of `evaluation` and the command that made the weights.
/// A card that is already there was written by a person and stays.
pub fn write_card(out: &Path, evaluation: &Evaluation, command: &str) -> anyhow::Result<()> {
    let path = out.join(CARD);
    if path.exists() {
        return Ok(());
    }
    let ModelFolder { name, manifest, .. } = ModelFolder::load(out)?;
    let card = format!(
        "# {name}\n\n{description}\n\n## Made by\n\n```sh\n{command}\n```\n\n## Accuracy\n\n\
         ```text\n{summary}```\n\n## Limits\n\nA picture of none of the classes still gets \
         probabilities that sum to 1.\n",
        description = manifest.description,
        summary = evaluation.summary(),
    );
    Ok(write_atomically(&path, card.as_bytes())?)
}
