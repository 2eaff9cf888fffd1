//! The networks that are served, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{ServiceError, Statistics, Unready};
use crate::batching::Batcher;
use crate::engine::Health;
use crate::model::manifest::Accuracy;
use crate::model::{ModelFolder, Precision, Prediction, Sample};
use crate::preprocess::InputSpec;

/// What is told of a model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelInfo {
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// One per class, in the order of the network's outputs.
    pub labels: Vec<String>,
    pub input: InputSpec,
    /// Number of weights and biases.
    pub parameters: u64,
    /// What was measured on held-out pictures; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// SHA-256 of the weights file, lower-case hexadecimal.
    pub weights_sha256: String,
    /// The numbers that the network computes with.
    pub precision: Precision,
}

impl ModelInfo {
    pub fn new(folder: &ModelFolder, precision: Precision) -> Self {
        let manifest = &folder.manifest;
        Self {
            name: folder.name.clone(),
            description: manifest.description.clone(),
            labels: folder.labels.clone(),
            input: manifest.input.clone(),
            parameters: folder.parameters(),
            accuracy: manifest.accuracy.clone(),
            weights_sha256: manifest.weights.sha256.clone(),
            precision,
        }
    }
}

/// A model with the way to its engine.
pub struct ServedModel {
    pub info: ModelInfo,
    pub batcher: Batcher<Sample, Prediction>,
    pub health: watch::Receiver<Health>,
    /// Told of the batcher's runs as well; see [`Batcher::spawn`].
    pub statistics: Arc<Statistics>,
}

impl ServedModel {
    /// What keeps it from answering; nothing if it answers.
    pub fn unready(&self) -> Option<Unready> {
        let name = || self.info.name.clone();
        match &*self.health.borrow() {
            Health::Dead => Some(Unready::Dead(name())),
            _ if self.batcher.is_closed() => Some(Unready::Dead(name())),
            Health::Rebuilding { .. } => Some(Unready::Rebuilding(name())),
            Health::Ready => None,
        }
    }
}

/// Models that go in and out of service together, so that a request sees all of a reload or
/// nothing of it.
pub struct ModelSet {
    by_name: BTreeMap<String, Arc<ServedModel>>,
    default: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelSetError {
    #[error("no models")]
    Empty,
    #[error("two models are named {0:?}")]
    Twice(String),
    #[error("the default model {name:?} does not exist; there are: {}", known.join(", "))]
    UnknownDefault { name: String, known: Vec<String> },
}

impl ModelSet {
    /// `default` answers requests that name no model; without it, the first by name does.
    pub fn new(
        models: impl IntoIterator<Item = ServedModel>,
        default: Option<&str>,
    ) -> Result<Self, ModelSetError> {
        let mut by_name = BTreeMap::new();
        for model in models {
            let name = model.info.name.clone();
            if by_name.insert(name.clone(), Arc::new(model)).is_some() {
                return Err(ModelSetError::Twice(name));
            }
        }
        let first = by_name.keys().next().ok_or(ModelSetError::Empty)?;
        let default = default.unwrap_or(first).to_owned();
        if !by_name.contains_key(&default) {
            let known = by_name.into_keys().collect();
            return Err(ModelSetError::UnknownDefault { name: default, known });
        }
        Ok(Self { by_name, default })
    }

    /// The same without the model of that name; none if there is none. If it was the default one,
    /// requests that name no model find none until it is back.
    pub fn without(&self, name: &str) -> Option<Self> {
        let mut by_name = self.by_name.clone();
        by_name.remove(name)?;
        Some(Self { by_name, default: self.default.clone() })
    }

    /// The model of that name, or the default one.
    pub fn get(&self, name: Option<&str>) -> Result<&Arc<ServedModel>, ServiceError> {
        let name = name.unwrap_or(&self.default);
        self.by_name.get(name).ok_or_else(|| ServiceError::UnknownModel {
            name: name.to_owned(),
            known: self.by_name.keys().cloned().collect(),
        })
    }

    /// The same set with `model` in the place of the one of its name, if there is one.
    pub fn with(&self, model: ServedModel) -> Self {
        let mut by_name = self.by_name.clone();
        by_name.insert(model.info.name.clone(), Arc::new(model));
        Self { by_name, default: self.default.clone() }
    }

    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ServedModel>> {
        self.by_name.values()
    }
}

/// The set in service. A request keeps the models that it started with.
pub struct Models(RwLock<Arc<ModelSet>>);

impl Models {
    pub fn new(set: ModelSet) -> Self {
        Self(RwLock::new(Arc::new(set)))
    }

    pub fn current(&self) -> Arc<ModelSet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `set` into service and gives back the one that was. A model that is in neither goes
    /// on until the last request that holds it is answered.
    pub fn swap(&self, set: ModelSet) -> Arc<ModelSet> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, Arc::new(set))
    }
}
