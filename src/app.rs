//! The whole service: build → run until shutdown → drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::batching::BatchConfig;
use crate::config::Config;
use crate::engine::Health;
use crate::http::{Api, HttpConfig, router};
use crate::lifecycle::{Server, Shutdown};
use crate::metrics::{self, Metrics, ServiceGauges};
use crate::models::{Cpus, Engine, Loader};
use crate::service::{ModelSet, Service, ServiceConfig};
use crate::threads::Threads;

/// A service that is ready to answer.
pub struct App {
    service: Arc<Service>,
    engines: Vec<(String, Arc<Engine>)>,
    server: Server,
    drain_timeout: Duration,
}

impl App {
    /// Loads and warms up every model, and puts the parts together. Must be called on a tokio
    /// runtime.
    pub async fn build(config: Config, threads: Threads) -> anyhow::Result<Self> {
        let started = Instant::now();
        let tls = config.tls.acceptor()?;
        let (metrics, mut registry) = Metrics::new();
        let loader = loader(&config, threads, &metrics);
        let (models, engines) = loader.load_all(&config.models.models).await?.into_iter().unzip();
        todo!()
    }
}
