//! The stages of a request, in its trace.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::{ServiceError, Ticket};
use crate::batching::{Reply, SubmitError};
use crate::traces::Stage;

/// From bytes to pixels.
const DECODE: &str = "decode";
/// Waiting for the engine.
const QUEUE: &str = "queue";
/// The batch on the engine.
const INFERENCE: &str = "inference";

pub(super) fn of_decoding<T>(
    ticket: &Ticket,
    begun: Instant,
    (took, outcome): (Duration, &Result<T, ServiceError>),
) {
    let error = outcome.as_ref().err().map(|error| error as &dyn Display);
    ticket.trace().record(Stage { name: DECODE, begun, took, attribute: None, error });
}

/// The job was queued at `queued`. What did not come back well is one stage: the one that it failed
/// in.
pub(super) fn of_engine<O>(
    ticket: &Ticket,
    queued: Instant,
    outcome: &Result<Reply<O>, SubmitError>,
) {
    let trace = ticket.trace();
    match outcome {
        Ok(reply) => {
            let (took, attribute, error) = (reply.queue, None, None);
            trace.record(Stage { name: QUEUE, begun: queued, took, attribute, error });
            let attribute = i64::try_from(reply.batch_size).ok().map(|n| ("nin.batch_size", n));
            let (begun, took) = (queued + reply.queue, reply.inference);
            trace.record(Stage { name: INFERENCE, begun, took, attribute, error });
        }
        Err(error) => {
            let failed = *error == SubmitError::Failed;
            let name = if failed { INFERENCE } else { QUEUE };
            let (took, attribute, error) = (queued.elapsed(), None, Some(error as &dyn Display));
            trace.record(Stage { name, begun: queued, took, attribute, error });
        }
    }
}
