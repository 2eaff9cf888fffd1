//! Traces: where the time of each request went, for collectors that speak OTLP over gRPC.
//!
//! The stages of a request are measured anyway, for the log and `Server-Timing`; spans are made of
//! these times once a stage is over. Where nothing is exported a [`Trace`] is empty and costs a
//! glance, and neither the queue nor the engine knows of tracing.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use axum::http::Uri;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// The variables of every OpenTelemetry program, the more special first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const SERVICE_NAME: &str = "service.name";

/// Where traces go.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceConfig {
    /// Send traces to this OpenTelemetry collector, by OTLP over gRPC, such as
    /// `http://127.0.0.1:4317`. Without it `OTEL_EXPORTER_OTLP_ENDPOINT` counts; `OTEL_SERVICE_NAME`,
    /// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and `OTEL_BSP_…` are obeyed, too
    #[arg(long, value_name = "URL", env = "NIN_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

impl TraceConfig {
    /// The collector, and what it was named by.
    fn endpoint(&self) -> Option<(&'static str, String)> {
        let asked = self.otlp_endpoint.clone().map(|endpoint| ("--otlp-endpoint", endpoint));
        let usual = || ENDPOINTS.iter().find_map(|name| Some((*name, std::env::var(name).ok()?)));
        asked.or_else(usual).filter(|(_, endpoint)| !endpoint.is_empty())
    }

    /// None if nothing is to be exported. Must be called on a tokio runtime.
    pub fn start(&self) -> anyhow::Result<Option<Traces>> {
        let Some((flag, endpoint)) = self.endpoint() else { return Ok(None) };
        Traces::start(&endpoint).with_context(|| format!("{flag} {endpoint}")).map(Some)
    }
}

/// Sends spans to a collector, in batches, from a thread of its own. Clones are the same.
#[derive(Debug, Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    fn start(endpoint: &str) -> anyhow::Result<Self> {
        let url: Uri = endpoint.parse()?;
        let plain = url.scheme_str() == Some("http") && url.authority().is_some();
        ensure!(plain, "must be like http://host:4317; TLS is the collector's business");
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Self { provider, tracer })
    }

    /// Begins the span of a request, below the one that `parent` (W3C Trace Context) names, if it
    /// names one.
    pub fn begin(&self, name: String, parent: &dyn Extractor) -> Trace {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), parent);
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let span = self.tracer.span_builder(name);
        let span = span.with_kind(SpanKind::Server).with_start_time(began_at);
        let span = self.tracer.build_with_context(span, &parent);
        let context = Context::new().with_span(span);
        Trace(Some(Arc::new(Open { tracer: self.tracer.clone(), context, began, began_at })))
    }

    /// Sends what has not been sent, not longer than `patience`. Nothing is recorded after.
    pub async fn flush(self, patience: Duration) {
        // On a thread that may block: the sending itself needs those of the runtime.
        let flush = move || self.provider.shutdown_with_timeout(patience);
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::error!(%error, "sending the last traces failed"),
        }
    }
}

/// Who we are, unless the environment says otherwise.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let named = found.get(&SERVICE_NAME.into()).map(|name| name.to_string());
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match named {
        Some(name) if !name.starts_with("unknown_service") => resource.build(),
        _ => resource.with_service_name(env!("CARGO_PKG_NAME")).build(),
    }
}

/// The trace of one request, empty if it is not exported. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    tracer: SdkTracer,
    /// Holds the request's span.
    context: Context,
    /// The same moment twice.
    began: Instant,
    began_at: SystemTime,
}

/// A part of a request that is over.
pub struct Stage<'a> {
    pub name: &'static str,
    pub begun: Instant,
    pub took: Duration,
    pub attribute: Option<(&'static str, i64)>,
    /// Why it failed.
    pub error: Option<&'a dyn Display>,
}

impl Trace {
    /// The trace's id, 32 hexadecimal digits.
    pub fn id(&self) -> Option<String> {
        Some(self.span_context()?.trace_id().to_string())
    }

    /// The request's span as W3C Trace Context writes it in `traceparent`.
    pub fn header(&self) -> Option<String> {
        let span = self.span_context()?;
        let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
        Some(format!("00-{trace}-{id}-{flags:02x}"))
    }

    fn span_context(&self) -> Option<SpanContext> {
        let open = self.0.as_ref()?;
        Some(open.context.span().span_context().clone())
    }

    /// Adds a span below that of the request.
    pub fn record(&self, stage: Stage<'_>) {
        let Some(open) = &self.0 else { return };
        let at = |moment: Instant| {
            open.began_at + moment.checked_duration_since(open.began).unwrap_or_default()
        };
        let span = open.tracer.span_builder(stage.name).with_start_time(at(stage.begun));
        let mut span = open.tracer.build_with_context(span, &open.context);
        if let Some((name, value)) = stage.attribute {
            span.set_attribute(KeyValue::new(name, value));
        }
        if let Some(error) = stage.error {
            span.set_status(Status::error(error.to_string()));
        }
        span.end_with_timestamp(at(stage.begun + stage.took));
    }

    /// Ends the request's span. `attributes` are made only if it is exported.
    pub fn end(&self, attributes: impl FnOnce() -> Vec<KeyValue>, failed: bool) {
        let Some(open) = &self.0 else { return };
        let span = open.context.span();
        span.set_attributes(attributes());
        if failed {
            // What failed is among the attributes.
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(open.began_at + open.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(endpoint: &str) -> anyhow::Result<Option<Traces>> {
        TraceConfig { otlp_endpoint: Some(endpoint.to_owned()) }.start()
    }

    #[tokio::test]
    async fn an_endpoint_is_a_url() {
        for wrong in ["127.0.0.1:4317", "collector", "https://collector:4317", "http://", "::"] {
            let error = start(wrong).err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(error.contains("--otlp-endpoint"), "{wrong}: {error}");
        }
        assert!(start("").is_ok_and(|traces| traces.is_none()));
    }

    #[test]
    fn an_empty_trace_takes_everything() {
        let trace = Trace::default();
        let (begun, took) = (Instant::now(), Duration::ZERO);
        trace.record(Stage { name: "decode", begun, took, attribute: None, error: None });
        trace.end(|| unreachable!("nobody wants to know"), true);
        assert_eq!((trace.id(), trace.header()), (None, None));
    }
}
