//! Classification as every protocol sees it: from the bytes of a picture to what the network says.
//!
//! ```text
//! accept ─▶ decode pool: header ─▶ byte budget ─▶ pixels ─▶ batcher ─▶ Classification
//! └──────────────── one deadline, from the arrival on ────────────────┘
//! ```
//!
//! The byte budget is asked on the decoding thread, after the header and before the pixels. A
//! picture that waits for a thread so holds no more than its upload, and what decoding can take
//! at once is bounded by the threads as well as by the budget.

mod classification;
mod classify;
mod decode;
mod error;
mod lifecycle;
mod models;
mod observer;
mod pool;
mod stages;
mod statistics;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use image::RgbImage;

pub use classification::{Classification, Timings, ranking};
pub use error::ServiceError;
pub use lifecycle::{Ticket, Unready};
pub use models::{ModelInfo, ModelSet, ModelSetError, Models, ServedModel};
pub use observer::PictureObserver;
pub use pool::DecodeLoad;
pub use statistics::{Counts, Statistics, Total};

use crate::batching::MemoryBudget;
use crate::preprocess::Header;
use decode::Decoder;
use lifecycle::Gate;
use pool::{DecodePool, whole_seconds};

#[derive(Debug, Clone, Copy)]
pub struct ServiceConfig {
    /// Longest that a request may take; a client may ask for less.
    pub request_timeout: Duration,
    /// Most pixels of a picture, by its header.
    pub max_pixels: u64,
    /// Bytes that uploads and decoded pictures may hold together.
    pub memory_budget: u64,
    pub decode_threads: NonZeroUsize,
    /// Most pictures that wait for a decoding thread.
    pub decode_queue: NonZeroUsize,
}

pub struct Service {
    config: ServiceConfig,
    models: Models,
    pool: DecodePool,
    budget: MemoryBudget,
    gate: Gate,
    observer: Arc<dyn PictureObserver>,
    started: Instant,
}

/// What is to be classified.
#[derive(Debug, Clone)]
pub struct Picture {
    pub bytes: Bytes,
    /// Whether the class confidence maps are wanted beside the scores.
    pub maps: bool,
}

/// A picture to be looked at.
#[derive(Debug, Clone)]
pub struct View {
    pub bytes: Bytes,
    /// Of the same bytes.
    pub header: Header,
    /// Width and height to scale it to.
    pub size: (u32, u32),
}

impl Service {
    /// Must be called on a tokio runtime. Fails if the decoding threads can't be started.
    pub fn new(config: ServiceConfig, models: ModelSet) -> Result<Self, ServiceError> {
        let pool = DecodePool::new(config.decode_threads, config.decode_queue)
            .map_err(|error| ServiceError::Internal { cause: error.to_string() })?;
        Ok(Self {
            config,
            models: Models::new(models),
            pool,
            budget: MemoryBudget::new(config.memory_budget),
            gate: Gate::default(),
            observer: Arc::new(()),
            started: Instant::now(),
        })
    }

    /// Tells `observer` what comes of every picture.
    pub fn observed_by(self, observer: Arc<dyn PictureObserver>) -> Self {
        Self { observer, ..self }
    }

    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }

    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Shared by all that requests hold, uploads included.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    pub fn decode_load(&self) -> DecodeLoad {
        self.pool.load()
    }

    /// What tells, whenever asked, whether pictures wait for a decoding thread.
    pub fn decode_backlog(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        self.pool.backlog()
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Requests that were accepted and are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.gate.in_flight()
    }

    /// Lets a request in. `patience` is how long the client will wait, if it said so; never more
    /// than the configured timeout.
    pub fn accept(&self, patience: Option<Duration>) -> Result<Ticket, ServiceError> {
        let longest = self.config.request_timeout;
        self.gate.accept(patience.map_or(longest, |patience| patience.min(longest)))
    }

    /// Runs CPU work that belongs to a request on the decoding threads.
    pub async fn off_runtime<T, F>(&self, ticket: &Ticket, job: F) -> Result<T, ServiceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Ok(self.pool.begin(ticket.deadline(), job)?.done().await?.value)
    }

    /// Decodes a picture as a person sees it and gives it to `paint`, on a decoding thread.
    pub async fn view<T: Send + 'static>(
        &self,
        ticket: &Ticket,
        model: &Arc<ServedModel>,
        View { bytes, header, size }: View,
        paint: impl FnOnce(RgbImage) -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let decoder = self.decoder(model);
        let job = move || {
            let (view, _permit) = decoder.view(&bytes, &header, size)?;
            Ok(paint(view))
        };
        self.off_runtime(ticket, job).await?
    }

    /// When to send a client back that is refused for want of memory: the backlog of decoding or
    /// of `model`, whichever is longer, in whole seconds, at least one.
    pub fn retry_after(&self, model: &ServedModel) -> Duration {
        model.batcher.retry_after().max(whole_seconds(self.pool.expected_wait()))
    }

    /// Why the service is not ready; nothing if it is.
    pub fn unready(&self) -> Vec<Unready> {
        let draining = self.gate.is_leaving().then_some(Unready::ShuttingDown);
        let models = self.models.current();
        draining.into_iter().chain(models.iter().filter_map(|model| model.unready())).collect()
    }

    /// Is not ready any more, so that load balancers turn to others; still accepts what comes.
    pub fn leave(&self) {
        self.gate.leave();
    }

    /// Accepts nothing from now on, and is not ready any more. What was accepted goes on.
    pub fn drain(&self) {
        self.gate.drain();
    }

    /// Drains, waits until all that was accepted has been answered, and closes the batchers.
    pub async fn shutdown(&self) {
        self.drain();
        self.gate.drained().await;
        let models = self.models.current();
        for model in models.iter() {
            model.batcher.close();
        }
        for model in models.iter() {
            model.batcher.closed().await;
        }
    }

    fn decoder(&self, model: &Arc<ServedModel>) -> Decoder {
        Decoder {
            model: Arc::clone(model),
            budget: self.budget.clone(),
            max_pixels: self.config.max_pixels,
            retry_after: self.retry_after(model),
        }
    }
}
