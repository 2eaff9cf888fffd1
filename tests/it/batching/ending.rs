//! Draining, replacing, and a stampede.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_drain_answers_the_accepted_and_refuses_the_new() {
    let rig = Rig::new(10, config(2, 100));
    let accepted = rig.start_all(1..=5);
    settle().await;
    rig.batcher.close();
    assert!(rig.batcher.is_closed());
    let refused = rig.submit(6, PATIENT).await.map(|reply| reply.output);
    assert_eq!(refused, Err(SubmitError::ShuttingDown));

    let start = Instant::now();
    rig.batcher.closed().await;
    assert_eq!(start.elapsed(), ms(29));
    let expected: Vec<_> = (1..=5).map(|input| Ok(input * 10)).collect();
    assert_eq!(outputs(accepted).await, expected);
    // The collector let go of the engine.
    assert_eq!(Arc::strong_count(&rig.engine), 1);
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_replaced_batcher_serves_those_who_still_hold_it_and_ends() {
    let Rig { engine, batcher, .. } = Rig::new(10, config(2, 100));
    let budget = MemoryBudget::new(BUDGET);
    let job = Job {
        input: 1,
        deadline: Instant::now() + PATIENT,
        permit: budget.try_acquire(JOB_BYTES).expect("budget is ample"),
    };
    let last_user = tokio::spawn(async move { batcher.submit(job).await });
    assert_eq!(outputs(vec![last_user]).await, [Ok(10)]);
    settle().await;
    assert_eq!(Arc::strong_count(&engine), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_although_every_batch_fails() {
    let rig = Rig::with_fault(10, config(3, 100), Fault::Panic);
    let all = rig.start_all([POISON; 7]);
    settle().await;
    rig.batcher.close();
    let drained = timeout(Duration::from_secs(1), rig.batcher.closed()).await;
    assert!(drained.is_ok());
    assert_eq!(outputs(all).await, [Err(SubmitError::Failed); 7]);
    rig.assert_quiet();
}

/// The same promises with real threads and real time: every job has one right outcome, and
/// nothing is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stampede_leaves_nothing_behind() {
    let rig = Rig::new(1, config(8, 200));
    let mut all = Vec::new();
    for input in 0..2000_u32 {
        let patience = Duration::from_millis(if input % 5 == 0 { 3 } else { 30_000 });
        let input = if input % 97 == 0 { POISON } else { input };
        // As a server does: no memory, no job.
        if let Ok(permit) = rig.budget.try_acquire(JOB_BYTES) {
            let (batcher, deadline) = (rig.batcher.clone(), Instant::now() + patience);
            let job = Job { input, deadline, permit };
            all.push((input, tokio::spawn(async move { batcher.submit(job).await })));
        }
        if input % 7 == 0
            && let Some((_, submitted)) = all.get(all.len() / 2)
        {
            submitted.abort();
        }
        if input % 50 == 0 {
            sleep(ms(5)).await;
        }
    }
    let mut right = 0;
    for (input, submitted) in all {
        match submitted.await {
            Ok(Ok(reply)) => {
                assert_eq!(reply.output, input * 10);
                right += 1;
            }
            Ok(Err(SubmitError::Failed)) => assert_eq!(input, POISON),
            Ok(Err(SubmitError::ShuttingDown)) => panic!("nobody closed it"),
            Ok(Err(SubmitError::Overloaded { .. } | SubmitError::DeadlineExceeded)) => {}
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    assert!(right > 0);
    rig.batcher.close();
    rig.batcher.closed().await;
    rig.assert_quiet();
}
