//! Who is refused, who is given up, and what that leaves behind.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let rig = Rig::new(700, config(2, 4));
    let first = rig.start(0, PATIENT);
    settle().await;
    let waiting = rig.start_all(1..=4);
    settle().await;
    let retry_after = Duration::from_secs(1);
    let refused = rig.submit(5, PATIENT).await.map(|reply| reply.output);
    // No batch has been measured yet.
    assert_eq!(refused, Err(SubmitError::Overloaded { retry_after }));
    answer(first).await.expect("an answer");
    outputs(waiting).await;

    let accepted = rig.start_all(10..=11);
    settle().await;
    let waiting = rig.start_all(12..=15);
    settle().await;
    let start = Instant::now();
    let refused = rig.submit(16, PATIENT).await.map(|reply| reply.output);
    // One batch runs and two wait: 2.1 s.
    let retry_after = Duration::from_secs(3);
    assert_eq!(refused, Err(SubmitError::Overloaded { retry_after }));
    assert_eq!(rig.batcher.retry_after(), retry_after);
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(outputs(accepted).await, [Ok(100), Ok(110)]);
    assert!(outputs(waiting).await.iter().all(Result::is_ok));
    assert_eq!(rig.batcher.retry_after(), Duration::from_secs(1));
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_the_backlog_breaks_is_refused_on_arrival() {
    let rig = Rig::new(100, config(2, 100));
    rig.submit(0, PATIENT).await.expect("an answer");
    let running = rig.start_all([1]);
    sleep(ms(40)).await;
    let waiting = rig.start_all(2..=5);
    settle().await;

    // 59 ms of the running batch and two full ones are ahead.
    let start = Instant::now();
    let refused = rig.submit(6, ms(259)).await.map(|reply| reply.output);
    let retry_after = Duration::from_secs(1);
    assert_eq!(refused, Err(SubmitError::Overloaded { retry_after }));
    assert_eq!(start.elapsed(), ms(0));
    let accepted = rig.submit(7, ms(360)).await.map(|reply| reply.output);
    assert_eq!(accepted, Ok(70));
    outputs(running).await;
    outputs(waiting).await;
    assert!(!rig.batches().concat().contains(&6));
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_is_tried_even_by_the_hurried() {
    // Else one slow batch could make it refuse for ever.
    let rig = Rig::new(100, config(2, 100));
    rig.submit(0, PATIENT).await.expect("an answer");
    let start = Instant::now();
    let result = rig.submit(1, ms(20)).await.map(|reply| reply.output);
    assert_eq!(result, Err(SubmitError::DeadlineExceeded));
    // Answered in time, although its batch still runs.
    assert_eq!(start.elapsed(), ms(20));
    assert_eq!(rig.batcher.stats().in_flight, 1);
    assert_eq!(rig.budget.in_flight(), JOB_BYTES);
    sleep(ms(100)).await;
    assert_eq!(rig.dropped(), []);
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_is_refused() {
    let rig = Rig::new(10, config(2, 100));
    let result = rig.submit(1, ms(0)).await.map(|reply| reply.output);
    assert_eq!(result, Err(SubmitError::DeadlineExceeded));
    assert!(rig.batches().is_empty());
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_queue_saves_the_computation() {
    let rig = Rig::new(100, config(2, 100));
    let running = rig.start(1, PATIENT);
    settle().await;
    let start = Instant::now();
    let hurried = rig.start(2, ms(30));
    let patient = rig.start(3, PATIENT);
    let result = answer(hurried).await.map(|reply| reply.output);
    assert_eq!(result, Err(SubmitError::DeadlineExceeded));
    assert_eq!(start.elapsed(), ms(30));
    // Its place and its memory are free at that moment, not when the engine is.
    assert_eq!(rig.batcher.stats().depth, 1);
    assert_eq!(rig.budget.in_flight(), 2 * JOB_BYTES);
    assert_eq!(rig.dropped(), [Dropped::Deadline]);

    outputs(vec![running, patient]).await;
    assert_eq!(rig.batches(), [vec![1], vec![3]]);
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_at_the_start_of_the_batch_is_not_computed() {
    // The collector and the submitter wake at the same instant.
    let rig = Rig::new(100, config(1, 100));
    let both = vec![rig.start(1, PATIENT), rig.start(2, ms(100))];
    let expected = [Ok(10), Err(SubmitError::DeadlineExceeded)];
    assert_eq!(outputs(both).await, expected);
    settle().await;
    assert_eq!(rig.batches(), [vec![1]]);
    assert_eq!(rig.dropped(), [Dropped::Deadline]);
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_not_computed() {
    let rig = Rig::new(100, config(2, 100));
    let running = rig.start(1, PATIENT);
    settle().await;
    let gone = rig.start_all([2, 3]);
    let stays = rig.start(4, PATIENT);
    settle().await;
    for submitted in &gone {
        submitted.abort();
    }
    settle().await;
    assert_eq!(rig.batcher.stats().depth, 1);
    assert_eq!(rig.budget.in_flight(), 2 * JOB_BYTES);
    assert_eq!(rig.dropped(), [Dropped::ClientGone, Dropped::ClientGone]);

    assert_eq!(outputs(vec![running, stays]).await, [Ok(10), Ok(40)]);
    assert_eq!(rig.batches(), [vec![1], vec![4]]);
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_running_batch_leaves_nothing_behind() {
    let rig = Rig::new(100, config(2, 100));
    let mut both = rig.start_all([1, 2]);
    settle().await;
    both.remove(0).abort();
    settle().await;
    // Its input is still with the engine, so its memory is still counted.
    assert_eq!(rig.budget.in_flight(), 2 * JOB_BYTES);
    assert_eq!(outputs(both).await, [Ok(20)]);
    assert_eq!(rig.dropped(), []);
    rig.assert_quiet();
}
