//! When batches start, and with what.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lone_request_waits_on_no_timer() {
    for max_delay in [0, 50] {
        let rig = Rig::new(7, config_with_delay(8, max_delay));
        let start = Instant::now();
        let reply = rig.submit(4, PATIENT).await.expect("an answer");
        assert_eq!(start.elapsed(), ms(7));
        assert_eq!((reply.output, reply.batch_size), (40, 1));
        assert_eq!((reply.queue, reply.inference), (ms(0), ms(7)));
        rig.assert_quiet();
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_stays_awake_serves_and_ends_as_ever() {
    let rig = Rig::new(7, config(8, 100));
    let run_beside = async || {
        let (done, ran) = tokio::sync::oneshot::channel();
        rig.batcher.run_beside(Box::new(move || done.send(()).expect("somebody waits")));
        ran.await.expect("the work was run");
    };
    for input in [1, 2] {
        run_beside().await;
        let reply = rig.submit(input, PATIENT).await.expect("an answer");
        assert_eq!((reply.output, reply.queue, reply.batch_size), (10 * input, ms(0), 1));
    }
    rig.batcher.close();
    let start = Instant::now();
    rig.batcher.closed().await;
    assert_eq!(start.elapsed(), ms(0));
    // The engine has gone by now.
    run_beside().await;
    assert_eq!(rig.batches(), [vec![1], vec![2]]);
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_batch_grows_while_the_engine_is_busy_up_to_its_limit() {
    let rig = Rig::new(10, config(4, 100));
    let mut all = rig.start_all([1]);
    settle().await;
    all.extend(rig.start_all(2..=6));
    settle().await;
    assert_eq!(rig.batches(), [vec![1]]);
    let stats = rig.batcher.stats();
    assert_eq!((stats.depth, stats.in_flight), (5, 1));

    let expected: Vec<_> = (1..=6).map(|input| Ok(input * 10)).collect();
    assert_eq!(outputs(all).await, expected);
    assert_eq!(rig.batches(), [vec![1], vec![2, 3, 4, 5], vec![6]]);
    let stats = rig.batcher.stats();
    assert_eq!((stats.batches, stats.last_batch_size), (3, 1));
    assert_eq!(stats.time_per_batch, Some(ms(10)));
    rig.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_reply_tells_its_timings() {
    let rig = Rig::new(10, config(4, 100));
    let first = rig.start(1, PATIENT);
    settle().await;
    let waiting = rig.start_all([2, 3]);
    answer(first).await.expect("an answer");
    for submitted in waiting {
        let reply = answer(submitted).await.expect("an answer");
        assert_eq!((reply.queue, reply.inference), (ms(9), ms(10)));
        assert_eq!(reply.batch_size, 2);
    }
    let waits = rig.seen.waits.lock().expect("not poisoned").clone();
    assert_eq!(waits, [ms(0), ms(9), ms(9)]);
    let runs = rig.seen.runs.lock().expect("not poisoned").clone();
    assert_eq!(runs, [(1, ms(10)), (2, ms(10))]);
}

#[tokio::test(start_paused = true)]
async fn max_delay_holds_a_part_filled_batch() {
    let rig = Rig::new(10, config_with_delay(4, 20));
    let start = Instant::now();
    let mut all = rig.start_all([1]);
    sleep(ms(4)).await;
    all.extend(rig.start_all([2, 3]));
    sleep(ms(19)).await;
    // 23 ms: the engine has been idle for 13.
    assert_eq!(rig.batches().len(), 1);
    outputs(all).await;
    assert_eq!(rig.batches(), [vec![1], vec![2, 3]]);
    // Held until 20 ms after their arrival.
    assert_eq!(start.elapsed(), ms(4 + 20 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_held_batch_starts_when_it_is_full() {
    let rig = Rig::new(10, config_with_delay(3, 1000));
    let start = Instant::now();
    let mut all = rig.start_all([1]);
    settle().await;
    all.extend(rig.start_all([2, 3]));
    sleep(ms(14)).await;
    all.extend(rig.start_all([4]));
    outputs(all).await;
    assert_eq!(rig.batches(), [vec![1], vec![2, 3, 4]]);
    assert_eq!(start.elapsed(), ms(1 + 14 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_held_batch_starts_in_time_for_its_deadlines_and_for_a_drain() {
    let rig = Rig::new(10, config_with_delay(3, u64::MAX));
    rig.submit(1, PATIENT).await.expect("an answer");
    let hurried = [rig.start(2, ms(40)), rig.start(3, PATIENT)];
    for submitted in hurried {
        let reply = timeout(ms(100), answer(submitted)).await;
        // Two runs of ten before the deadline.
        let reply = reply.expect("held for ever");
        assert_eq!(reply.map(|reply| reply.queue), Ok(ms(20)));
    }

    let held = rig.start_all([4, 5]);
    settle().await;
    let start = Instant::now();
    rig.batcher.close();
    assert_eq!(outputs(held).await, [Ok(40), Ok(50)]);
    assert_eq!(start.elapsed(), ms(10));
}
