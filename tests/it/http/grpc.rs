//! The Open Inference Protocol over gRPC, in process. Frames are made by hand here; the real
//! client has tests of its own.

use axum::http::HeaderValue;
use bytes::{BufMut, Bytes};
use nin_serve::grpc;
use prost::Message;

use super::*;
use crate::support::{Mood, png};

const ELEMENTS: usize = 192;

// What is said here of the messages is enough for these tests; numbers are those of
// grpc_service.proto.

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Yes {
    #[prost(bool, tag = "1")]
    yes: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Infer {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(message, repeated, tag = "5")]
    inputs: Vec<Input>,
    #[prost(message, repeated, tag = "6")]
    outputs: Vec<Yes>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    raw: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Input {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    contents: Option<Contents>,
}

#[derive(Clone, PartialEq, Message)]
struct Contents {
    #[prost(uint32, repeated, tag = "4")]
    uints: Vec<u32>,
    #[prost(float, repeated, tag = "6")]
    floats: Vec<f32>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    bytes: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Inferred {
    #[prost(string, tag = "3")]
    id: String,
    #[prost(message, repeated, tag = "5")]
    outputs: Vec<Input>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    raw: Vec<Vec<u8>>,
}

fn frame(message: &impl Message) -> Vec<u8> {
    let mut frame = vec![0];
    frame.put_u32(u32::try_from(message.encoded_len()).expect("short"));
    message.encode(&mut frame).expect("there is room");
    frame
}

struct Calls {
    rig: Rig,
    router: Router,
}

impl Calls {
    fn new() -> Self {
        Self::guarded(Guard::default())
    }

    fn guarded(guard: Guard) -> Self {
        let rig = rig();
        let state = Administration {
            api: Arc::clone(&rig.api),
            repository: Arc::new(admin::Shelf(Arc::clone(&rig.service))),
        };
        Self { router: grpc::router(state, guard), rig }
    }

    /// The status and its message, and what was answered.
    async fn send(&self, method: &str, body: Vec<u8>) -> (i32, String, Vec<u8>) {
        let uri = format!("/inference.GRPCInferenceService/{method}");
        let request = request("POST", &uri, Some("application/grpc"), body);
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert!(response.headers().contains_key("x-request-id"));
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body in memory");
        let trailers = body.trailers().cloned().unwrap_or(parts.headers);
        let text =
            |name| trailers.get(name).map_or("", |v: &HeaderValue| v.to_str().expect("ASCII"));
        let status = text("grpc-status").parse().expect("a status");
        (status, text("grpc-message").to_owned(), body.to_bytes().to_vec())
    }

    async fn ok<A: Message + Default>(&self, method: &str, message: &impl Message) -> A {
        let (status, error, body) = self.send(method, frame(message)).await;
        assert_eq!(status, 0, "{error}");
        A::decode(&body[5..]).expect("a message")
    }

    #[track_caller]
    fn error(answer: (i32, String, Vec<u8>), status: i32, part: &str) {
        assert_eq!(answer.0, status, "{}", answer.1);
        let message = answer.1.replace("%20", " ").replace("%22", "\"");
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

fn infer(datatype: &str, shape: &[i64], contents: Option<Contents>) -> Infer {
    let name = if datatype == "BYTES" { "image" } else { "pixels" };
    let (datatype, shape) = (datatype.to_owned(), shape.to_vec());
    let input = Input { name: name.to_owned(), datatype, shape, contents };
    Infer { model_name: "first".to_owned(), inputs: vec![input], ..Infer::default() }
}

fn pictures(pictures: &[Vec<u8>]) -> Infer {
    let contents = Contents { bytes: pictures.to_vec(), ..Contents::default() };
    infer("BYTES", &[pictures.len() as i64], Some(contents))
}

#[tokio::test]
async fn data_comes_in_every_form() {
    let calls = Calls::new();
    let mut raw = infer("BYTES", &[1], None);
    raw.id = "seven".to_owned();
    raw.raw = vec![v2::elements(&[&png(255)]).into()];
    let floats = Contents { floats: vec![0.9; ELEMENTS], ..Contents::default() };
    let bytes = Contents { uints: vec![250; ELEMENTS], ..Contents::default() };
    let mut raw_floats = infer("FP32", &[1, 3, 8, 8], None);
    raw_floats.raw = vec![0.9f32.to_le_bytes().repeat(ELEMENTS).into()];
    for message in [
        raw,
        raw_floats,
        pictures(&[png(255)]),
        infer("FP32", &[1, 3, 8, 8], Some(floats)),
        infer("UINT8", &[1, 8, 8, 3], Some(bytes)),
    ] {
        let answer: Inferred = calls.ok("ModelInfer", &message).await;
        assert_eq!(answer.id, message.id);
        let names: Vec<_> = answer.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ["probabilities", "labels"]);
        assert_eq!(answer.outputs[0].shape, [1, 4]);
        assert_eq!(answer.raw[0][12..], 0.7f32.to_le_bytes());
        assert_eq!(answer.raw[1][..9], v2::elements(&[b"white"]));
    }
    assert_eq!(calls.rig.service.budget().in_flight(), 0);
    let record = calls.rig.records.last();
    assert_eq!(record.route.as_deref(), Some("/inference.GRPCInferenceService/ModelInfer"));
    assert_eq!(record.work.pictures, 1);
}

#[tokio::test]
async fn models_and_readiness() {
    let calls = Calls::new();
    let model = |name: &str| Model { name: name.to_owned(), version: "1".to_owned() };
    assert!(calls.ok::<Yes>("ServerReady", &Yes::default()).await.yes);
    assert!(calls.ok::<Yes>("ModelReady", &model("first")).await.yes);
    Calls::error(calls.send("ModelReady", frame(&model("other"))).await, 5, "\"other\"");
    let version = Model { name: "first".to_owned(), version: "2".to_owned() };
    Calls::error(calls.send("ModelMetadata", frame(&version)).await, 5, "\"2\"");
    calls.rig.service.leave();
    assert!(!calls.ok::<Yes>("ServerReady", &Yes::default()).await.yes);
    assert!(calls.ok::<Yes>("ServerLive", &Yes::default()).await.yes);
    Calls::error(calls.send("ModelStreamInfer", frame(&model("first"))).await, 12, "nothing");
}

#[tokio::test]
async fn errors_have_their_codes() {
    let calls = Calls::new();
    let send = async |message: &Infer| calls.send("ModelInfer", frame(message)).await;
    let mut other = pictures(&[png(0)]);
    other.model_name = "other".to_owned();
    Calls::error(send(&other).await, 5, "\"other\"");
    Calls::error(send(&infer("FP64", &[1], None)).await, 3, "FP32 or UINT8");
    Calls::error(send(&infer("FP32", &[1, 8, 8, 3], None)).await, 3, "expected [N, 3, 8, 8]");
    Calls::error(send(&infer("BYTES", &[1], None)).await, 3, "neither data");
    Calls::error(send(&infer("BYTES", &[10_000], None)).await, 3, "at most 4");
    let mut two = pictures(&[png(0)]);
    two.raw = vec![Bytes::new()];
    Calls::error(send(&two).await, 3, "both data");
    let mut cut = infer("BYTES", &[1], None);
    cut.raw = vec![Bytes::from_static(&[9, 0, 0, 0, 1])];
    Calls::error(send(&cut).await, 3, "element 0 has 9 bytes");
    let mut few = pictures(&[png(0)]);
    few.inputs[0].shape = vec![2];
    Calls::error(send(&few).await, 3, "1 elements; the shape asks for 2");
    let large = Contents { uints: vec![256; ELEMENTS], ..Contents::default() };
    Calls::error(send(&infer("UINT8", &[1, 8, 8, 3], Some(large))).await, 3, "above 255");
    Calls::error(send(&pictures(&[b"text".to_vec()])).await, 3, "picture 0");
    calls.rig.first.engine.set(Mood::Fail);
    Calls::error(send(&pictures(&[png(0)])).await, 13, "network failed");
    assert_eq!(calls.rig.records.last().status, 500);
    calls.rig.service.drain();
    Calls::error(send(&pictures(&[png(0)])).await, 14, "shutting down");
    assert_eq!(calls.rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn frames_that_make_no_sense_are_refused() {
    let calls = Calls::new();
    let send = async |body: Vec<u8>| calls.send("ModelInfer", body).await;
    Calls::error(send(vec![]).await, 3, "");
    Calls::error(send(vec![0, 0, 0, 0, 9, 1]).await, 3, "");
    let mut compressed = frame(&pictures(&[png(0)]));
    compressed[0] = 1;
    Calls::error(send(compressed).await, 3, "compress");
    Calls::error(send(vec![0, 0, 0, 0, 2, 0x2a, 9]).await, 3, "cut short");
    Calls::error(send(vec![0; 200_001]).await, 8, "more than 200000 bytes");
}

#[tokio::test]
async fn small_messages_can_not_become_large_ones() {
    let calls = Calls::new();
    // Empty inputs, two bytes each.
    let inputs = Infer { inputs: vec![Input::default(); 70_000], ..Infer::default() };
    Calls::error(calls.send("ModelInfer", frame(&inputs)).await, 3, "fields");
    let shape = infer("FP32", &vec![1; 100_000], None);
    Calls::error(calls.send("ModelInfer", frame(&shape)).await, 3, "dimensions");
    let empty = pictures(&vec![Vec::new(); 70_000]);
    Calls::error(calls.send("ModelInfer", frame(&empty)).await, 3, "fields");
}

#[tokio::test]
async fn the_key_is_asked_for_here_as_well() {
    let api_key = Some("user".parse().expect("a legal key"));
    let calls = Calls::guarded(Guard { api_key, ..Guard::default() });
    let answer = calls.send("ModelInfer", frame(&pictures(&[png(0)]))).await;
    Calls::error(answer, 16, "API key");
    let calls = Calls::new();
    let load = Model { version: "first".to_owned(), ..Model::default() };
    Calls::error(calls.send("RepositoryModelLoad", frame(&load)).await, 7, "--admin-key");
}
