use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::connections::{BodyGuard, Place};

/// A request's body that tells its connection when it has come whole, or nobody wants the rest.
pub(super) struct Incoming {
    body: hyper::body::Incoming,
    coming: Option<BodyGuard>,
}

impl Incoming {
    pub(super) fn new(body: hyper::body::Incoming, place: &Arc<Place>) -> Self {
        let coming = (!body.is_end_stream()).then(|| place.begin_body());
        Self { body, coming }
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.coming = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
