//! The Open Inference Protocol over REST: what goes well.

use nin_serve::engine::Health;
use serde_json::json;

use super::*;
use crate::support::png;

const INFER: &str = "/v2/models/first/infer";
/// Elements of a picture of the models here, 8 × 8 × 3.
const ELEMENTS: usize = 192;

/// A request whose data follows its JSON.
pub fn binary(uri: &str, header: &Value, data: &[u8]) -> Request<Body> {
    let header = header.to_string();
    let body = [header.as_bytes(), data].concat();
    let mut request = request("POST", uri, Some("application/octet-stream"), body);
    let length = header.len().into();
    request.headers_mut().insert("inference-header-content-length", length);
    request
}

/// Elements after their lengths.
pub fn elements(elements: &[&[u8]]) -> Vec<u8> {
    let one = |e: &&[u8]| [&u32::try_from(e.len()).expect("short").to_le_bytes()[..], e].concat();
    elements.iter().flat_map(one).collect()
}

/// The JSON and the binary part of an answer.
fn parts(answer: &Answer) -> (Value, &[u8]) {
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let length = answer.header("inference-header-content-length").parse().expect("a length");
    let (header, binary) = answer.body.split_at(length);
    (serde_json::from_slice(header).expect("JSON"), binary)
}

/// The outputs of an answer in JSON, by name.
fn output<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let outputs = answer["outputs"].as_array().expect("outputs");
    outputs.iter().find(|output| output["name"] == name).expect("the output")
}

#[tokio::test]
async fn the_server_and_its_models_describe_themselves() {
    let rig = rig();
    let server = rig.get("/v2").await.ok();
    assert_eq!(server["name"], "nin-serve");
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
    for extension in ["binary_tensor_data", "classification", "statistics"] {
        assert!(server["extensions"].as_array().is_some_and(|e| e.contains(&extension.into())));
    }
    let model = rig.get("/v2/models/second").await.ok();
    assert_eq!(model, rig.get("/v2/models/second/versions/1").await.ok());
    assert_eq!(model["name"], "second");
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(
        model["inputs"],
        json!([
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 8, 8]},
        ])
    );
    assert_eq!(
        model["outputs"],
        json!([
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "labels", "datatype": "BYTES", "shape": [-1, 4]},
            {"name": "logits", "datatype": "FP32", "shape": [-1, 4]},
        ])
    );
}

#[tokio::test]
async fn readiness_follows_the_engine() {
    let rig = rig();
    let routes =
        ["/v2/health/ready", "/v2/models/first/ready", "/v2/models/first/versions/1/ready"];
    for route in routes {
        assert_eq!(rig.get(route).await.ok()["ready"], true);
    }
    rig.first.health.send_replace(Health::Dead);
    for route in routes {
        let answer = rig.get(route).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["ready"], false);
    }
    assert_eq!(rig.get("/v2/health/live").await.ok()["live"], true);
    assert_eq!(rig.get("/v2/models/second/ready").await.ok()["ready"], true);
}

#[tokio::test]
async fn pictures_in_json_are_answered_in_their_order() {
    let rig = rig();
    let body = json!({
        "id": "seven",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [2],
            "data": [base64(&png(0)), base64(&png(255))]}],
    });
    let answer = rig.post(INFER, "application/json", body.to_string()).await;
    assert!(answer.header("server-timing").contains("inference"));
    let answer = answer.ok();
    assert_eq!(answer["model_name"], "first");
    assert_eq!(answer["model_version"], "1");
    assert_eq!(answer["id"], "seven");
    assert_eq!(answer["outputs"].as_array().map(Vec::len), Some(2));
    let probabilities = output(&answer, "probabilities");
    assert_eq!(probabilities["datatype"], "FP32");
    assert_eq!(probabilities["shape"], json!([2, 4]));
    let expected = [0.7, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.7];
    assert_eq!(probabilities["data"], json!(expected));
    let labels = output(&answer, "labels");
    assert_eq!(labels["datatype"], "BYTES");
    assert_eq!(labels["shape"], json!([2, 4]));
    assert_eq!((&labels["data"][0], &labels["data"][4]), (&json!("black"), &json!("white")));
    let work = rig.records.last().work;
    assert_eq!((work.pictures, work.model.as_deref()), (2, Some("first")));
    assert!(work.timings.is_some() && work.batch_size.is_some());
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn data_may_be_nested_and_have_a_column() {
    let rig = rig();
    let body = json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2, 1],
        "data": [[base64(&png(0))], [base64(&png(255))]]}]});
    let answer = rig.post(INFER, "application/json", body.to_string()).await.ok();
    assert_eq!(output(&answer, "labels")["data"][4], "white");
}

#[tokio::test]
async fn pictures_and_answers_in_binary() {
    let rig = rig();
    let data = elements(&[&png(255), &png(0)]);
    let header = json!({
        "parameters": {"binary_data_output": true, "top_k": 1, "priority": 3},
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [2],
            "parameters": {"binary_data_size": data.len()}}],
        "outputs": [{"name": "labels"}, {"name": "logits", "parameters": {"binary_data": true}},
            {"name": "probabilities", "parameters": {"binary_data": false}}],
    });
    let answer = rig.send(binary("/v2/models/first/versions/1/infer", &header, &data)).await;
    let (header, rest) = parts(&answer);
    let names: Vec<_> =
        header["outputs"].as_array().into_iter().flatten().map(|o| &o["name"]).collect();
    assert_eq!(names, ["labels", "logits", "probabilities"]);
    let labels = output(&header, "labels");
    assert_eq!(labels["shape"], json!([2, 1]));
    let length = labels["parameters"]["binary_data_size"].as_u64().expect("a size") as usize;
    assert_eq!(rest[..length], elements(&[b"white", b"black"]));
    assert_eq!(output(&header, "logits")["parameters"]["binary_data_size"], 32);
    let floats: Vec<_> = rest[length..]
        .chunks(4)
        .map(|value| f32::from_le_bytes(value.try_into().expect("four bytes")))
        .collect();
    assert_eq!(floats, [0.1, 0.1, 0.1, 0.7, 0.7, 0.1, 0.1, 0.1]);
    assert_eq!(output(&header, "probabilities")["data"][3], 0.7);
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn pixels_go_straight_to_the_network() {
    let rig = rig();
    let floats = [vec![0.9f32; ELEMENTS], vec![0.1f32; ELEMENTS]].concat();
    let raw: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
    let input = |extra: Value| {
        let mut input = json!({"name": "pixels", "datatype": "FP32", "shape": [2, 3, 8, 8]});
        input.as_object_mut().expect("an object").extend(extra.as_object().cloned().expect("too"));
        json!({"inputs": [input], "outputs": [{"name": "labels"}], "parameters": {"top_k": 1}})
    };
    let json = input(json!({"data": floats})).to_string();
    let json = rig.post(INFER, "application/json", json).await.ok();
    assert_eq!(output(&json, "labels")["data"], json!(["white", "black"]));
    let header = input(json!({"parameters": {"binary_data_size": raw.len()}}));
    let answer = rig.send(binary(INFER, &header, &raw)).await.ok();
    assert_eq!(answer, json);
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn pixels_may_be_bytes() {
    let rig = rig();
    let input = json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 3],
        "data": vec![200; ELEMENTS]});
    let body = json!({"inputs": [input]}).to_string();
    let answer = rig.post(INFER, "application/json", body).await.ok();
    assert_eq!(output(&answer, "labels")["data"][0], "white");
    let header = json!({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 3],
        "parameters": {"binary_data_size": ELEMENTS}}]});
    let answer = rig.send(binary(INFER, &header, &[70; ELEMENTS])).await.ok();
    assert_eq!(output(&answer, "labels")["data"][0], "dark");
}

#[tokio::test]
async fn classification_names_the_best() {
    let rig = rig();
    let body = json!({
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64(&png(0))]}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
    });
    let answer = rig.post(INFER, "application/json", body.to_string()).await.ok();
    let classes = output(&answer, "probabilities");
    assert_eq!(classes["datatype"], "BYTES");
    assert_eq!(classes["shape"], json!([1, 2]));
    assert_eq!(classes["data"], json!(["0.700000:0:black", "0.100000:1:dark"]));
}

#[tokio::test]
async fn a_picture_may_be_the_whole_body() {
    let rig = rig();
    let mut request = request("POST", INFER, None, png(255));
    request.headers_mut().insert("inference-header-content-length", 0.into());
    let answer = rig.send(request).await.ok();
    assert_eq!(output(&answer, "labels")["data"][0], "white");
}

#[tokio::test]
async fn statistics_count_pictures_and_batches() {
    let rig = rig();
    let body = json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2],
        "data": [base64(&png(0)), base64(&png(255))]}]});
    rig.post(INFER, "application/json", body.to_string()).await.ok();
    let pixels = json!({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 3],
        "data": vec![200; ELEMENTS]}]});
    rig.post(INFER, "application/json", pixels.to_string()).await.ok();
    rig.post("/classify", "image/png", b"no picture".to_vec()).await;
    let stats = rig.get("/v2/models/first/stats").await.ok();
    let first = &stats["model_stats"][0];
    assert_eq!((&first["name"], &first["version"]), (&json!("first"), &json!("1")));
    assert_eq!(first["inference_count"], 3);
    assert_eq!(first["inference_stats"]["success"]["count"], 3);
    assert_eq!(first["inference_stats"]["fail"]["count"], 1);
    assert!(first["inference_stats"]["compute_input"]["ns"].as_u64().is_some_and(|ns| ns > 0));
    assert!(first["last_inference"].as_u64().is_some_and(|time| time > 1_600_000_000_000));
    let batches = first["batch_stats"].as_array().expect("batches");
    let pictures = |batch: &Value| {
        let count = batch["compute_infer"]["count"].as_u64()?;
        Some(batch["batch_size"].as_u64()? * count)
    };
    assert_eq!(batches.iter().filter_map(pictures).sum::<u64>(), 3);
    let all = rig.get("/v2/models/stats").await.ok();
    assert_eq!(all["model_stats"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["model_stats"][1]["inference_count"], 0);
}
