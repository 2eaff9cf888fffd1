//! The engine and its keeper, with real threads and a network that does as its inputs say.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nin_serve::batching::{
    Batch, BatchConfig, Batcher, Engine, EngineFailure, Job, MemoryBudget, SubmitError,
};
use nin_serve::engine::{BoxError, Health, Network, NetworkEngine};
use nin_serve::inference::Inference;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Answer,
    Fail,
    Panic,
}
use Order::{Answer, Fail, Panic};

/// Answers with its number and the name of its thread.
struct Obedient {
    number: u32,
}

impl Network for Obedient {
    type Input = Order;
    type Output = (u32, String);

    fn infer(&mut self, batch: &[Order]) -> Result<Vec<Self::Output>, BoxError> {
        if batch.contains(&Panic) {
            panic!("as ordered");
        }
        if batch.contains(&Fail) {
            return Err("not finite".into());
        }
        let name = thread::current().name().unwrap_or_default().to_owned();
        Ok(vec![(self.number, name); batch.len()])
    }
}

type Obeying = NetworkEngine<Obedient>;
type Answers = Result<Vec<(u32, String)>, EngineFailure>;

fn inference() -> Inference {
    Inference::start(NonZeroUsize::MIN).expect("a thread")
}

async fn start(mut build: impl FnMut(u32) -> Result<(), BoxError> + Send + 'static) -> Obeying {
    let mut number = 0;
    let factory = move || {
        number += 1;
        build(number)?;
        Ok(Obedient { number })
    };
    within(NetworkEngine::start("test", inference(), factory))
        .await
        .expect("the first build goes well")
}

/// An engine each of whose rebuilds waits for the test to say how it ends.
async fn start_gated() -> (Obeying, Sender<Result<(), BoxError>>) {
    let (gate, gated) = mpsc::channel();
    let engine = start(move |number| if number == 1 { Ok(()) } else { gated.recv()? });
    (engine.await, gate)
}

async fn run(engine: &Obeying, orders: &[Order]) -> Answers {
    within(engine.run(Batch::from(orders.to_vec()))).await
}

/// No test hangs.
async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    let outcome = tokio::time::timeout(limit, future).await;
    outcome.expect("in time")
}

async fn until(engine: &Obeying, healthy: impl FnMut(&Health) -> bool) -> Health {
    let mut health = engine.health();
    let reached = within(health.wait_for(healthy)).await;
    reached.expect("the thread lives").clone()
}

fn numbers(answers: Answers) -> Vec<u32> {
    let answers = answers.expect("answers");
    answers.into_iter().map(|(number, _)| number).collect()
}

#[tokio::test]
async fn the_network_runs_on_the_thread_for_inference() {
    let engine = start(|_| Ok(())).await;
    let answers = run(&engine, &[Answer, Answer]).await.expect("answers");
    assert_eq!(answers, vec![(1, "inference".to_owned()); 2]);
    assert_eq!(*engine.health().borrow(), Health::Ready);
}

#[tokio::test]
async fn an_error_keeps_the_network() {
    let engine = start(|_| Ok(())).await;
    let failure = run(&engine, &[Answer, Fail]).await.expect_err("a failure");
    assert_eq!(failure.to_string(), "not finite");
    assert!(engine.health().borrow().is_ready());
    assert_eq!(numbers(run(&engine, &[Answer]).await), [1]);
    assert_eq!(engine.restarts(), 0);
}

#[tokio::test]
async fn a_panic_has_the_network_rebuilt() {
    let (engine, gate) = start_gated().await;
    let failure = run(&engine, &[Panic]).await.expect_err("a failure");
    assert!(failure.to_string().contains("as ordered"), "{failure}");
    match &*engine.health().borrow() {
        Health::Rebuilding { cause, .. } => assert_eq!(cause, "as ordered"),
        other => panic!("{other:?}"),
    }

    // What comes meanwhile waits for the new network.
    let mut waiting = std::pin::pin!(run(&engine, &[Answer]));
    let early = tokio::time::timeout(Duration::from_millis(30), &mut waiting).await;
    assert!(early.is_err());
    gate.send(Ok(())).expect("the factory waits");
    assert_eq!(numbers(waiting.await), [2]);
    assert!(engine.health().borrow().is_ready());
    assert_eq!(engine.restarts(), 1);
}

#[tokio::test]
async fn while_rebuilding_fails_batches_fail_at_once() {
    let (engine, gate) = start_gated().await;
    run(&engine, &[Panic]).await.expect_err("a failure");
    let is_since = |health: &Health| match health {
        Health::Rebuilding { since, .. } => Some(*since),
        _ => None,
    };
    let panicked = is_since(&engine.health().borrow());

    gate.send(Err("no such file".into())).expect("the factory waits");
    let health = until(
        &engine,
        |health| matches!(health, Health::Rebuilding { cause, .. } if cause == "no such file"),
    );
    assert_eq!(is_since(&health.await), panicked);
    let failure = run(&engine, &[Answer]).await.expect_err("a failure");
    assert!(failure.to_string().contains("no such file"), "{failure}");

    gate.send(Ok(())).expect("the factory will ask");
    until(&engine, Health::is_ready).await;
    assert_eq!(numbers(run(&engine, &[Answer]).await), [3]);
    assert_eq!(engine.restarts(), 1);
}

#[tokio::test]
async fn failing_rebuilds_back_off() {
    let builds = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&builds);
    let engine = start(move |number| {
        times.lock().expect("not poisoned").push(Instant::now());
        match number {
            1 | 5 => Ok(()),
            2 => panic!("a factory may panic"),
            _ => Err("not yet".into()),
        }
    });
    let engine = engine.await;
    run(&engine, &[Panic]).await.expect_err("a failure");
    until(&engine, Health::is_ready).await;

    let builds = builds.lock().expect("not poisoned").clone();
    let pauses: Vec<_> = builds.windows(2).map(|two| two[1] - two[0]).collect();
    for (pause, least) in pauses[1..].iter().zip([100, 200, 400]) {
        assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
    }
    assert_eq!(builds.len(), 5);
}

#[tokio::test]
async fn a_first_build_that_fails_says_why() {
    type Factory = fn() -> Result<Obedient, BoxError>;
    let factories: [(Factory, &str); 2] = [
        (|| Err("bad weights".into()), "bad weights"),
        (|| panic!("bad weights"), "panic: bad weights"),
    ];
    for (factory, expected) in factories {
        let started = within(NetworkEngine::start("test", inference(), factory)).await;
        let error = started.err().expect("an error");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_joined_engine_is_dead_and_says_so() {
    let engine = start(|_| Ok(())).await;
    within(engine.join()).await;
    assert_eq!(*engine.health().borrow(), Health::Dead);
    run(&engine, &[Answer]).await.expect_err("a failure");
    within(engine.join()).await;
}

#[tokio::test]
async fn a_join_does_not_wait_for_a_rebuild_that_keeps_failing() {
    let (engine, gate) = start_gated().await;
    run(&engine, &[Panic]).await.expect_err("a failure");
    gate.send(Err("no such file".into())).expect("the factory waits");
    // A second attempt would wait for the gate for ever.
    until(
        &engine,
        |health| matches!(health, Health::Rebuilding { cause, .. } if cause == "no such file"),
    )
    .await;
    within(engine.join()).await;
    assert_eq!(*engine.health().borrow(), Health::Dead);
}

#[tokio::test]
async fn a_dropped_handle_ends_the_engine() {
    let engine = start(|_| Ok(())).await;
    let mut health = engine.health();
    drop(engine);
    let dead = within(health.wait_for(|health| *health == Health::Dead)).await;
    assert!(dead.is_ok());
}

/// Batcher and thread together: a picture that makes the network panic costs its neighbours two
/// rebuilds and nothing else.
#[tokio::test]
async fn neighbours_of_a_panic_are_answered() {
    let engine = Arc::new(start(|_| Ok(())).await);
    let config = BatchConfig {
        max_batch: NonZeroUsize::new(4).expect("not zero"),
        max_delay: Duration::ZERO,
        queue_capacity: NonZeroUsize::MAX,
    };
    let batcher = Batcher::spawn(Arc::clone(&engine), config, Arc::new(()));
    let budget = MemoryBudget::new(1 << 20);
    let submit = |input| {
        batcher.submit(Job {
            input,
            deadline: tokio::time::Instant::now() + Duration::from_secs(20),
            permit: budget.try_acquire(1 << 10).expect("budget is ample"),
        })
    };
    let all = async { tokio::join!(submit(Answer), submit(Panic), submit(Answer)) };
    let (first, second, third) = within(all).await;
    assert_eq!(first.expect("an answer").output.0, 2);
    assert_eq!(second.err(), Some(SubmitError::Failed));
    assert_eq!(third.expect("an answer").output.0, 3);

    batcher.close();
    within(batcher.closed()).await;
    within(engine.join()).await;
    assert_eq!(engine.restarts(), 2);
    assert_eq!(budget.in_flight(), 0);
}
