//! Reads what a client still sends after its answer is known.
//!
//! A client that is refused early, say for the size of its upload, may still be sending. If the
//! connection is closed on it then, the reset often reaches the client before the answer does
//! (RFC 9112, section 9.6). So what is left of a body is read and thrown away first, within
//! bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use tokio::time::timeout;

const MOST_BYTES: u64 = 64 << 20;
const LONGEST: Duration = Duration::from_secs(2);

/// The rest of a body, if its reader lets go of it before the end.
pub(super) struct Unread {
    left: Arc<Mutex<Option<Body>>>,
}

/// Swaps the request's body for one that leaves its rest behind.
pub(super) fn watch(request: Request) -> (Request, Unread) {
    let left = Arc::<Mutex<Option<Body>>>::default();
    // Asked for with `100-continue`, the body comes only when somebody reads it.
    let waits = request.headers().contains_key(header::EXPECT);
    if waits || request.body().is_end_stream() {
        return (request, Unread { left });
    }
    let shared = Arc::clone(&left);
    let request = request.map(|body| Body::new(Watched { body: Some(body), left: shared }));
    (request, Unread { left })
}

impl Unread {
    pub(super) async fn discard(self, status: StatusCode) {
        let body = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body else { return };
        // Waiting once more for a body that was too slow is of no use.
        if status == StatusCode::REQUEST_TIMEOUT || body.size_hint().lower() > MOST_BYTES {
            return;
        }
        // Past the time, the connection closes on the client.
        let _ = timeout(LONGEST, read_all(body.into_data_stream())).await;
    }
}

async fn read_all(mut stream: BodyDataStream) {
    let mut read = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        read += chunk.len() as u64;
        if read > MOST_BYTES {
            return;
        }
    }
}

struct Watched {
    /// None once it has ended or failed.
    body: Option<Body>,
    left: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.as_ref().map_or_else(|| hyper::body::SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
