//! What is known of a request beside its content: its name, its record, its line in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

use super::code::Code;
use super::problem::Problem;
use super::{Api, linger, trace};
use crate::service::Timings;
use crate::traces::Trace;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The status that the log and the metrics give to requests whose client hung up.
pub const CLIENT_CLOSED: u16 = 499;

/// Told of every request once it has ended. Called on the runtime: it must not block.
pub trait RequestObserver: Send + Sync + 'static {
    fn ended(&self, record: &RequestRecord) {
        let _ = record;
    }
}

/// Observes nothing.
impl RequestObserver for () {}

/// A request that has ended.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// `OTHER` if the method is none of the usual ones, so that clients can't invent values.
    pub method: &'static str,
    /// The route's template; none if the path is unknown.
    pub route: Option<String>,
    /// [`CLIENT_CLOSED`] if the client hung up before the answer.
    pub status: u16,
    /// From the arrival of the headers to that of the answer's.
    pub duration: Duration,
    pub request_id: String,
    /// Of the problem, if it is one.
    pub code: Option<Code>,
    pub work: Work,
}

/// What was done for a request; filled in by its handler.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// The model that was asked, known to exist.
    pub model: Option<String>,
    /// Pictures in the request.
    pub pictures: usize,
    /// Most pictures that ran together with one of these.
    pub batch_size: Option<usize>,
    /// The longest of each if there were several pictures.
    pub timings: Option<Timings>,
}

/// An extension of every request. Clones share the record.
#[derive(Debug, Clone)]
pub struct RequestContext {
    id: Arc<str>,
    path: Arc<str>,
    trace: Trace,
    work: Arc<Mutex<Work>>,
}

impl RequestContext {
    fn new(request: &Request, trace: Trace) -> Self {
        Self {
            id: request_id(request.headers()),
            path: request.uri().path().into(),
            trace,
            work: Arc::default(),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Empty if it is not exported.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub fn record(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn work(&self) -> Work {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the client calls the request, if that can go into headers and logs as it is; else a new
/// UUID of version 7, which sorts by time.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let sane = |id: &&str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (1..=128).contains(&id.len()) && id.chars().all(fits)
    };
    let sent = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    sent.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into)
}

/// The outermost layer: names the request, writes its problem, and reports how it ended.
pub async fn track(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let context = RequestContext::new(&request, trace::begin(&api, &request, route.as_deref()));
    request.extensions_mut().insert(context.clone());
    let own = context.trace().id();
    let trace_id = own.as_deref().or_else(|| trace::named(request.headers()));
    let span = tracing::info_span!("request", request_id = context.id(), trace_id);
    let (request, unread) = linger::watch(request);
    let access = Access {
        method: known_method(request.method()),
        route,
        arrived: Instant::now(),
        outcome: None,
        context,
        api,
        span: span.clone(),
    };
    async move {
        let mut response = next.run(request).await;
        unread.discard(response.status()).await;
        access.end(&mut response);
        response
    }
    .instrument(span)
    .await
}

/// Reports the request when it is dropped, be it answered or abandoned.
struct Access {
    api: Arc<Api>,
    context: RequestContext,
    span: tracing::Span,
    method: &'static str,
    route: Option<String>,
    arrived: Instant,
    outcome: Option<(StatusCode, Option<Code>)>,
}

impl Access {
    /// Completes the answer.
    fn end(mut self, response: &mut Response) {
        let problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = &problem {
            let mut headers = std::mem::take(response.headers_mut());
            // Said of the body that is replaced.
            headers.remove(header::CONTENT_LENGTH);
            *response = problem.render(&self.context);
            headers.extend(std::mem::take(response.headers_mut()));
            *response.headers_mut() = headers;
        }
        // Made of visible ASCII only.
        if let Ok(id) = HeaderValue::from_str(self.context.id()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        trace::tell(self.context.trace(), response.headers_mut());
        // Over gRPC the response itself is always 200.
        let code = problem.map(|problem| problem.code());
        self.outcome = Some((code.map_or(response.status(), Code::status), code));
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let (status, code) = match self.outcome {
            Some((status, code)) => (status.as_u16(), code),
            None => (CLIENT_CLOSED, None),
        };
        let record = RequestRecord {
            method: self.method,
            route: self.route.take(),
            status,
            duration: self.arrived.elapsed(),
            request_id: self.context.id().to_owned(),
            code,
            work: self.context.work(),
        };
        let _entered = self.span.enter();
        record.log();
        trace::end(self.context.trace(), &record, self.context.path());
        self.api.observer.ended(&record);
    }
}

impl RequestRecord {
    /// One line. Defects are errors; overload and the like warnings; all else, the client's
    /// errors included, is the daily course. Probes that go well are not worth a line.
    fn log(&self) {
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    method = self.method,
                    route = self.route,
                    status = self.status,
                    code = self.code.map(Code::as_str),
                    duration_ms = milliseconds(self.duration),
                    model = self.work.model,
                    pictures = (self.work.pictures > 0).then_some(self.work.pictures),
                    batch_size = self.work.batch_size,
                    decode_ms = self.work.timings.map(|timings| milliseconds(timings.decode)),
                    queue_ms = self.work.timings.map(|timings| milliseconds(timings.queue)),
                    inference_ms = self.work.timings.map(|timings| milliseconds(timings.inference)),
                    "request"
                )
            };
        }
        let probe = self.route.as_deref().is_some_and(super::is_probe);
        match self.status {
            500 => line!(tracing::Level::ERROR),
            501.. => line!(tracing::Level::WARN),
            200 if probe => line!(tracing::Level::DEBUG),
            _ => line!(tracing::Level::INFO),
        }
    }
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

pub(super) fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}
