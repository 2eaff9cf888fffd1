//! Traces, as a collector gets them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use nin_serve::lifecycle::{ConnectionConfig, Server, Shutdown};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use tokio::net::TcpListener;

use super::process::{PATIENCE, Process, binary, models, png, status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// Of a message in gRPC: a flag and the length.
const FRAME: usize = 5;

/// Takes spans as OpenTelemetry's own collector does, at the call that all exporters make.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let router = Router::new().route(path, post(export)).with_state(collector.clone());
        let server = Server {
            router,
            connections: ConnectionConfig {
                max_connections: crate::support::count(10),
                header_timeout: PATIENCE,
                idle_timeout: PATIENCE,
            },
            tls: None,
            shutdown_delay: Duration::ZERO,
        };
        tokio::spawn(server.run(listener, Shutdown::default()));
        (collector, address)
    }

    fn spans(&self) -> Vec<Span> {
        let exports = self.0.lock().expect("not poisoned");
        let resources = exports.iter().flat_map(|export| &export.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// What the sender says of itself.
    fn resource(&self) -> Vec<KeyValue> {
        let exports = self.0.lock().expect("not poisoned");
        let resource = exports.first().and_then(|export| export.resource_spans.first());
        resource.and_then(|spans| spans.resource.clone()).expect("a resource").attributes
    }
}

async fn export(State(collector): State<Collector>, body: Bytes) -> Response<Body> {
    let message = ExportTraceServiceRequest::decode(&body[FRAME..]).expect("the right message");
    collector.0.lock().expect("not poisoned").push(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let answer = Full::new(Bytes::from_static(&[0; FRAME]));
    let answer = Body::new(answer.with_trailers(async move { Some(Ok(trailers)) }));
    Response::builder().header("content-type", "application/grpc").body(answer).expect("legal")
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    let AnyValue { value } = found.value.clone()?;
    value
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.to_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs blocking requests beside the collector.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// Sends a picture, with more header lines.
fn classify(process: &Process, headers: &str, body: &[u8]) -> String {
    let head = format!(
        "POST /classify HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    process.exchange([head.as_bytes(), body].concat())
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_a_span_below_that_of_its_client_with_one_for_each_stage() {
    let (collector, address) = Collector::start().await;
    let answer = blocking(move || {
        let mut process = Process::start(&["--otlp-endpoint", &format!("http://{address}")]);
        let traceparent = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
        let answer = classify(&process, &traceparent, &png(40));
        let line = process.log_line("\"message\":\"request\"");
        assert!(line.contains(TRACE), "the log names the trace: {line}");
        process.get("/health/ready", "");
        process.signal("TERM");
        assert!(process.wait().success());
        answer
    })
    .await;
    assert_eq!(status(&answer), "200", "{answer}");

    let spans = collector.spans();
    let request = named(&spans, "POST /classify");
    let [request] = request[..] else { panic!("{spans:?}") };
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    assert_eq!(request.kind(), SpanKind::Server);
    let attributes = &request.attributes;
    assert_eq!(attribute(attributes, "http.route"), text("/classify"));
    assert_eq!(attribute(attributes, "nin.model"), text("small"));
    assert_eq!(attribute(attributes, "http.response.status_code"), Some(Value::IntValue(200)));
    let told = format!("00-{TRACE}-{}-01", hex(&request.span_id));
    assert_eq!(header(&answer, "traceparent"), Some(&told[..]));
    assert_eq!(header(&answer, "traceresponse"), Some(&told[..]));

    let mut last_end = request.start_time_unix_nano;
    for stage in ["decode", "queue", "inference"] {
        let stages = named(&spans, stage);
        let [stage] = stages[..] else { panic!("{spans:?}") };
        assert_eq!(stage.trace_id, request.trace_id);
        assert_eq!(stage.parent_span_id, request.span_id, "{}", stage.name);
        assert!(stage.start_time_unix_nano >= last_end, "{} begins too early", stage.name);
        assert!(stage.end_time_unix_nano >= stage.start_time_unix_nano);
        last_end = stage.end_time_unix_nano;
    }
    assert!(last_end <= request.end_time_unix_nano, "the stages are within the request");
    let batch = attribute(&named(&spans, "inference")[0].attributes, "nin.batch_size");
    assert_eq!(batch, Some(Value::IntValue(1)));
    assert_eq!(spans.len(), 4, "probes are no traces: {spans:?}");
    assert_eq!(attribute(&collector.resource(), "service.name"), text("nin-serve"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_wrong_is_in_its_span() {
    let (collector, address) = Collector::start().await;
    blocking(move || {
        let mut process = Process::start(&["--otlp-endpoint", &format!("http://{address}")]);
        let picture = png(40);
        // A trace that is no trace begins a new one.
        let broken = format!("traceparent: 00-{}-{PARENT}-01\r\n", "0".repeat(32));
        let answer = classify(&process, &broken, &picture[..picture.len() / 2]);
        assert_eq!(status(&answer), "422", "{answer}");
        process.signal("TERM");
        assert!(process.wait().success());
    })
    .await;
    let spans = collector.spans();
    let request = named(&spans, "POST /classify")[0];
    assert_eq!(hex(&request.parent_span_id), "", "no parent");
    assert_ne!(hex(&request.trace_id), "0".repeat(32));
    assert_eq!(attribute(&request.attributes, "error.type"), text("corrupt-image"));
    // The client's error is none of the server's.
    assert!(request.status.as_ref().is_none_or(|status| status.code() == StatusCode::Unset));
    let decode = named(&spans, "decode")[0].status.clone().expect("a status");
    assert_eq!(decode.code(), StatusCode::Error);
    assert!(named(&spans, "inference").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_sample_is_not_exported() {
    let (collector, address) = Collector::start().await;
    blocking(move || {
        let mut process = Process::start(&["--otlp-endpoint", &format!("http://{address}")]);
        let unsampled = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
        let answer = classify(&process, &unsampled, &png(40));
        assert!(
            header(&answer, "traceparent").is_some_and(|told| told.ends_with("-00")),
            "{answer}"
        );
        process.signal("TERM");
        assert!(process.wait().success());
    })
    .await;
    assert_eq!(collector.spans().len(), 0);
}

/// Nothing is exported, nothing is said; and a collector that is away holds up neither requests
/// nor the end.
#[test]
fn no_collector_is_no_obstacle() {
    let traceparent = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let process = Process::start(&[]);
    let answer = classify(&process, &traceparent, &png(40));
    assert_eq!((status(&answer), header(&answer, "traceparent")), ("200", None), "{answer}");

    let mut process = Process::start(&["--otlp-endpoint", "http://127.0.0.1:9"]);
    let answer = classify(&process, &traceparent, &png(40));
    assert_eq!(status(&answer), "200", "{answer}");
    process.signal("TERM");
    assert!(process.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_variables_are_obeyed() {
    let (collector, address) = Collector::start().await;
    blocking(move || {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
            ("OTEL_SERVICE_NAME", "pictures".to_owned()),
        ];
        let mut process = Process::start_in(&variables);
        assert_eq!(status(&classify(&process, "", &png(40))), "200");
        process.signal("TERM");
        assert!(process.wait().success());
    })
    .await;
    assert_eq!(named(&collector.spans(), "inference").len(), 1);
    assert_eq!(attribute(&collector.resource(), "service.name"), text("pictures"));
}

#[test]
fn a_bad_endpoint_stops_the_start() {
    let models = models();
    let output = binary()
        .args(["--listen", "127.0.0.1:0", "--otlp-endpoint", "collector:4317", "--models"])
        .arg(models.path())
        .output()
        .expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(log.lines().last().is_some_and(|line| line.contains("--otlp-endpoint")), "{log}");
}
