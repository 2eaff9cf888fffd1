//! From a model's folder to a network that answers: thread, warm-up, queue.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::anyhow;
use futures_util::future::join_all;

use crate::batching::{BatchConfig, Batcher};
use crate::engine::{BoxError, EngineThread, Network};
use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{Classifier, ModelFolder, Precision, Prediction, Sample, Team, folder};
use crate::service::{ModelInfo, ServedModel, Statistics};
use crate::warm_up::BatchSizes;

/// The thread of a network. It ends by itself once its model's queue is closed and empty.
type Engine = EngineThread<Sample, Prediction>;

/// Brings models into service, all with the same settings.
#[derive(Debug, Clone)]
pub struct Loader {
    /// None: the faster one that holds the golden check, for each model.
    pub precision: Option<Precision>,
    pub batching: BatchConfig,
    pub cpus: Cpus,
    pub metrics: Metrics,
}

/// The threads of libtorch, which one network at a time may use.
///
/// Each engine thread has a team of libtorch threads of its own. If the teams of several models
/// ran at once they would take each other's processors in the middle of a matrix product, and
/// wait for each other at its end. In turn, each has all of them.
#[derive(Debug, Clone)]
pub struct Cpus {
    threads: NonZeroUsize,
    turn: Arc<Mutex<()>>,
}

impl Cpus {
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads, turn: Arc::default() }
    }

    /// Lets `team` run what the calling thread asks of libtorch from now on.
    fn give_to(&self, team: Team) {
        team.assemble(self.threads);
    }

    fn in_turn<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }
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
        let engine = Engine::start(&info.name, factory)
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
        let batcher = Batcher::spawn(Arc::new(engine), batching, observer);
        Ok(ServedModel { info, batcher, health, statistics })
    }

    /// Builds the network on its thread, at the start and after each panic. `built` becomes
    /// what was found out about the first one; later ones keep to it.
    fn factory(
        &self,
        folder: ModelFolder,
        built: Arc<OnceLock<Built>>,
        metrics: ModelMetrics,
    ) -> impl FnMut() -> Result<ThreadNetwork, BoxError> + Send + 'static {
        let Self { precision, batching, cpus, .. } = self.clone();
        move || {
            cpus.give_to(Team::All);
            let precision = built.get().map(|built: &Built| built.precision).or(precision);
            let classifier = cpus.in_turn(|| match precision {
                Some(precision) => Classifier::new(&folder, precision),
                None => Classifier::fastest(&folder),
            })?;
            // Turn by turn: a reload shall not hold up those that serve for longer than a batch.
            let run = |size, team| {
                cpus.in_turn(|| {
                    cpus.give_to(team);
                    let started = Instant::now();
                    classifier.check_golden(&folder, size).map(|()| started.elapsed())
                })
            };
            let sizes = BatchSizes::warm_up(batching.max_batch, run)?;
            let (largest, precision) = (sizes.largest(), classifier.precision());
            // What building has left: of two networks, where the precision was to be found.
            crate::memory::give_back();
            if built.set(Built { largest, precision }).is_err() {
                metrics.restarted();
            }
            Ok(ThreadNetwork { classifier, sizes, cpus: cpus.clone() })
        }
    }
}

/// A classifier that runs the sizes that it is warm for, in its turn.
struct ThreadNetwork {
    classifier: Classifier,
    sizes: BatchSizes,
    cpus: Cpus,
}

impl Network for ThreadNetwork {
    type Input = Sample;
    type Output = Prediction;

    fn infer(&mut self, batch: &[Sample]) -> Result<Vec<Prediction>, BoxError> {
        self.cpus.in_turn(|| {
            let mut predictions = Vec::with_capacity(batch.len());
            for (part, team) in self.sizes.split(batch) {
                self.cpus.give_to(team);
                predictions.append(&mut self.classifier.infer(part)?);
            }
            Ok(predictions)
        })
    }
}
