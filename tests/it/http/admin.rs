//! Models in and out of service, over a repository of fakes.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nin_serve::http::{Repository, RepositoryError};
use serde_json::json;

use super::*;
use crate::support::{Mood, png};

/// Has "first", "second" and "third", and a fourth that is broken.
pub struct Shelf(pub Arc<Service>);

impl Repository for Shelf {
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, RepositoryError>> {
        let names = ["broken", "first", "second", "third"].map(str::to_owned).to_vec();
        async { Ok(names) }.boxed()
    }

    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>> {
        async move {
            match name {
                "first" | "second" | "third" => {
                    let served = fake_model(name, 64).served;
                    self.0.models().swap(self.0.models().current().with(served));
                    Ok(())
                }
                "broken" => Err(RepositoryError::Broken("no weights".to_owned())),
                other => Err(RepositoryError::Unknown(other.to_owned())),
            }
        }
        .boxed()
    }

    fn unload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>> {
        async move {
            let rest = self.0.models().current().without(name);
            self.0.models().swap(rest.ok_or(RepositoryError::Unknown(name.to_owned()))?);
            Ok(())
        }
        .boxed()
    }
}

fn guarded(api_key: Option<&str>, admin_key: &str) -> Rig {
    let key = |key: &str| key.parse().expect("a legal key");
    let guard =
        Guard { api_key: api_key.map(key), admin_key: Some(key(admin_key)), ..Guard::default() };
    Setup { guard, ..Setup::default() }.rig()
}

async fn with_key(rig: &Rig, uri: &str, key: &str) -> Answer {
    let mut request = request("POST", uri, None, Body::empty());
    request.headers_mut().insert("x-api-key", key.parse().expect("a value"));
    rig.send(request).await
}

#[tokio::test]
async fn administration_is_off_unless_there_is_a_key() {
    let rig = rig();
    let problem = rig.post("/models/first/reload", "", "").await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("--admin-key")));
    for action in ["load", "unload"] {
        let uri = format!("/v2/repository/models/first/{action}");
        assert!(rig.post(&uri, "", "").await.error(403).contains("--admin-key"));
    }
    assert_eq!(rig.get("/v2/models/first/ready").await.ok()["ready"], true);
}

#[tokio::test]
async fn only_the_admin_key_administers() {
    let rig = guarded(Some("user"), "root");
    let load = "/v2/repository/models/first/load";
    for key in ["wrong", "user"] {
        let answer = with_key(&rig, load, key).await;
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        answer.error(401);
    }
    let answer = with_key(&rig, "/models/first/reload", "user").await;
    answer.problem(401, "unauthorized");
    assert_eq!(with_key(&rig, load, "root").await.status, StatusCode::OK);
    // Who may administer may do the rest as well.
    let index = with_key(&rig, "/v2/repository/index", "root").await;
    assert_eq!(index.status, StatusCode::OK);
}

#[tokio::test]
async fn models_come_and_go() {
    let rig = guarded(None, "root");
    let index = async |body: &'static str| {
        let answer = rig.post("/v2/repository/index", "application/json", body).await.ok();
        let models = answer.as_array().expect("a list").clone();
        models.iter().map(|m| format!("{} {}", m["name"], m["state"])).collect::<Vec<_>>()
    };
    let ready = index(r#"{"ready": true}"#).await;
    assert_eq!(ready, [r#""first" "READY""#, r#""second" "READY""#]);
    let unload = with_key(&rig, "/v2/repository/models/first/unload", "root").await;
    assert_eq!((unload.status, unload.body.len()), (StatusCode::OK, 0));
    rig.get("/v2/models/first/ready").await.error(404);
    // It was the default.
    rig.post("/classify", "image/png", png(0)).await.problem(404, "unknown-model");
    with_key(&rig, "/v2/repository/models/first/unload", "root").await.error(404);
    assert_eq!(index("").await[1], r#""first" "UNAVAILABLE""#);
    with_key(&rig, "/v2/repository/models/first/load", "root").await;
    rig.post("/classify", "image/png", png(0)).await.ok();
    let third = with_key(&rig, "/models/third/reload", "root").await.ok();
    assert_eq!(third["name"], "third");
    rig.get("/v2/models/third/ready").await.ok();
}

#[tokio::test]
async fn what_can_not_be_loaded_is_told() {
    let rig = guarded(None, "root");
    let load = async |name| {
        let uri = format!("/v2/repository/models/{name}/load");
        with_key(&rig, &uri, "root").await
    };
    assert!(load("other").await.error(404).contains("\"other\""));
    assert!(load("..%2Ffirst").await.error(404).contains("../first"));
    assert_eq!(load("broken").await.error(422), "no weights");
    with_key(&rig, "/models/broken/reload", "root").await.problem(422, "broken-model");
    let files = json!({"parameters": {"file:1/model.pt": "AA=="}}).to_string();
    let mut request = request("POST", "/v2/repository/models/first/load", None, files);
    request.headers_mut().insert("x-api-key", "root".parse().expect("a value"));
    assert!(rig.send(request).await.error(400).contains("file:1/model.pt"));
}

#[tokio::test]
async fn a_request_finishes_on_the_model_that_it_started_with() {
    let rig = guarded(None, "root");
    rig.first.engine.set(Mood::Hold);
    let old = rig.start(classify(png(255)));
    rig.until(|rig| rig.first.engine.samples() == 1).await;
    with_key(&rig, "/models/first/reload", "root").await.ok();
    // The new one answers while the old one is still busy.
    rig.post("/classify", "image/png", png(0)).await.ok();
    assert_eq!(rig.first.engine.samples(), 1);
    rig.first.engine.let_go();
    assert_eq!(old.await.expect("it ended"), StatusCode::OK);
}
