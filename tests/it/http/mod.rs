//! The HTTP interface, in process, with engines that answer as told.

mod admin;
mod batch;
mod classify;
mod context;
mod explain;
mod grpc;
mod kserve;
mod lifecycle;
mod log;
mod meta;
mod page;
mod problems;
mod torchserve;
mod v2;
mod v2_errors;
mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use nin_serve::http::{
    Administration, Api, Guard, HttpConfig, RequestObserver, RequestRecord, router,
};
use nin_serve::service::{Service, ServiceConfig};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{FakeModel, fake_model, service, service_config};

/// The router over two models, of which `first` is the default.
struct Rig {
    router: Router,
    api: Arc<Api>,
    service: Arc<Service>,
    first: FakeHandles,
    records: Arc<Records>,
}

/// What is left of a [`FakeModel`] once it is served.
struct FakeHandles {
    engine: Arc<crate::support::FakeEngine>,
    health: tokio::sync::watch::Sender<nin_serve::engine::Health>,
}

#[derive(Default)]
struct Records(Mutex<Vec<RequestRecord>>);

impl RequestObserver for Records {
    fn ended(&self, record: &RequestRecord) {
        self.0.lock().expect("not poisoned").push(record.clone());
    }
}

impl Records {
    fn last(&self) -> RequestRecord {
        self.0.lock().expect("not poisoned").last().expect("a request has ended").clone()
    }
}

/// What can be set up otherwise.
struct Setup {
    service: ServiceConfig,
    http: HttpConfig,
    queue_capacity: usize,
    guard: Guard,
}

impl Default for Setup {
    fn default() -> Self {
        let http = HttpConfig {
            max_body: 200_000,
            body_timeout: Duration::from_secs(5),
            max_batch_images: 4,
        };
        Self { service: service_config(), http, queue_capacity: 64, guard: Guard::default() }
    }
}

impl Setup {
    fn rig(self) -> Rig {
        let FakeModel { served, engine, health } = fake_model("first", self.queue_capacity);
        let second = fake_model("second", self.queue_capacity).served;
        let service = service(self.service, vec![served, second]);
        let records = Arc::new(Records::default());
        let api = Api {
            service: Arc::clone(&service),
            config: self.http,
            observer: Arc::clone(&records) as Arc<dyn RequestObserver>,
            traces: None,
        };
        let panicking = axum::routing::get(async || -> () { panic!("secret panic") });
        let more = Router::new().route("/panic", panicking);
        let api = Arc::new(api);
        let repository = Arc::new(admin::Shelf(Arc::clone(&service)));
        let administration = Administration { api: Arc::clone(&api), repository };
        let router = router(Arc::clone(&api), more.merge(administration.routes()), self.guard);
        Rig { router, api, service, first: FakeHandles { engine, health }, records }
    }
}

fn rig() -> Rig {
    Setup::default().rig()
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Rig {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body in memory").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(request("GET", uri, None, Body::empty())).await
    }

    async fn post(&self, uri: &str, kind: &str, body: impl Into<Body>) -> Answer {
        self.send(request("POST", uri, Some(kind), body)).await
    }

    /// A request that goes on by itself.
    fn start(&self, request: Request<Body>) -> tokio::task::JoinHandle<StatusCode> {
        let router = self.router.clone();
        tokio::spawn(async move { router.oneshot(request).await.expect("infallible").status() })
    }

    /// Waits for something that other threads bring about.
    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        let wait = async {
            while !reached(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("within ten seconds");
    }
}

fn request(method: &str, uri: &str, kind: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(kind) = kind {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    request.body(body.into()).expect("a legal request")
}

/// Raw upload of a picture to `/classify`.
fn classify(picture: Vec<u8>) -> Request<Body> {
    request("POST", "/classify", Some("image/png"), picture)
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The answer as JSON, which must have status 200.
    fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The answer as a whole problem of that status and code.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{text}");
        assert_eq!(problem["type"], format!("urn:nin-serve:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for field in ["title", "detail", "instance", "request_id"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {text}"
            );
        }
        assert!(!text.contains("secret"), "{text}");
        problem
    }
}

/// `(name, file name, media type, content)` of a part.
type Part<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a [u8]);

const FORM: &str = "multipart/form-data; boundary=frontier";

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, kind, content) in parts {
        body.extend(
            format!("--frontier\r\ncontent-disposition: form-data; name=\"{name}\"").bytes(),
        );
        if let Some(file) = file {
            body.extend(format!("; filename=\"{file}\"").bytes());
        }
        if let Some(kind) = kind {
            body.extend(format!("\r\ncontent-type: {kind}").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--frontier--\r\n");
    body
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
