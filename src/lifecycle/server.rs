//! Accepts connections and speaks HTTP/1.1 and HTTP/2 on them.
//!
//! `axum::serve` has no timeout for request heads and no limits, so this stands on hyper's
//! builder.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Shutdown;
use super::body::Incoming;
use super::connections::{Connections, Patience, Place};
use super::tls::TlsAcceptor;

/// Bytes that hyper keeps of a request head at most; more is answered 431. The router refuses
/// long URIs and heads far below it, with a problem document.
const HEAD_BUFFER: usize = 128 * 1024;
/// Header lines of a request at most; more is answered 431.
const HEADER_LINES: usize = 100;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How long an open connection may bring one more request after the last was accepted. The
/// answer to it says "close", so that no request meets a connection that is just being closed.
const LINGER: Duration = Duration::from_millis(500);
/// Connections that the kernel queues for us at most.
const BACKLOG: usize = 1024;
/// Pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits of connections.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionConfig {
    /// Connections at once. At the limit the one that has kept us waiting longest makes room. The
    /// default stays below 1024 open files, the usual limit of a process
    #[arg(long, value_name = "COUNT", env = "NIN_MAX_CONNECTIONS", default_value = "900")]
    pub max_connections: NonZeroUsize,

    /// From a connection to its first whole request head, a TLS handshake included
    #[arg(long, value_name = "TIME", env = "NIN_HEADER_TIMEOUT", default_value = "10s")]
    #[arg(value_parser = crate::config::positive_duration)]
    pub header_timeout: Duration,

    /// From one answer to the next whole request head on a connection
    #[arg(long, value_name = "TIME", env = "NIN_IDLE_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = crate::config::positive_duration)]
    pub idle_timeout: Duration,
}

/// What to serve, and how; see [`Server::run`].
pub struct Server {
    pub router: Router,
    pub connections: ConnectionConfig,
    /// None: without TLS.
    pub tls: Option<TlsAcceptor>,
    /// How long to go on accepting once shutdown has begun.
    pub shutdown_delay: Duration,
}

impl Server {
    /// Serves until shutdown has begun and every accepted request has been answered.
    pub async fn run(self, listener: TcpListener, shutdown: Shutdown) {
        let patience = Patience {
            first: self.connections.header_timeout,
            next: self.connections.idle_timeout,
        };
        let connections = Connections::new(self.connections.max_connections, patience);
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let handler = Arc::new(Handler {
            http: http(Executor { tasks: tasks.clone(), shutdown: shutdown.clone() }),
            router: self.router,
            tls: self.tls,
            shutdown: shutdown.clone(),
            closing: closing.clone(),
        });
        let admit = async |stream| {
            let place = Arc::new(connections.admit().await);
            let task = Arc::clone(&handler).handle(stream, place);
            tasks.spawn(shutdown.clone().run_until_aborted(task));
        };
        let mut stop = pin!(async {
            shutdown.begun().await;
            sleep(self.shutdown_delay).await;
        });
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => admit(stream).await,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    connections.cut_longest_waiting();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        for stream in already_connected(listener).await {
            admit(stream).await;
        }
        tasks.close();
        tokio::select! {
            () = tasks.wait() => {}
            () = sleep(LINGER) => closing.cancel(),
        }
        tasks.wait().await;
    }
}

/// Closes the listener. Those who got a connection from the kernel before shall not find it
/// reset.
async fn already_connected(listener: TcpListener) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    while streams.len() < BACKLOG {
        tokio::select! {
            biased;
            Ok((stream, _)) = listener.accept() => streams.push(stream),
            () = std::future::ready(()) => break,
        }
    }
    streams
}

fn http(executor: Executor) -> auto::Builder<Executor> {
    let mut builder = auto::Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        // Ours, in `connections`, tells a first head from an idle connection. Hyper's doesn't,
        // and it does not cover the first bytes, by which the protocol is told.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BUFFER)
        .max_headers(HEADER_LINES);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
    builder
}

/// Runs the streams of HTTP/2 connections as tasks that are waited for.
#[derive(Debug, Clone)]
struct Executor {
    tasks: TaskTracker,
    shutdown: Shutdown,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, task: F) {
        self.tasks.spawn(self.shutdown.clone().run_until_aborted(task));
    }
}

/// What every connection needs.
struct Handler {
    http: auto::Builder<Executor>,
    router: Router,
    tls: Option<TlsAcceptor>,
    shutdown: Shutdown,
    /// Connections are to end once idle.
    closing: CancellationToken,
}

impl Handler {
    async fn handle(self: Arc<Self>, stream: TcpStream, place: Arc<Place>) {
        // An answer is written in one go; waiting to fill a segment would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY failed");
        }
        match &self.tls {
            None => self.speak(stream, place).await,
            Some(tls) => {
                let handshake = tokio::select! {
                    handshake = tls.accept(stream) => handshake,
                    () = place.overdue() => return,
                };
                match handshake {
                    Ok(stream) => self.speak(stream, place).await,
                    Err(error) => tracing::debug!(%error, "the TLS handshake failed"),
                }
            }
        }
    }

    async fn speak(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        place: Arc<Place>,
    ) {
        let service = service_fn(|request| {
            let (handler, busy) = (Arc::clone(&self), place.begin_request());
            let request = request.map(|body| Body::new(Incoming::new(body, &place)));
            async move {
                let response = handler.answer(request).await;
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = place.overdue() => return,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = place.overdue() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection broke");
        }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let closable = request.version() < Version::HTTP_2;
        let Ok(mut response) = self.router.clone().oneshot(request).await;
        if closable && self.shutdown.has_begun() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
