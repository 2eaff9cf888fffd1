//! What a fault costs, and whom.

use super::*;

#[tokio::test(start_paused = true)]
async fn only_the_culprit_of_a_failed_batch_fails() {
    for fault in [Fault::Error, Fault::Panic, Fault::MissingOutput] {
        let rig = Rig::with_fault(10, config(4, 100), fault);
        let all = rig.start_all([1, POISON, 3]);
        let expected = [Ok(10), Err(SubmitError::Failed), Ok(30)];
        assert_eq!(outputs(all).await, expected);
        rig.assert_quiet();
        let retries = [vec![1, POISON, 3], vec![1], vec![POISON], vec![3]];
        assert_eq!(rig.batches(), retries);

        let next = rig.submit(5, PATIENT).await.map(|reply| reply.output);
        assert_eq!(next, Ok(50));
    }
}

#[tokio::test(start_paused = true)]
async fn the_gauge_follows_the_retries() {
    let rig = Rig::new(10, config(4, 100));
    let all = rig.start_all([1, POISON, 3]);
    let mut in_flight = Vec::new();
    sleep(ms(5)).await;
    for _ in 0..5 {
        in_flight.push(rig.batcher.stats().in_flight);
        sleep(ms(10)).await;
    }
    assert_eq!(in_flight, [3, 3, 2, 1, 0]);
    outputs(all).await;
}

#[tokio::test(start_paused = true)]
async fn a_lone_job_that_fails_is_not_tried_again() {
    for fault in [Fault::Error, Fault::Panic, Fault::MissingOutput] {
        let rig = Rig::with_fault(10, config(4, 100), fault);
        let result = rig.submit(POISON, PATIENT).await.map(|reply| reply.output);
        assert_eq!(result, Err(SubmitError::Failed));
        assert_eq!(rig.batches(), [vec![POISON]]);
        rig.assert_quiet();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_not_retried_for_the_dead() {
    let rig = Rig::new(100, config(4, 100));
    let poison = rig.start(POISON, PATIENT);
    let hurried = rig.start(2, ms(50));
    let gone = rig.start(3, PATIENT);
    let stays = rig.start(4, PATIENT);
    settle().await;
    gone.abort();
    let expected = [Err(SubmitError::Failed), Err(SubmitError::DeadlineExceeded), Ok(40)];
    assert_eq!(outputs(vec![poison, hurried, stays]).await, expected);
    assert_eq!(rig.batches()[1..], [vec![POISON], vec![4]]);
    assert_eq!(rig.dropped(), [Dropped::Deadline, Dropped::ClientGone]);
    rig.assert_quiet();
}

struct PanickingObserver;

impl Observer for PanickingObserver {
    fn batch(&self, _: usize, _: Duration) {
        panic!("a bug outside the engine");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_dead_collector() {
    let mut rig = Rig::new(10, config(2, 100));
    let observer = Arc::new(PanickingObserver);
    rig.batcher = Batcher::spawn(rig.engine.clone(), config(2, 100), observer);
    let all = rig.start_all(1..=5);
    let start = Instant::now();
    assert_eq!(outputs(all).await, [Err(SubmitError::Failed); 5]);
    assert_eq!(start.elapsed(), ms(10));
    assert!(rig.batcher.is_closed());
    let refused = rig.submit(6, PATIENT).await.map(|reply| reply.output);
    assert_eq!(refused, Err(SubmitError::ShuttingDown));
    rig.batcher.closed().await;
    rig.assert_quiet();
}
