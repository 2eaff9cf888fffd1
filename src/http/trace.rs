//! Requests as OpenTelemetry sees them: from whom a trace comes, and what its span says.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry::propagation::Extractor;

use super::context::{RequestRecord, known_method};
use super::{Api, is_probe};
use crate::traces::Trace;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The name that the drafts of W3C Trace Context, level 2, gave to the header of an answer.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Begins a span for the request, unless it is a probe or nothing is exported.
pub(super) fn begin(api: &Api, request: &Request, route: Option<&str>) -> Trace {
    let Some(traces) = &api.traces else { return Trace::default() };
    if route.is_some_and(is_probe) {
        return Trace::default();
    }
    let method = known_method(request.method());
    let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    traces.begin(name, &Headers(request.headers()))
}

/// Tells the client which span its request was.
pub(super) fn tell(trace: &Trace, headers: &mut HeaderMap) {
    let Some(value) = trace.header().and_then(|value| HeaderValue::try_from(value).ok()) else {
        return;
    };
    headers.insert(TRACERESPONSE, value.clone());
    headers.insert(TRACEPARENT, value);
}

/// Ends the request's span, in the words of OpenTelemetry's conventions where it has any.
pub(super) fn end(trace: &Trace, record: &RequestRecord, path: &str) {
    let attributes = || {
        let mut attributes = vec![
            KeyValue::new("http.request.method", record.method),
            KeyValue::new("http.response.status_code", i64::from(record.status)),
            KeyValue::new("url.path", path.to_owned()),
            KeyValue::new("nin.request_id", record.request_id.clone()),
        ];
        let work = &record.work;
        attributes.extend(record.route.clone().map(|route| KeyValue::new("http.route", route)));
        attributes.extend(record.code.map(|code| KeyValue::new("error.type", code.as_str())));
        attributes.extend(work.model.clone().map(|model| KeyValue::new("nin.model", model)));
        let pictures = i64::try_from(work.pictures).unwrap_or(i64::MAX);
        attributes.extend((pictures > 0).then(|| KeyValue::new("nin.pictures", pictures)));
        attributes
    };
    trace.end(attributes, record.status >= 500);
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The trace that the client's `traceparent` (W3C Trace Context, version 00) names.
pub(super) fn named(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut fields = parent.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let valid = version.len() == 2 && version != "ff" && trace.len() == 32;
    let valid = valid && trace.bytes().all(hex) && trace.bytes().any(|c| c != b'0');
    (valid && fields.count() >= 2).then_some(trace)
}
