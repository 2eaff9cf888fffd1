//! Settings: flags, and `NIN_…` variables of the same names. Each concern has its own struct,
//! which is also its part of the command line, so that a setting is written down once.

mod security;

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use bytesize::ByteSize;

use crate::lifecycle::{ConnectionConfig, TlsConfig};
use crate::model::Precision;
use crate::threads::Threads;
use crate::traces::TraceConfig;
pub use security::{ApiKey, MetricsAccess, SecurityConfig};

/// All that `serve` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address and port to listen on. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "NIN_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Speak the Open Inference Protocol over gRPC, too, on this address and port
    #[arg(long, value_name = "ADDRESS", env = "NIN_GRPC_LISTEN")]
    pub grpc_listen: Option<SocketAddr>,

    #[command(flatten)]
    pub backend: BackendConfig,
    #[command(flatten)]
    pub connections: ConnectionConfig,
    #[command(flatten)]
    pub security: SecurityConfig,
    #[command(flatten)]
    pub tls: TlsConfig,
    #[command(flatten)]
    pub shutdown: ShutdownConfig,
    #[command(flatten)]
    pub traces: TraceConfig,
}

/// All that classification depends on, with a server or without.
#[derive(Debug, Clone, clap::Args)]
pub struct BackendConfig {
    #[command(flatten)]
    pub models: ModelsConfig,
    #[command(flatten)]
    pub batching: BatchingConfig,
    #[command(flatten)]
    pub requests: RequestConfig,
    #[command(flatten)]
    pub threads: ThreadConfig,
}

/// Which networks, and their arithmetic.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Models")]
pub struct ModelsConfig {
    /// Folder that holds one folder for each model
    #[arg(long, value_name = "FOLDER", env = "NIN_MODELS", default_value = "models")]
    pub models: PathBuf,

    /// Model for requests that name none; without it the first by name
    #[arg(long, value_name = "NAME", env = "NIN_DEFAULT_MODEL")]
    pub default_model: Option<String>,

    /// Arithmetic of the networks. `auto` is bf16 where the processor has it, a model is faster
    /// in it, and its golden check holds; else f32. Answers in bf16 differ in the third decimal,
    /// and with `auto` replicas may differ
    #[arg(long, value_name = "KIND", env = "NIN_PRECISION", default_value = "f32")]
    pub precision: PrecisionChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PrecisionChoice {
    Auto,
    F32,
    Bf16,
}

impl PrecisionChoice {
    /// None: to be found out for each model.
    pub fn fixed(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(Precision::F32),
            Self::Bf16 => Some(Precision::Bf16),
        }
    }
}

/// The queue before each network.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Batching")]
pub struct BatchingConfig {
    /// Pictures that run through a network at once, at most
    #[arg(long, value_name = "COUNT", env = "NIN_MAX_BATCH", default_value = "32")]
    pub max_batch: NonZeroUsize,

    /// How long a part-filled batch is held back for more. A lone picture never is
    #[arg(long, value_name = "TIME", env = "NIN_MAX_DELAY", default_value = "0s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub max_delay: Duration,

    /// Pictures that wait for each network, at most; more are refused with 503
    #[arg(long, value_name = "COUNT", env = "NIN_QUEUE_CAPACITY", default_value = "512")]
    pub queue_capacity: NonZeroUsize,
}

/// Limits of one request and of all together.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Requests")]
pub struct RequestConfig {
    /// From the arrival of a request to its answer; a client may ask for less by `timeout_ms`
    #[arg(long, value_name = "TIME", env = "NIN_REQUEST_TIMEOUT", default_value = "30s")]
    #[arg(value_parser = positive_duration)]
    pub request_timeout: Duration,

    /// From the head of a request to the end of its body
    #[arg(long, value_name = "TIME", env = "NIN_BODY_TIMEOUT", default_value = "20s")]
    #[arg(value_parser = positive_duration)]
    pub body_timeout: Duration,

    /// Bytes of a request body
    #[arg(long, value_name = "SIZE", env = "NIN_MAX_BODY", default_value = "20MiB")]
    #[arg(value_parser = positive_size)]
    pub max_body: ByteSize,

    /// Pixels of a picture, judged by its header before anything is decoded
    #[arg(long, value_name = "COUNT", env = "NIN_MAX_PIXELS", default_value = "50000000")]
    pub max_pixels: NonZeroU64,

    /// Memory that all requests may hold together: bodies, decoded pictures, queue
    #[arg(long, value_name = "SIZE", env = "NIN_MEMORY_BUDGET", default_value = "512MiB")]
    #[arg(value_parser = positive_size)]
    pub memory_budget: ByteSize,

    /// Pictures in one `/classify/batch` request
    #[arg(long, value_name = "COUNT", env = "NIN_MAX_BATCH_IMAGES", default_value = "64")]
    pub max_batch_images: NonZeroUsize,
}

/// Sizes of the thread pools.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Threads")]
pub struct ThreadConfig {
    /// Threads that decode pictures. Without it: as many as the process may use CPUs
    #[arg(long, value_name = "COUNT", env = "NIN_DECODE_THREADS")]
    pub decode_threads: Option<NonZeroUsize>,

    /// Threads that run a batch. Without it: as many as the process may use CPUs
    #[arg(long, value_name = "COUNT", env = "NIN_INFERENCE_THREADS")]
    pub inference_threads: Option<NonZeroUsize>,
}

/// How the process ends.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Shutdown")]
pub struct ShutdownConfig {
    /// After the first signal: how long to go on accepting while /health/ready already says
    /// 503, so that a load balancer can turn to others
    #[arg(long, value_name = "TIME", env = "NIN_SHUTDOWN_DELAY", default_value = "0s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub shutdown_delay: Duration,

    /// After that: how long accepted requests may take to finish
    #[arg(long, value_name = "TIME", env = "NIN_DRAIN_TIMEOUT", default_value = "30s")]
    #[arg(value_parser = positive_duration)]
    pub drain_timeout: Duration,
}

impl Config {
    /// Checks what no flag can tell alone.
    pub fn check(&self) -> anyhow::Result<()> {
        self.backend.check()?;
        ensure!(
            self.security.metrics_access != MetricsAccess::Key || self.security.api_key.is_some(),
            "--metrics-access key needs an --api-key"
        );
        Ok(())
    }
}

impl BackendConfig {
    pub fn check(&self) -> anyhow::Result<()> {
        let RequestConfig { max_body, memory_budget, .. } = &self.requests;
        ensure!(
            memory_budget >= max_body,
            "--memory-budget ({memory_budget}) must not be below --max-body ({max_body})"
        );
        Ok(())
    }

    pub fn threads(&self) -> Threads {
        Threads::detect(self.threads.decode_threads, self.threads.inference_threads)
    }
}

/// Parses a time such as `250ms` or `1m 30s`, above zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be above zero".to_owned()) } else { Ok(duration) }
}

/// Parses a size such as `20MiB`, above zero.
fn positive_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    if size.as_u64() == 0 { Err("must be above zero".to_owned()) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let arguments = ["test"].iter().chain(arguments);
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
        cli.config.check().map_err(|error| error.to_string())?;
        Ok(cli.config)
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = parse(&[]).expect("valid defaults");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.backend.batching.max_delay, Duration::ZERO);
    }

    #[test]
    fn sizes_and_times_have_units() {
        let config = parse(&["--max-body=1.5MiB", "--max-delay=2ms"]).expect("valid");
        assert_eq!(config.backend.requests.max_body.as_u64(), 3 << 19);
        assert_eq!(config.backend.batching.max_delay, Duration::from_millis(2));
    }

    #[test]
    fn a_bad_value_names_its_flag() {
        for flag in [
            "--listen=localhost",
            "--grpc-listen=50051",
            "--max-batch=0",
            "--max-delay=-1s",
            "--queue-capacity=many",
            "--request-timeout=0s",
            "--header-timeout=soon",
            "--max-body=0",
            "--max-pixels=-5",
            "--memory-budget=1MiB",
            "--decode-threads=0",
            "--precision=f64",
            "--api-key=two words",
            "--metrics-access=key",
            "--tls-cert=cert.pem",
            "--cors-origin=https://example.org/page",
            "--drain-timeout=0ms",
        ] {
            let error = parse(&[flag]).expect_err(flag);
            let (name, _) = flag.split_once('=').expect("a flag with a value");
            assert!(error.contains(name), "{flag}: {error}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let config = parse(&["--api-key=hush"]).expect("valid");
        assert!(!format!("{config:?}").contains("hush"));
    }
}
