use std::time::Duration;

use crate::batching::SubmitError;
use crate::preprocess::PictureError;

/// Why there is no answer. Every protocol maps it to codes of its own.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("there is no model {name:?}; there are: {}", known.join(", "))]
    UnknownModel { name: String, known: Vec<String> },
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The picture is within the limit of pixels, but never fits into the memory budget.
    #[error("the picture takes {bytes} bytes to decode, more than there is memory for")]
    TooMuchMemory { bytes: u64 },
    /// Queues or memory are full, or the backlog outlasts the deadline.
    #[error("overloaded; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// Whole seconds, at least one.
        retry_after: Duration,
    },
    #[error("there was no answer before the deadline")]
    DeadlineExceeded,
    #[error("the service is shutting down")]
    ShuttingDown,
    /// The cause has been logged where it was seen.
    #[error("the network failed on this picture")]
    InferenceFailed,
    /// A defect of the service. The cause is for the log, never for a client.
    #[error("{cause}")]
    Internal { cause: String },
}

impl From<SubmitError> for ServiceError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Overloaded { retry_after } => Self::Overloaded { retry_after },
            SubmitError::DeadlineExceeded => Self::DeadlineExceeded,
            SubmitError::ShuttingDown => Self::ShuttingDown,
            SubmitError::Failed => Self::InferenceFailed,
        }
    }
}
