//! Metrics in the text format of OpenMetrics, which Prometheus reads.
//!
//! What happens is counted here; what *is* (queue depths, bytes in flight, the process) is read
//! off its owner at each scrape, so it cannot drift. Every label is bounded: routes by the
//! router's table, models by the folder, outcomes by the error codes.

mod gauges;
pub(crate) mod http;
#[cfg(target_os = "linux")]
mod process;

pub use gauges::ServiceGauges;
pub use http::{METRICS, routes};

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::batching::{Dropped, Observer};
use crate::http::Code;
use crate::service::{Classification, PictureObserver, ServiceError};

/// Of every name but those of the process.
pub const PREFIX: &str = "nin";

/// 0.1 ms to 10 s.
const SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
const BATCH_SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Histograms by label.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    /// As in the router's table, `unmatched` if it has none.
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ImageLabels {
    model: String,
    /// `ok`, or the code of the error.
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FormatLabel {
    format: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    model: String,
    reason: &'static str,
}

/// Counters and histograms. Clones count into the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_duration: Histograms<RouteLabel>,
    images: Family<ImageLabels, Counter>,
    decode_duration: Histograms<FormatLabel>,
    queue_wait: Histograms<ModelLabel>,
    batch_size: Histograms<ModelLabel>,
    inference_duration: Histograms<ModelLabel>,
    jobs_dropped: Family<DropLabels, Counter>,
    engine_restarts: Family<ModelLabel, Counter>,
}

impl Metrics {
    /// Metrics of their own, and the registry that encodes them.
    pub fn new() -> (Self, Registry) {
        fn seconds() -> Histogram {
            Histogram::new(SECONDS)
        }
        fn sizes() -> Histogram {
            Histogram::new(BATCH_SIZES)
        }
        let metrics = Self {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(seconds),
            images: Family::default(),
            decode_duration: Family::new_with_constructor(seconds),
            queue_wait: Family::new_with_constructor(seconds),
            batch_size: Family::new_with_constructor(sizes),
            inference_duration: Family::new_with_constructor(seconds),
            jobs_dropped: Family::default(),
            engine_restarts: Family::default(),
        };
        let registry = metrics.register();
        (metrics, registry)
    }

    fn register(&self) -> Registry {
        let mut all = Registry::default();
        #[cfg(target_os = "linux")]
        all.register_collector(Box::new(process::ProcessMetrics));
        let registry = all.sub_registry_with_prefix(PREFIX);
        registry.register("http_requests", "Answered requests", self.requests.clone());
        for (name, help, histograms) in [
            ("queue_wait", "From a job's arrival to the start of its batch", &self.queue_wait),
            ("inference_duration", "One batch on the engine", &self.inference_duration),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histograms.clone());
        }
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to its answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register_with_unit(
            "decode_duration",
            "From the bytes of a picture to pixels",
            Unit::Seconds,
            self.decode_duration.clone(),
        );
        registry.register("images", "Pictures by what came of them", self.images.clone());
        registry.register("batch_size", "Pictures in one batch", self.batch_size.clone());
        registry.register(
            "jobs_dropped",
            "Jobs that left the queue without being computed",
            self.jobs_dropped.clone(),
        );
        registry.register(
            "engine_restarts",
            "Networks built anew after a panic",
            self.engine_restarts.clone(),
        );
        all
    }

    /// The metrics of one model's queue. All its series exist from now on, so that a rate can be
    /// taken from the first event on.
    pub fn of_model(&self, model: &str) -> ModelMetrics {
        let label = ModelLabel { model: model.to_owned() };
        let dropped = |reason: Dropped| {
            let labels = DropLabels { model: model.to_owned(), reason: reason.as_str() };
            self.jobs_dropped.get_or_create_owned(&labels)
        };
        ModelMetrics {
            queue_wait: self.queue_wait.get_or_create_owned(&label),
            batch_size: self.batch_size.get_or_create_owned(&label),
            inference_duration: self.inference_duration.get_or_create_owned(&label),
            client_gone: dropped(Dropped::ClientGone),
            deadline: dropped(Dropped::Deadline),
            restarts: self.engine_restarts.get_or_create_owned(&label),
        }
    }

    fn request(&self, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.request_duration
            .get_or_create(&RouteLabel { route: route.clone() })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }
}

impl PictureObserver for Metrics {
    fn ended(&self, model: &str, outcome: Result<&Classification, &ServiceError>) {
        if let Ok(found) = outcome {
            let format = FormatLabel { format: found.header.format.to_string().to_lowercase() };
            let took = found.timings.decode.as_secs_f64();
            self.decode_duration.get_or_create(&format).observe(took);
        }
        let outcome = outcome.map_or_else(|error| Code::from(error).as_str(), |_| "ok");
        self.images.get_or_create(&ImageLabels { model: model.to_owned(), outcome }).inc();
    }
}

/// What a model's queue and engine report.
#[derive(Debug, Clone)]
pub struct ModelMetrics {
    queue_wait: Histogram,
    batch_size: Histogram,
    inference_duration: Histogram,
    client_gone: Counter,
    deadline: Counter,
    restarts: Counter,
}

impl ModelMetrics {
    /// The network was built anew.
    pub fn restarted(&self) {
        self.restarts.inc();
    }
}

impl Observer for ModelMetrics {
    fn queue_wait(&self, wait: Duration) {
        self.queue_wait.observe(wait.as_secs_f64());
    }

    fn batch(&self, size: usize, inference: Duration) {
        self.batch_size.observe(size as f64);
        self.inference_duration.observe(inference.as_secs_f64());
    }

    fn dropped(&self, reason: Dropped) {
        match reason {
            Dropped::ClientGone => self.client_gone.inc(),
            Dropped::Deadline => self.deadline.inc(),
        };
    }
}
