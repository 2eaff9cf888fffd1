//! The Open Inference Protocol over gRPC, on a port of its own.
//!
//! The service is `inference.GRPCInferenceService` as published by KServe and Triton, and
//! `grpc.health.v1.Health` for probes. tonic frames the messages; the HTTP/2 below is the same
//! server as for REST, with the same limits, log, metrics and key.
//!
//! A body is read within the memory budget before it is decoded, so that a client can't make the
//! service hold more than it pays for. Compressed messages are refused, streams of requests
//! (`ModelStreamInfer`) and shared memory are not there: `UNIMPLEMENTED`.

mod bounds;
mod calls;
mod codec;
mod infer;
mod messages;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use prost::Message;
use tonic::{Code as Grpc, Status};

use crate::http::{
    Admin, Administration, Charge, Code, Guard, Problem, Received, RequestContext, guarded,
};
use crate::service::Ticket;

pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";
pub(crate) const SERVER_LIVE: &str = "/inference.GRPCInferenceService/ServerLive";
pub(crate) const SERVER_READY: &str = "/inference.GRPCInferenceService/ServerReady";

/// The routes behind `guard`, as [`crate::http::router`] for REST.
pub fn router(state: Administration, guard: Guard) -> Router {
    let api = Arc::clone(&state.api);
    let inference = |method: &str| format!("/inference.GRPCInferenceService/{method}");
    let routes = Router::new()
        .route(HEALTH, post(calls::health))
        .route(SERVER_LIVE, post(calls::server_live))
        .route(SERVER_READY, post(calls::server_ready))
        .route(&inference("ServerMetadata"), post(calls::server_metadata))
        .route(&inference("ModelReady"), post(calls::model_ready))
        .route(&inference("ModelMetadata"), post(calls::model_metadata))
        .route(&inference("ModelStatistics"), post(calls::statistics))
        .route(&inference("ModelInfer"), post(infer::infer))
        .route(&inference("RepositoryIndex"), post(calls::index))
        .route(&inference("RepositoryModelLoad"), post(calls::load))
        .route(&inference("RepositoryModelUnload"), post(calls::unload))
        .with_state(state);
    guarded(api, routes, guard)
}

/// An error as gRPC says it.
pub(crate) fn status(code: Code, detail: &str) -> Status {
    let grpc = match code {
        // The calls are there, or they are not; models are something else.
        Code::NotFound | Code::MethodNotAllowed | Code::UnsupportedEncoding => Grpc::Unimplemented,
        Code::UnknownModel => Grpc::NotFound,
        Code::BrokenModel => Grpc::FailedPrecondition,
        Code::Unauthorized => Grpc::Unauthenticated,
        Code::Forbidden => Grpc::PermissionDenied,
        Code::BodyTooLarge => Grpc::ResourceExhausted,
        Code::DeadlineExceeded | Code::RequestTimeout => Grpc::DeadlineExceeded,
        Code::Overloaded | Code::NotReady | Code::ShuttingDown => Grpc::Unavailable,
        Code::InferenceFailed | Code::InternalError => Grpc::Internal,
        _ => Grpc::InvalidArgument,
    };
    Status::new(grpc, detail)
}

/// A call that was let in.
struct Call {
    state: Administration,
    context: RequestContext,
    admin: Admin,
    ticket: Ticket,
}

/// Answers a call whose message says all that matters.
async fn unary<Q, A>(
    State(state): State<Administration>,
    Extension(context): Extension<RequestContext>,
    request: Request,
    answer: impl AsyncFnOnce(Call, Q) -> Result<A, Problem>,
) -> Result<Response, Problem>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    let (call, message, _charge) = receive(state, context, request).await?;
    Ok(codec::encode(answer(call, message).await?))
}

/// Reads the message of a call, and what is charged for it.
async fn receive<Q: Message + Default + 'static>(
    state: Administration,
    context: RequestContext,
    request: Request,
) -> Result<(Call, Q, Charge), Problem> {
    let (parts, body) = request.into_parts();
    let encoding = parts.headers.get("grpc-encoding");
    if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
        let detail = format!("messages must not be compressed; this one is {encoding:?}");
        return Err(Problem::new(Code::UnsupportedEncoding, detail));
    }
    let admin = parts.extensions.get::<Admin>().copied().unwrap_or(Admin::Off);
    let ticket = state.api.service.accept(patience(&parts.headers))?;
    let limits = state.api.limits(&ticket, Duration::from_secs(1));
    let Received { bytes, charge } = Received::read(body, limits).await?;
    let message = codec::decode(bytes).await?;
    Ok((Call { state, context, admin, ticket }, message, charge))
}

/// `grpc-timeout`: up to eight digits and a unit.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_units() {
        for (text, expected) in [
            ("100m", Some(Duration::from_millis(100))),
            ("99999999H", Some(Duration::from_secs(3600) * 99_999_999)),
            ("1S", Some(Duration::from_secs(1))),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("5µ", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a value"));
            assert_eq!(patience(&headers), expected, "{text}");
        }
    }
}
