//! From a model's folder to a network that answers: thread, warm-up, queue.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::anyhow;
use futures_util::future::join_all;

use crate::batching::{BatchConfig, Batcher, Work};
use crate::engine::{BoxError, Network, NetworkEngine};
use crate::inference::Inference;
use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{
    Classifier, ClassifierError, ModelFolder, Precision, Prediction, Sample, Team, folder,
};
use crate::service::{ModelInfo, ServedModel, Statistics};
use crate::warm_up::BatchSizes;

/// What runs a model's network. It ends by itself once the model's queue is closed and empty.
type Engine = NetworkEngine<WarmNetwork>;

/// Brings models into service, all with the same settings.
#[derive(Debug, Clone)]
pub struct Loader {
    /// None: the faster one that holds the golden check, for each model.
    pub precision: Option<Precision>,
    pub batching: BatchConfig,
    pub inference: Inference,
    pub metrics: Metrics,
}

/// What building a network finds out.
#[derive(Debug, Clone, Copy)]
struct Built {
    /// The largest batch that it is warm for.
    largest: NonZeroUsize,
    precision: Precision,
}

impl Loader {
    /// Loads every model of a folder of models; the first that is broken is the error.
    pub async fn load_all(&self, directory: &Path) -> anyhow::Result<Vec<ServedModel>> {
        let directory = directory.to_owned();
        let folders = tokio::task::spawn_blocking(move || folder::load_all(&directory)).await??;
        // All at once. Also when one fails the others are waited for: a process that ends while
        // libtorch computes may crash on the way out.
        let started = join_all(folders.into_iter().map(|folder| self.start(folder))).await;
        started.into_iter().collect()
    }

    /// Starts the engine of a checked folder and, once it is warm, its queue.
    pub async fn start(&self, folder: ModelFolder) -> anyhow::Result<ServedModel> {
        // Its precision is known once the network is built.
        let mut info = ModelInfo::new(&folder, self.precision.unwrap_or(Precision::F32));
        let metrics = self.metrics.of_model(&info.name);
        let built = Arc::new(OnceLock::new());
        let factory = self.factory(folder, Arc::clone(&built), metrics.clone());
        let engine = Engine::start(&info.name, self.inference.clone(), factory)
            .await
            .map_err(|error| anyhow!("model {}: {error}", info.name))?;
        let Built { largest, precision } =
            built.get().copied().ok_or_else(|| anyhow!("model {}: not built", info.name))?;
        info.precision = precision;
        tracing::info!(model = info.name, %precision, largest_batch = largest, "warm");
        let batching = BatchConfig { max_batch: largest, ..self.batching };
        let health = engine.health();
        let statistics = Arc::<Statistics>::default();
        let observer = Arc::new((metrics, Arc::clone(&statistics)));
        let batcher = {
            let _there = self.inference.enter();
            Batcher::spawn(Arc::new(engine), batching, observer)
        };
        Ok(ServedModel { info, batcher, health, statistics })
    }

    /// Builds the network at the start and after each panic. `built` becomes what was found out about
    /// the first one; later ones keep to it.
    fn factory(
        &self,
        folder: ModelFolder,
        built: Arc<OnceLock<Built>>,
        metrics: ModelMetrics,
    ) -> impl FnMut() -> Result<WarmNetwork, BoxError> + Send + 'static {
        let Self { precision, batching, inference, .. } = self.clone();
        let folder = Arc::new(folder);
        move || {
            let precision = built.get().map(|built: &Built| built.precision).or(precision);
            let classifier = build(&inference, Arc::clone(&folder), precision)?;
            let (precision, runs) = (classifier.precision(), classifier.runs());
            let classifier = Arc::new(Mutex::new(classifier));
            // Run by run: a reload shall not hold up those that serve for longer than a batch.
            let run = |size, team, times| {
                let (classifier, folder) = (Arc::clone(&classifier), Arc::clone(&folder));
                let owned = inference.clone();
                let took = inference.wait_for(move || {
                    owned.give_to(team);
                    lock(&classifier).time_golden(&folder, size, times)
                })?;
                tracing::debug!(size, ?team, ?took, "ran a batch");
                Ok::<_, ClassifierError>(took)
            };
            let sizes = BatchSizes::warm_up(runs, batching.max_batch, run)?;
            // What building has left: of two networks, where the precision was to be found.
            crate::memory::give_back();
            if built.set(Built { largest: sizes.largest(), precision }).is_err() {
                metrics.restarted();
            }
            Ok(WarmNetwork { classifier, sizes, inference: inference.clone() })
        }
    }
}

fn build(
    inference: &Inference,
    folder: Arc<ModelFolder>,
    precision: Option<Precision>,
) -> Result<Classifier, ClassifierError> {
    let owned = inference.clone();
    inference.wait_for(move || {
        owned.give_to(Team::All);
        match precision {
            Some(precision) => Classifier::new(&folder, precision),
            None => Classifier::fastest(&folder),
        }
    })
}

/// A classifier and the sizes that it runs.
struct WarmNetwork {
    /// Never waited for: one batch runs at a time.
    classifier: Arc<Mutex<Classifier>>,
    sizes: BatchSizes,
    inference: Inference,
}

impl Network for WarmNetwork {
    type Input = Sample;
    type Output = Prediction;

    fn infer(&mut self, batch: &[Sample]) -> Result<Vec<Prediction>, BoxError> {
        let classifier = lock(&self.classifier);
        let mut predictions = Vec::with_capacity(batch.len());
        for part in self.sizes.split(batch) {
            // A lone picture's layers are short: helpers that wait for a processor hold each of them up.
            let is_lone = part.size == 1 && self.inference.is_crowded();
            self.inference.give_to(if is_lone { Team::One } else { part.team });
            predictions.append(&mut classifier.infer_as(part.size, part.items)?);
        }
        Ok(predictions)
    }

    fn run_beside(&mut self, work: Work) {
        self.inference.give_to(Team::All);
        lock(&self.classifier).run_beside(work);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
