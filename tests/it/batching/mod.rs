//! The batcher before a fake engine, on a paused clock: time passes only when every task waits,
//! so each duration here is exact.

mod collecting;
mod deadlines;
mod ending;
mod faults;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nin_serve::batching::{
    Batch, BatchConfig, Batcher, Dropped, Engine, EngineFailure, Job, MemoryBudget, Observer,
    QueueStats, Reply, SubmitError,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const BUDGET: u64 = 1 << 20;
const JOB_BYTES: u64 = 10 << 10;
/// The input that the engine trips over.
const POISON: u32 = 666;

#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
    MissingOutput,
}

/// Answers ten times the input after `service`, and keeps a record of its batches.
struct FakeEngine {
    service: Duration,
    fault: Fault,
    batches: Mutex<Vec<Vec<u32>>>,
}

impl Engine for FakeEngine {
    type Input = u32;
    type Output = u32;

    async fn run(&self, batch: Batch<u32>) -> Result<Vec<u32>, EngineFailure> {
        self.batches.lock().expect("not poisoned").push(batch.to_vec());
        sleep(self.service).await;
        let mut outputs: Vec<_> = batch.iter().map(|input| input * 10).collect();
        if batch.contains(&POISON) {
            match self.fault {
                Fault::Error => {
                    let cause = "poison".to_owned();
                    return Err(EngineFailure { cause });
                }
                Fault::Panic => panic!("poison"),
                Fault::MissingOutput => drop(outputs.pop()),
            }
        }
        Ok(outputs)
    }
}

#[derive(Default)]
struct Seen {
    dropped: Mutex<Vec<Dropped>>,
    waits: Mutex<Vec<Duration>>,
    runs: Mutex<Vec<(usize, Duration)>>,
}

impl Observer for Seen {
    fn dropped(&self, reason: Dropped) {
        self.dropped.lock().expect("not poisoned").push(reason);
    }

    fn queue_wait(&self, wait: Duration) {
        self.waits.lock().expect("not poisoned").push(wait);
    }

    fn batch(&self, size: usize, inference: Duration) {
        self.runs.lock().expect("not poisoned").push((size, inference));
    }
}

struct Rig {
    engine: Arc<FakeEngine>,
    batcher: Batcher<u32, u32>,
    budget: MemoryBudget,
    seen: Arc<Seen>,
}

type Submitted = JoinHandle<Result<Reply<u32>, SubmitError>>;

impl Rig {
    fn new(service_ms: u64, config: BatchConfig) -> Self {
        Self::with_fault(service_ms, config, Fault::Error)
    }

    fn with_fault(service_ms: u64, config: BatchConfig, fault: Fault) -> Self {
        let engine =
            Arc::new(FakeEngine { service: ms(service_ms), fault, batches: Mutex::default() });
        let seen = Arc::new(Seen::default());
        Self {
            batcher: Batcher::spawn(Arc::clone(&engine), config, seen.clone()),
            engine,
            budget: MemoryBudget::new(BUDGET),
            seen,
        }
    }

    async fn submit(&self, input: u32, patience: Duration) -> Result<Reply<u32>, SubmitError> {
        self.start(input, patience).await.expect("submit panicked")
    }

    fn start(&self, input: u32, patience: Duration) -> Submitted {
        let permit = self.budget.try_acquire(JOB_BYTES).expect("budget is ample");
        let job = Job { input, deadline: Instant::now() + patience, permit };
        let batcher = self.batcher.clone();
        tokio::spawn(async move { batcher.submit(job).await })
    }

    fn start_all(&self, inputs: impl IntoIterator<Item = u32>) -> Vec<Submitted> {
        let start = |input| self.start(input, PATIENT);
        inputs.into_iter().map(start).collect()
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.engine.batches.lock().expect("not poisoned").clone()
    }

    fn dropped(&self) -> Vec<Dropped> {
        self.seen.dropped.lock().expect("not poisoned").clone()
    }

    #[track_caller]
    fn assert_quiet(&self) {
        let QueueStats { depth, in_flight, .. } = self.batcher.stats();
        assert_eq!((depth, in_flight), (0, 0));
        assert_eq!(self.budget.in_flight(), 0);
    }
}

const PATIENT: Duration = Duration::from_secs(3600);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config(max_batch: usize, queue_capacity: usize) -> BatchConfig {
    let count = |n| NonZeroUsize::new(n).expect("not zero");
    BatchConfig {
        max_batch: count(max_batch),
        max_delay: Duration::ZERO,
        queue_capacity: count(queue_capacity),
    }
}

fn config_with_delay(max_batch: usize, max_delay_ms: u64) -> BatchConfig {
    BatchConfig { max_delay: ms(max_delay_ms), ..config(max_batch, 100) }
}

/// Lets every task run until it waits for something.
async fn settle() {
    sleep(ms(1)).await;
}

async fn answer(submitted: Submitted) -> Result<Reply<u32>, SubmitError> {
    submitted.await.expect("submit panicked")
}

async fn outputs(submitted: Vec<Submitted>) -> Vec<Result<u32, SubmitError>> {
    let mut outputs = Vec::new();
    for submitted in submitted {
        outputs.push(answer(submitted).await.map(|reply| reply.output));
    }
    outputs
}
