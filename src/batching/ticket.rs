use tokio::sync::oneshot;
use tokio::time::Instant;

use super::batcher::{Job, SubmitError};
use super::observer::{Dropped, Observer};
use super::{BytesPermit, Reply};

/// What comes of a job.
pub type Answer<O> = Result<Reply<O>, SubmitError>;

/// A job in the queue.
pub(super) struct Waiting<I, O> {
    pub(super) input: I,
    pub(super) ticket: Ticket<O>,
}

impl<I, O> Waiting<I, O> {
    pub(super) fn new(job: Job<I>, arrived: Instant, answer: oneshot::Sender<Answer<O>>) -> Self {
        let Job { input, deadline, permit } = job;
        Self { input, ticket: Ticket { arrived, deadline, answer, permit } }
    }
}

/// What a job is to the collector: everything but its input.
pub(super) struct Ticket<O> {
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    answer: oneshot::Sender<Answer<O>>,
    permit: BytesPermit,
}

impl<O> Ticket<O> {
    /// Gives the bytes back before answering, so that whoever sees the answer sees the gauge.
    pub(super) fn answer(self, answer: Answer<O>) {
        drop(self.permit);
        // The receiver may have gone while the batch ran.
        let _ = self.answer.send(answer);
    }

    /// The ticket, unless nobody waits for it any more.
    pub(super) fn if_alive(self, observer: &dyn Observer) -> Option<Self> {
        if self.deadline <= Instant::now() {
            observer.dropped(Dropped::Deadline);
            self.answer(Err(SubmitError::DeadlineExceeded));
            None
        } else if self.answer.is_closed() {
            observer.dropped(Dropped::ClientGone);
            None
        } else {
            Some(self)
        }
    }
}
