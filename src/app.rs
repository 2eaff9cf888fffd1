//! The whole service: build → run until shutdown → drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use axum::Router;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use crate::batching::BatchConfig;
use crate::config::{BackendConfig, Config, MetricsAccess};
use crate::engine::Health;
use crate::grpc;
use crate::http::{Administration, Api, Guard, HttpConfig, router};
use crate::inference::Inference;
use crate::lifecycle::{Server, Shutdown};
use crate::metrics::{self, Metrics, ServiceGauges};
use crate::models::Loader;
use crate::reload::Reloader;
use crate::service::{ModelSet, ServedModel, Service, ServiceConfig};
use crate::threads::Threads;
use crate::traces::Traces;

/// How long a collector may take for the last traces.
const LAST_TRACES: Duration = Duration::from_secs(3);
/// Why not all that was accepted is answered.
const ABORTED: &str = "aborted by a second signal";

/// Everything but the port: what turns pictures into answers.
pub struct Backend {
    api: Arc<Api>,
    loader: Loader,
    registry: Registry,
}

impl Backend {
    /// Loads and warms up every model. Must be called on a tokio runtime.
    pub async fn start(
        config: &BackendConfig,
        threads: Threads,
        traces: Option<Traces>,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let (metrics, mut registry) = Metrics::new();
        let loader = Loader {
            precision: config.models.precision.fixed(),
            batching: BatchConfig {
                max_batch: config.batching.max_batch,
                max_delay: config.batching.max_delay,
                queue_capacity: config.batching.queue_capacity,
            },
            inference: Inference::start(threads.inference)
                .context("starting the inference thread")?,
            metrics: metrics.clone(),
        };
        let models = loader.load_all(&config.models.models).await?;
        let models = ModelSet::new(models, config.models.default_model.as_deref())?;
        let names: Vec<_> = models.iter().map(|model| model.info.name.as_str()).collect();
        tracing::info!(models = names.join(", "), elapsed = ?started.elapsed(), "models are warm");
        let service = Service::new(service_config(config, threads), models)?;
        loader.inference.heed(service.decode_backlog());
        let service = Arc::new(service.observed_by(Arc::new(metrics.clone())));
        let gauges = Box::new(ServiceGauges(Arc::clone(&service)));
        registry.sub_registry_with_prefix(metrics::PREFIX).register_collector(gauges);
        let http = HttpConfig {
            max_body: config.requests.max_body.as_u64(),
            body_timeout: config.requests.body_timeout,
            max_batch_images: config.requests.max_batch_images.get(),
        };
        let api = Arc::new(Api { service, config: http, observer: Arc::new(metrics), traces });
        Ok(Self { api, loader, registry })
    }

    /// The routes, and `more`, behind `guard`.
    pub fn router(&self, more: Router, guard: Guard) -> Router {
        router(Arc::clone(&self.api), more, guard)
    }

    /// Answers what was accepted, and waits until the engines have ended.
    pub async fn stop(&self) {
        self.api.service.shutdown().await;
        for model in self.api.service.models().current().iter() {
            ended(model.health.clone()).await;
        }
    }
}

fn service_config(config: &BackendConfig, threads: Threads) -> ServiceConfig {
    ServiceConfig {
        request_timeout: config.requests.request_timeout,
        max_pixels: config.requests.max_pixels.get(),
        memory_budget: config.requests.memory_budget.as_u64(),
        decode_threads: threads.decode,
        decode_queue: config.batching.queue_capacity,
    }
}

/// Where clients come in.
#[derive(Debug)]
pub struct Listeners {
    pub http: TcpListener,
    /// None: without gRPC.
    pub grpc: Option<TcpListener>,
}

/// A service that is ready to answer.
pub struct App {
    backend: Backend,
    server: Server,
    grpc: Server,
    drain_timeout: Duration,
}

impl App {
    /// Builds the backend and puts the server before it. Must be called on a tokio runtime.
    pub async fn build(
        config: Config,
        threads: Threads,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        // First what is quick to find wrong.
        let tls = config.tls.acceptor()?;
        let traces = config.traces.start()?;
        let mut backend = Backend::start(&config.backend, threads, traces).await?;
        let registry = std::mem::take(&mut backend.registry);
        let mut more = Router::new();
        if config.security.metrics_access != MetricsAccess::Off {
            more = more.merge(metrics::routes(registry));
        }
        let administration = Administration {
            api: Arc::clone(&backend.api),
            repository: Arc::new(Reloader {
                loader: backend.loader.clone(),
                directory: config.backend.models.models.clone(),
                service: Arc::clone(&backend.api.service),
                shutdown: shutdown.clone(),
                turn: Mutex::default(),
            }),
        };
        more = more.merge(administration.routes());
        let server = |router| Server {
            router,
            connections: config.connections.clone(),
            tls: tls.clone(),
            shutdown_delay: config.shutdown.shutdown_delay,
        };
        let grpc = server(grpc::router(administration, config.security.guard()));
        let server = server(backend.router(more, config.security.guard()));
        let drain_timeout = config.shutdown.drain_timeout;
        Ok(Self { backend, server, grpc, drain_timeout })
    }

    /// Serves until shutdown begins, then drains. An error if not all that was accepted could be
    /// answered, or if a part of the service had died.
    pub async fn run(self, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
        let service = Arc::clone(&self.backend.api.service);
        for model in service.models().current().iter() {
            watch_over(model, &service, &shutdown);
        }
        let limit = self.server.shutdown_delay + self.drain_timeout;
        let serve = async {
            let http = self.server.run(listeners.http, shutdown.clone());
            let grpc = async {
                if let Some(listener) = listeners.grpc {
                    self.grpc.run(listener, shutdown.clone()).await;
                }
            };
            tokio::join!(http, grpc);
            self.backend.stop().await;
            if let Some(traces) = self.backend.api.traces.clone() {
                // Not all of it, or a collector that is away would pass for unanswered requests.
                traces.flush(LAST_TRACES.min(self.drain_timeout / 2)).await;
            }
        };
        let leave = async {
            shutdown.begun().await;
            service.leave();
            sleep(limit).await;
        };
        tokio::select! {
            // In this order: an abort also ends the server, which must not pass for a clean end.
            biased;
            () = shutdown.aborted() => bail!(ABORTED),
            () = leave => bail!("--drain-timeout passed with {} requests unanswered", service.in_flight()),
            // Nor if it came while `serve` was looked at.
            () = serve => ensure!(!shutdown.has_aborted(), ABORTED),
        }
        // Nothing is left to do but for tasks that wait for what will not come.
        shutdown.abort();
        shutdown.tasks_ended().await;
        ensure!(!shutdown.has_failed(), "a part of the service had died; see the log");
        tracing::info!("all is answered");
        Ok(())
    }
}

/// Turns the death of a model that is in service into a shutdown: what starts the process anew
/// mends more than a process that answers nothing but errors.
pub(crate) fn watch_over(model: &Arc<ServedModel>, service: &Arc<Service>, shutdown: &Shutdown) {
    let health = model.health.clone();
    // A model that is replaced by a reload shall end.
    let (model, service, switch) = (Arc::downgrade(model), Arc::clone(service), shutdown.clone());
    shutdown.spawn(async move {
        ended(health).await;
        let Some(model) = model.upgrade() else { return };
        let in_service = service.models().current().iter().any(|other| Arc::ptr_eq(other, &model));
        if in_service && !switch.has_begun() {
            tracing::error!(model = model.info.name, "the engine has died, shutting down");
            switch.fail();
        }
    });
}

/// Waits until the engine's thread has ended.
async fn ended(mut health: watch::Receiver<Health>) {
    // An error says that the thread has gone without a word.
    let _ = health.wait_for(|health| *health == Health::Dead).await;
}
