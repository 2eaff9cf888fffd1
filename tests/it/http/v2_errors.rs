//! The Open Inference Protocol over REST: what goes wrong, and how it is said.

use serde_json::json;

use super::v2::{binary, elements};
use super::*;
use crate::support::{Mood, png};

const INFER: &str = "/v2/models/first/infer";

impl Answer {
    /// The message of an error in the protocol's form.
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert!(!self.header("x-request-id").is_empty());
        let error = self.json();
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(1), "{text}");
        assert!(!text.contains("secret"), "{text}");
        error["error"].as_str().expect("a message").to_owned()
    }
}

fn image(data: Value) -> Value {
    let count = data.as_array().map_or(1, Vec::len);
    json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [count], "data": data}]})
}

async fn infer(rig: &Rig, body: &Value) -> Answer {
    rig.post(INFER, "application/json", body.to_string()).await
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let rig = rig();
    for route in ["", "/ready", "/stats", "/versions/1", "/versions/1/ready"] {
        let error = rig.get(&format!("/v2/models/other{route}")).await.error(404);
        assert!(error.contains("\"other\"") && error.contains("first, second"), "{error}");
    }
    for route in ["", "/ready", "/stats"] {
        let error = rig.get(&format!("/v2/models/first/versions/2{route}")).await.error(404);
        assert!(error.contains("no version \"2\""), "{error}");
    }
    let post = async |uri| rig.post(uri, "application/json", "{}").await.error(404);
    assert!(post("/v2/models/other/infer").await.contains("\"other\""));
    assert!(post("/v2/models/first/versions/2/infer").await.contains("\"2\""));
    assert!(rig.get("/v2/nothing").await.error(404).contains("/v2/nothing"));
    let answer = rig.get(INFER).await;
    assert_eq!(answer.header("allow"), "POST");
    answer.error(405);
}

#[tokio::test]
async fn a_header_that_makes_no_sense_is_400() {
    let rig = rig();
    let shape = |name: &str, datatype: &str, shape: Value| json!({"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": [0]}]});
    let output = |output: Value| {
        let mut body = image(json!([base64(&png(0))]));
        body["outputs"] = json!([output]);
        body
    };
    let mut twice = image(json!([""]));
    let first = twice["inputs"][0].clone();
    twice["inputs"].as_array_mut().expect("inputs").push(first);
    let cases = [
        (json!({}), "missing field `inputs`"),
        (json!({"inputs": []}), "this one has 0"),
        (twice, "this one has 2"),
        (json!({"inputs": vec![json!({}); 1]}), "missing field `name`"),
        (json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]}), "neither data"),
        (shape("picture", "BYTES", json!([1])), "no input \"picture\""),
        (shape("image", "FP32", json!([1])), "\"image\" is BYTES, not \"FP32\""),
        (shape("pixels", "FP64", json!([1, 3, 8, 8])), "FP32 or UINT8"),
        (shape("image", "BYTES", json!([1, 2, 3])), "expected [N]"),
        (shape("image", "BYTES", json!([-1])), "at least one"),
        (shape("pixels", "FP32", json!([1, 8, 8, 3])), "expected [N, 3, 8, 8]"),
        (shape("pixels", "FP32", json!(vec![1; 50_000])), "expected [N, 3, 8, 8]"),
        (shape("image", "BYTES", json!([5])), "at most 4"),
        (shape("pixels", "FP32", json!([1_000_000_000_000u64, 3, 8, 8])), "at most 4"),
        (output(json!({"name": "scores"})), "no output \"scores\""),
        (output(json!({"name": "labels", "parameters": {"classification": 1}})), "\"labels\""),
        (
            output(json!({"name": "labels", "parameters": {"shared_memory_region": "x"}})),
            "shared memory",
        ),
    ];
    for (body, part) in cases {
        let error = infer(&rig, &body).await.error(400);
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(rig.first.engine.samples(), 0);
    let error = rig.post(INFER, "application/json", "{\"inputs\": [").await.error(400);
    assert!(error.contains("line 1"), "{error}");
    rig.post(INFER, "application/json", "").await.error(400);
}

#[tokio::test]
async fn ten_thousand_pictures_are_refused_whole() {
    let rig = rig();
    let error = infer(&rig, &image(json!(vec!["AA=="; 10_000]))).await.error(400);
    assert!(error.contains("10000 pictures") && error.contains("at most 4"), "{error}");
}

#[tokio::test]
async fn data_that_does_not_fit_its_shape_is_400() {
    let rig = rig();
    let pixels = |datatype: &str, shape: Value, data: Value| json!({"inputs": [{"name": "pixels", "datatype": datatype, "shape": shape, "data": data}]});
    let floats = |data| pixels("FP32", json!([1, 3, 8, 8]), data);
    let bytes = |data| pixels("UINT8", json!([1, 8, 8, 3]), data);
    let wrong = |element: Value| {
        let mut data = vec![json!(0.5); 191];
        data.push(element);
        json!(data)
    };
    let mut few = image(json!(["AA=="]));
    few["inputs"][0]["shape"] = json!([2]);
    let mut many = image(json!(["AA==", "AA=="]));
    many["inputs"][0]["shape"] = json!([1]);
    let cases = [
        (floats(json!(vec![0; 191])), "191 elements; the shape asks for 192"),
        (floats(json!(vec![0; 193])), "more than the 192 elements"),
        (floats(wrong(json!("x"))), "element 191 is not a number"),
        (floats(wrong(json!(null))), "null"),
        (floats(wrong(json!(1e300))), "NaN or infinity"),
        (bytes(json!(vec![256; 192])), "element 0 is not a whole number from 0 to 255"),
        (bytes(json!(vec![0.5; 192])), "element 0 is not a whole number"),
        (few, "1 elements; the shape asks for 2"),
        (many, "more than the 1 elements"),
        (image(json!([7])), "element 0 is not a string"),
        (image(json!(["AA==", "!!!"])), "element 1 is not base64"),
    ];
    for (body, part) in cases {
        let error = infer(&rig, &body).await.error(400);
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(rig.first.engine.samples(), 0);
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn a_header_length_out_of_range_is_400() {
    let rig = rig();
    let body = image(json!([base64(&png(0))])).to_string();
    for length in ["999999", "-1", "18446744073709551616", "ten", ""] {
        let mut request = request("POST", INFER, None, body.clone());
        let value = length.parse().expect("a header value");
        request.headers_mut().insert("inference-header-content-length", value);
        let error = rig.send(request).await.error(400);
        assert!(error.contains(&format!("{length:?}")), "{error}");
        assert!(error.contains(&format!("the body has {} bytes", body.len())), "{error}");
    }
}

#[tokio::test]
async fn a_binary_part_that_is_cut_or_torn_is_400() {
    let rig = rig();
    let data = elements(&[&png(0), &png(255)]);
    let header = |size: Option<usize>| {
        let parameters = size.map_or(json!({}), |size| json!({"binary_data_size": size}));
        json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2],
            "parameters": parameters}]})
    };
    let send =
        async |size, data: &[u8]| rig.send(binary(INFER, &header(size), data)).await.error(400);
    let all = data.len();
    let error = send(Some(all), &data[..all - 1]).await;
    assert!(error.contains(&format!("has {} bytes", all - 1)), "{error}");
    assert!(error.contains(&format!("announce {all}")), "{error}");
    let error = send(Some(all - 1), &data[..all - 1]).await;
    assert!(error.contains("element 1 has"), "{error}");
    let error = send(Some(2), &data[..2]).await;
    assert!(error.contains("ends before element 0"), "{error}");
    let longer = [&data[..], b"more"].concat();
    let error = send(Some(all + 4), &longer).await;
    assert!(error.contains("4 bytes follow the last"), "{error}");
    let error = send(None, &data).await;
    assert!(error.contains("announce 0"), "{error}");
    send(Some(usize::MAX), &data).await;

    let floats = json!({"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 3, 8, 8],
        "parameters": {"binary_data_size": 764}}]});
    let error = rig.send(binary(INFER, &floats, &[0; 764])).await.error(400);
    assert!(error.contains("has 764 bytes of data") && error.contains("ask for 768"), "{error}");
    assert_eq!(rig.first.engine.samples(), 0);
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn the_first_bad_picture_is_the_error_of_all() {
    let rig = rig();
    let error = infer(&rig, &image(json!([base64(&png(0)), "dGV4dA=="]))).await.error(415);
    assert!(error.starts_with("picture 1: "), "{error}");
    let cut = &png(0)[..50];
    infer(&rig, &image(json!([base64(cut)]))).await.error(422);
}

#[tokio::test]
async fn defects_say_nothing_of_the_inside() {
    let rig = rig();
    let body = image(json!([base64(&png(0))]));
    rig.first.engine.set(Mood::Fail);
    infer(&rig, &body).await.error(500);
    rig.first.engine.set(Mood::NotFinite);
    infer(&rig, &body).await.error(500);
    rig.first.engine.set(Mood::Answer);
    infer(&rig, &body).await.ok();
    rig.service.drain();
    infer(&rig, &body).await.error(503);
}

#[tokio::test]
async fn the_time_that_a_client_gives_is_kept() {
    let rig = rig();
    rig.first.engine.set(Mood::Hold);
    let mut body = image(json!([base64(&png(0))]));
    body["parameters"] = json!({"timeout": 50_000});
    let error = infer(&rig, &body).await.error(504);
    assert!(error.contains("deadline"), "{error}");
}

#[tokio::test]
async fn limits_hold_here_as_well() {
    let rig = rig();
    rig.post(INFER, "application/json", vec![b' '; 200_001]).await.error(413);
    let mut request = request("POST", INFER, None, "{}");
    request.headers_mut().insert("content-encoding", "gzip".parse().expect("a value"));
    assert!(rig.send(request).await.error(415).contains("gzip"));
}
