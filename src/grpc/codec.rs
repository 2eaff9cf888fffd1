//! From the body of a call to its one message, and back.

use std::marker::PhantomData;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Buf;
use futures_util::stream;
use prost::Message;
use tonic::codec::{
    DecodeBuf, Decoder, EncodeBody, EncodeBuf, Encoder, SingleMessageCompressionOverride,
};
use tonic::{Status, Streaming};

use super::bounds;
use crate::http::{Code, Problem};

/// The one message of a whole body.
pub(super) async fn decode<M: Message + Default + 'static>(body: Vec<u8>) -> Result<M, Problem> {
    let refused = |status: Status| Problem::new(Code::InvalidTensor, status.message().to_owned());
    // The body was read within its limit.
    let limit = Some(usize::MAX);
    let decoder = MessageDecoder(PhantomData::<M>);
    let mut messages = Streaming::new_request(decoder, Body::from(body), None, limit);
    let message = messages.message().await.map_err(refused)?;
    message.ok_or_else(|| Problem::new(Code::EmptyBody, "the call has no message"))
}

pub(super) fn encode<M: Message + 'static>(message: M) -> Response {
    let body = EncodeBody::new_server(
        MessageEncoder(PhantomData),
        stream::iter([Ok(message)]),
        None,
        SingleMessageCompressionOverride::Disable,
        None,
    );
    let mut response = Response::new(Body::new(body));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

struct MessageDecoder<M>(PhantomData<M>);

impl<M: Message + Default> Decoder for MessageDecoder<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        bounds::check(buffer.chunk()).map_err(Status::invalid_argument)?;
        let message = M::decode(buffer);
        message.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

struct MessageEncoder<M>(PhantomData<M>);

impl<M: Message> Encoder for MessageEncoder<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, message: M, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}
