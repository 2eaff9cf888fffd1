//! What the service tells of itself.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn models_are_described() {
    let rig = rig();
    let list = rig.get("/models").await.ok();
    assert_eq!(list["default"], "first");
    let names: Vec<_> =
        list["models"].as_array().into_iter().flatten().map(|m| &m["name"]).collect();
    assert_eq!(names, ["first", "second"]);
    let model = rig.get("/models/second").await.ok();
    assert_eq!(model, list["models"][1]);
    assert_eq!(model["labels"].as_array().map(Vec::len), Some(4));
    assert_eq!(model["input"]["width"], 8);
    assert_eq!(model["input"]["channels"], 3);
    assert_eq!(model["input"]["order"], "rgb");
    assert_eq!(model["parameters"], 42);
    assert_eq!(model["accuracy"]["top1"], 1.0);
    assert_eq!(model["weights_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(model["precision"], "f32");
}

#[tokio::test]
async fn the_description_covers_every_route() {
    let document = rig().get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let paths: BTreeSet<_> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, _)| path.as_str())
        .collect();
    let expected = [
        "/classify",
        "/classify/batch",
        "/explain",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/models",
        "/models/{name}",
        "/models/{name}/reload",
        "/openapi.json",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    let parameters = document["paths"]["/classify"]["post"]["parameters"].as_array();
    let names: Vec<_> = parameters.into_iter().flatten().map(|p| &p["name"]).collect();
    assert_eq!(names, ["model", "top_k", "timeout_ms", "explain"]);
    let forms = document["paths"]["/classify"]["post"]["requestBody"]["content"].as_object();
    let forms: Vec<_> = forms.into_iter().flatten().map(|(kind, _)| kind.as_str()).collect();
    for kind in ["image/*", "application/octet-stream", "multipart/form-data", "application/json"] {
        assert!(forms.contains(&kind), "{kind}");
    }
    let codes = &document["components"]["schemas"]["Code"]["enum"];
    assert!(codes.as_array().is_some_and(|codes| codes.contains(&"corrupt-image".into())));
}

/// Every reference in the description leads somewhere.
#[tokio::test]
async fn the_description_is_whole() {
    let document = rig().get("/openapi.json").await.ok();
    let text = document.to_string();
    let references: BTreeSet<_> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 5);
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
