//! Reads a request's body: within its limit, its time, and the memory budget.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::upload::UploadError;
use crate::batching::{BytesPermit, MemoryBudget};
use crate::service::ServiceError;

/// What is charged before the first bytes have come.
const FIRST_CHARGE: u64 = 16 << 10;
/// Address space that a body gets at most before its bytes have come. What nothing is written to takes
/// no memory, and bodies that need not be moved as they grow leave no gaps in it.
const ROOM: u64 = 4 << 20;

/// Bounds of one body.
pub(crate) struct Limits<'a> {
    pub(super) max_bytes: u64,
    pub(super) until: Instant,
    pub(super) budget: &'a MemoryBudget,
    /// What to say when there is no memory.
    pub(super) retry_after: Duration,
}

/// Memory taken from the budget for a body, given back when the last bytes of it are dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    permits: Vec<BytesPermit>,
    bytes: u64,
}

/// A whole body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) charge: Charge,
}

impl Received {
    /// Memory is charged as bytes arrive, not as they are announced, so that a client can't hold
    /// much of the budget by sending little.
    pub(crate) async fn read(body: Body, limits: Limits<'_>) -> Result<Self, UploadError> {
        let too_large = UploadError::TooLarge { limit: limits.max_bytes };
        let announced = body.size_hint().lower();
        if announced > limits.max_bytes {
            return Err(too_large);
        }
        let mut received = Self { bytes: Vec::new(), charge: Charge::default() };
        let mut stream = body.into_data_stream();
        while let Some(chunk) =
            timeout_at(limits.until, stream.next()).await.map_err(|_| UploadError::TooSlow)?
        {
            let chunk = chunk.map_err(|_| UploadError::BrokeOff)?;
            let length = (received.bytes.len() + chunk.len()) as u64;
            if length > limits.max_bytes {
                return Err(too_large);
            }
            if length > received.charge.bytes {
                let doubled = (2 * received.charge.bytes).max(FIRST_CHARGE);
                let enough = if announced >= length { doubled.min(announced) } else { doubled };
                received.charge.grow_to(enough.max(length), &limits)?;
                let room = received.charge.bytes.max(announced.min(ROOM));
                let capacity = usize::try_from(room).unwrap_or(usize::MAX);
                received.bytes.reserve_exact(capacity - received.bytes.len());
            }
            received.bytes.extend_from_slice(&chunk);
        }
        Ok(received)
    }
}

impl Charge {
    fn grow_to(&mut self, bytes: u64, limits: &Limits<'_>) -> Result<(), UploadError> {
        let permit = limits.budget.try_acquire(bytes - self.bytes).map_err(|_| {
            UploadError::Service(ServiceError::Overloaded { retry_after: limits.retry_after })
        })?;
        self.permits.push(permit);
        self.bytes = bytes;
        Ok(())
    }
}

/// Binds `bytes`, made of a body, to the memory charged for it.
pub(crate) fn charged(bytes: Bytes, charge: &Arc<Charge>) -> Bytes {
    Bytes::from_owner(Charged { bytes, _charge: Arc::clone(charge) })
}

struct Charged {
    bytes: Bytes,
    _charge: Arc<Charge>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
