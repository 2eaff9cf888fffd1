//! The service without a protocol: decode pool, deadlines, models.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nin_serve::service::{
    ModelSet, ModelSetError, Picture, ServedModel, Service, ServiceConfig, ServiceError, ranking,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{FakeModel, count, fake_model, png, service, service_config};

/// One decoding thread, and room for two jobs before it.
fn narrow() -> (Arc<Service>, FakeModel) {
    let config =
        ServiceConfig { decode_threads: count(1), decode_queue: count(2), ..service_config() };
    let other = fake_model("other", 8);
    (service(config, vec![fake_model("model", 8).served]), other)
}

fn served(service: &Service) -> Arc<ServedModel> {
    Arc::clone(service.models().current().get(None).expect("the default"))
}

fn picture() -> Picture {
    Picture { bytes: png(0).into(), maps: false }
}

/// Keeps a decoding thread busy until the sender is dropped or used.
async fn block(service: &Arc<Service>) -> (Sender<()>, JoinHandle<()>) {
    let (release, released) = channel::<()>();
    let busy = Arc::clone(service);
    let blocker = tokio::spawn(async move {
        let ticket = busy.accept(None).expect("not draining");
        let wait = move || {
            let _ = released.recv();
        };
        busy.off_runtime(&ticket, wait).await.expect("it ends well");
    });
    until(|| service.decode_load().running == 1).await;
    (release, blocker)
}

async fn until(reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.expect("within ten seconds");
}

fn start(service: &Arc<Service>) -> JoinHandle<Result<usize, ServiceError>> {
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let ticket = service.accept(None)?;
        let model = served(&service);
        let found = service.classify(&ticket, &model, picture()).await?;
        Ok(ranking(&found.prediction.probabilities, None)[0].0)
    })
}

#[tokio::test]
async fn a_requester_that_leaves_takes_its_picture_along_undecoded() {
    let (service, _) = narrow();
    let (release, blocker) = block(&service).await;
    let backlog = service.decode_backlog();
    assert!(!backlog(), "what runs does not wait");
    let leaving = start(&service);
    let staying = start(&service);
    until(|| service.decode_load().waiting == 2).await;
    assert!(backlog());
    leaving.abort();
    // While the thread is busy still.
    until(|| service.decode_load().waiting == 1).await;
    assert_eq!(service.decode_load().running, 1);
    drop(release);
    blocker.await.expect("no panic");
    assert_eq!(staying.await.expect("no panic").expect("an answer"), 0);
    until(|| service.decode_load() == Default::default()).await;
    assert_eq!(served(&service).batcher.stats().batches, 1);
    assert_eq!(service.budget().in_flight(), 0);
}

#[tokio::test]
async fn a_full_decoding_queue_refuses() {
    let (service, _) = narrow();
    let (release, _blocker) = block(&service).await;
    let waiting = [start(&service), start(&service)];
    until(|| service.decode_load().waiting == 2).await;
    let refused = start(&service).await.expect("no panic");
    assert!(
        matches!(refused, Err(ServiceError::Overloaded { retry_after }) if retry_after.as_secs() >= 1),
        "{refused:?}"
    );
    drop(release);
    for answer in waiting {
        answer.await.expect("no panic").expect("an answer");
    }
}

#[tokio::test]
async fn waiting_for_a_thread_counts_against_the_deadline() {
    let (service, _) = narrow();
    let (_release, _blocker) = block(&service).await;
    let ticket = service.accept(Some(Duration::from_millis(30))).expect("not draining");
    let answer = service.classify(&ticket, &served(&service), picture()).await;
    assert!(matches!(answer, Err(ServiceError::DeadlineExceeded)), "{answer:?}");
    assert_eq!(service.decode_load().waiting, 0);
    let late = service.classify(&ticket, &served(&service), picture()).await;
    assert!(matches!(late, Err(ServiceError::DeadlineExceeded)), "{late:?}");
}

#[tokio::test]
async fn a_backlog_that_outlasts_the_deadline_refuses_on_arrival() {
    let (service, _) = narrow();
    let ticket = service.accept(None).expect("not draining");
    let slow = || std::thread::sleep(Duration::from_millis(60));
    service.off_runtime(&ticket, slow).await.expect("it ends well");
    let (_release, _blocker) = block(&service).await;
    let hasty = service.accept(Some(Duration::from_millis(40))).expect("not draining");
    let asked = Instant::now();
    let answer = service.classify(&hasty, &served(&service), picture()).await;
    assert!(matches!(answer, Err(ServiceError::Overloaded { .. })), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_millis(40));
}

#[tokio::test]
async fn a_panic_on_a_thread_is_one_requests_error() {
    let (service, _) = narrow();
    let ticket = service.accept(None).expect("not draining");
    let panics = || panic!("as ordered");
    let outcome: Result<(), _> = service.off_runtime(&ticket, panics).await;
    assert!(
        matches!(&outcome, Err(ServiceError::Internal { cause }) if cause.contains("as ordered")),
        "{outcome:?}"
    );
    assert_eq!(start(&service).await.expect("no panic").expect("an answer"), 0);
}

#[tokio::test]
async fn patience_only_shortens_the_timeout() {
    let (service, _) = narrow();
    let longest = service.config().request_timeout;
    for (patience, expected) in [
        (None, longest),
        (Some(Duration::from_millis(5)), Duration::from_millis(5)),
        (Some(Duration::MAX), longest),
    ] {
        let ticket = service.accept(patience).expect("not draining");
        assert_eq!(ticket.deadline() - ticket.arrived(), expected);
    }
}

#[tokio::test]
async fn a_set_of_models_is_checked() {
    let model = |name: &str| fake_model(name, 1).served;
    let failure = |set: Result<ModelSet, ModelSetError>| set.err().expect("an error");
    assert_eq!(failure(ModelSet::new([], None)), ModelSetError::Empty);
    let twice = ModelSet::new([model("a"), model("a")], None);
    assert_eq!(failure(twice), ModelSetError::Twice("a".to_owned()));
    let unknown = ModelSet::new([model("a")], Some("b"));
    let known = vec!["a".to_owned()];
    assert_eq!(failure(unknown), ModelSetError::UnknownDefault { name: "b".to_owned(), known });
    let set = ModelSet::new([model("b"), model("a")], None).expect("a legal set");
    assert_eq!(set.default_name(), "a");
    let set = ModelSet::new([model("b"), model("a")], Some("b")).expect("a legal set");
    assert_eq!(set.default_name(), "b");
}

#[tokio::test]
async fn a_swap_leaves_running_requests_their_model() {
    let (service, FakeModel { served: other, .. }) = narrow();
    let (release, _blocker) = block(&service).await;
    let running = start(&service);
    until(|| service.decode_load().waiting == 1).await;
    let set = ModelSet::new([other], None).expect("a legal set");
    let before = service.models().swap(set);
    assert_eq!(before.default_name(), "model");
    assert_eq!(service.models().current().default_name(), "other");
    drop(release);
    assert_eq!(running.await.expect("no panic").expect("an answer"), 0);
    let old = before.get(None).expect("the default");
    assert_eq!(old.batcher.stats().batches, 1);
}

#[test]
fn ranking_is_by_probability_then_by_class() {
    let probabilities = [0.1, 0.3, 0.1, 0.5];
    let all = [(3, 0.5), (1, 0.3), (0, 0.1), (2, 0.1)];
    assert_eq!(ranking(&probabilities, None), all);
    assert_eq!(ranking(&probabilities, Some(count(2))), all[..2]);
    assert_eq!(ranking(&probabilities, Some(count(9))), all);
}
