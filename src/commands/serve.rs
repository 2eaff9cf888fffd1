//! `nin-serve serve`: the HTTP service.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

use crate::app::{App, Listeners};
use crate::config::Config;
use crate::environment;
use crate::lifecycle::{Shutdown, listen_to_signals};
use crate::memory;
use crate::telemetry::{self, LogConfig};
use crate::threads::Threads;

/// Serve the models over HTTP (the default)
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    log: LogConfig,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  nin-serve
  nin-serve --listen 0.0.0.0:8080 --models /srv/models --log-format json
  NIN_API_KEY=… nin-serve serve --memory-budget 1GiB --shutdown-delay 5s
  curl --data-binary @digit.png http://127.0.0.1:8080/classify";

pub fn run(Args { config, log }: Args) -> anyhow::Result<()> {
    let completed = environment::complete();
    config.check()?;
    memory::share_one_heap();
    memory::give_back_regularly()?;
    telemetry::init(&log, "info")?;
    if let Err(error) = completed {
        tracing::warn!(%error, "libtorch's idle threads may take a core from others for milliseconds");
    }
    let threads = config.backend.threads();
    tracing::info!("{threads}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.runtime.get())
        .thread_name("http")
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let served = runtime.block_on(serve(config, threads));
    // What still runs is not waited for: after an abort nobody wants it.
    runtime.shutdown_background();
    served
}

async fn serve(config: Config, threads: Threads) -> anyhow::Result<()> {
    let shutdown = Shutdown::default();
    listen_to_signals(&shutdown).context("listening to signals")?;
    // Before the models, so that a port in use is told at once. Who connects meanwhile is
    // answered as soon as the models are ready.
    let listeners = Listeners {
        http: bind("--listen", config.listen).await?,
        grpc: match config.grpc_listen {
            Some(address) => Some(bind("--grpc-listen", address).await?),
            None => None,
        },
    };
    let address = listeners.http.local_addr().context("reading the own address")?;
    let grpc = listeners.grpc.as_ref().and_then(|listener| listener.local_addr().ok());
    let app = tokio::select! {
        app = App::build(config, threads, &shutdown) => app?,
        () = shutdown.aborted() => bail!("aborted while starting"),
    };
    tracing::info!(%address, grpc = grpc.map(tracing::field::display), "ready");
    app.run(listeners, shutdown).await
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address}"))
}
