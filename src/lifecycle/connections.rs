//! Who is connected, and who of them keeps us waiting.
//!
//! A connection costs memory and a file descriptor even when it does nothing, and a hostile
//! client opens many and does nothing on them, slowly. So each must bring a whole request head
//! in time, and at the limit the one that has kept us waiting longest makes room: the honest
//! 501st client gets in at once, no matter what the 500 before it are up to. Who sends a body
//! slowly keeps us waiting, too; one whose request has come whole is never cut.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the connection to its first whole request head, a TLS handshake included.
    pub(super) first: Duration,
    /// From one answer to the next whole request head.
    pub(super) next: Duration,
}

/// All connections.
pub(super) struct Connections {
    limit: usize,
    patience: Patience,
    table: Mutex<Table>,
    /// A connection has closed or become idle. Only the accept loop waits for it.
    room: Notify,
}

#[derive(Default)]
struct Table {
    opened: u64,
    open: HashMap<u64, Arc<Activity>>,
}

impl Connections {
    pub(super) fn new(limit: NonZeroUsize, patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.get(),
            patience,
            table: Mutex::default(),
            room: Notify::new(),
        })
    }

    /// A place for one more. At the limit the connection that has kept us waiting longest is cut
    /// for it; if none does, it waits for one that ends, while the kernel queues those that come after.
    pub(super) async fn admit(self: &Arc<Self>) -> Place {
        loop {
            if let Some(place) = self.try_admit() {
                return place;
            }
            self.cut_longest_waiting();
            self.room.notified().await;
        }
    }

    /// Frees one place, if a connection keeps us waiting.
    pub(super) fn cut_longest_waiting(&self) {
        let table = self.table();
        let waiting =
            table.open.values().filter_map(|activity| Some((activity.waiting_since()?, activity)));
        if let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) {
            longest.cut.cancel();
        }
    }

    fn try_admit(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.table();
        if table.open.len() >= self.limit {
            return None;
        }
        let number = table.opened;
        table.opened += 1;
        let activity = Arc::new(Activity::new());
        table.open.insert(number, Arc::clone(&activity));
        Some(Place { connections: Arc::clone(self), number, activity })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code under the lock leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, free again on drop.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    activity: Arc<Activity>,
}

impl Place {
    /// A request has come; it is being answered until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.activity.state.send_modify(|state| {
            state.requests += 1;
            state.since = Instant::now();
        });
        RequestGuard { place: Arc::clone(self) }
    }

    /// The body of a request that has begun is coming, until the guard is dropped.
    pub(super) fn begin_body(self: &Arc<Self>) -> BodyGuard {
        self.activity.state.send_modify(|state| state.bodies += 1);
        BodyGuard { place: Arc::clone(self) }
    }

    /// Ready when the connection has kept us waiting too long, or was cut to make room.
    pub(super) async fn overdue(&self) {
        let wait = async {
            let mut state = self.activity.state.subscribe();
            loop {
                let deadline = state.borrow_and_update().deadline(self.connections.patience);
                tokio::select! {
                    _ = state.changed() => {}
                    () = sleep_until_some(deadline) => return,
                }
            }
        };
        self.activity.cut.run_until_cancelled(wait).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.number);
        self.connections.room.notify_one();
    }
}

/// Marks its connection busy.
pub(super) struct RequestGuard {
    place: Arc<Place>,
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.place.activity.state.send_modify(|state| {
            state.requests = state.requests.saturating_sub(1);
            state.answered = true;
            state.since = Instant::now();
        });
        self.place.connections.room.notify_one();
    }
}

/// Marks that we wait for its connection's client.
pub(super) struct BodyGuard {
    place: Arc<Place>,
}

impl Drop for BodyGuard {
    fn drop(&mut self) {
        let state = &self.place.activity.state;
        state.send_modify(|state| state.bodies = state.bodies.saturating_sub(1));
    }
}

struct Activity {
    state: watch::Sender<State>,
    cut: CancellationToken,
}

/// What a connection is doing.
struct State {
    /// Being answered now: at most one in HTTP/1, many in HTTP/2.
    requests: usize,
    /// Of these, those whose bodies have not come whole.
    bodies: usize,
    answered: bool,
    /// The last change of `requests`.
    since: Instant,
}

impl Activity {
    fn new() -> Self {
        let state = State { requests: 0, bodies: 0, answered: false, since: Instant::now() };
        Self { state: watch::Sender::new(state), cut: CancellationToken::new() }
    }

    /// Since when the client has kept us waiting; none if there is an answer to give.
    fn waiting_since(&self) -> Option<Instant> {
        let state = self.state.borrow();
        (state.requests == state.bodies && !self.cut.is_cancelled()).then_some(state.since)
    }
}

impl State {
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        let allowed = if self.answered { patience.next } else { patience.first };
        (self.requests == 0).then_some(self.since + allowed)
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nobody drains a test")]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(10), next: Duration::from_secs(60) };

    fn connections(limit: usize) -> Arc<Connections> {
        Connections::new(NonZeroUsize::new(limit).expect("not zero"), PATIENCE)
    }

    /// Seconds until the place is overdue; none if it never is.
    async fn overdue_after(place: &Place) -> Option<u64> {
        let start = Instant::now();
        let overdue = timeout(1000 * SECOND, place.overdue()).await;
        overdue.ok().map(|()| start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_the_next_head_and_an_answer_have_their_own_patience() {
        let place = Arc::new(connections(1).admit().await);
        assert_eq!(overdue_after(&place).await, Some(10));
        let request = place.begin_request();
        assert_eq!(overdue_after(&place).await, None, "a busy connection is not timed here");
        drop(request);
        assert_eq!(overdue_after(&place).await, Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_limit_the_longest_idle_makes_room() {
        let connections = connections(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(Arc::new(connections.admit().await));
            tokio::time::advance(SECOND).await;
        }
        let busy = places[0].begin_request();
        // As the connection's task does: leave when overdue.
        let second = places.remove(1);
        let second = tokio::spawn(async move { second.overdue().await });
        let fourth = timeout(SECOND, connections.admit()).await;
        assert!(fourth.is_ok(), "the longest idle one was not cut");
        second.await.expect("it left");
        assert!(overdue_after(&places[0]).await.is_none(), "the busy one stays");
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn with_all_busy_the_next_waits_for_an_end() {
        let connections = connections(1);
        let place = Arc::new(connections.admit().await);
        let request = place.begin_request();
        assert!(timeout(SECOND, connections.admit()).await.is_err());
        tokio::spawn(async move {
            drop(request);
            place.overdue().await;
        });
        assert!(timeout(SECOND, connections.admit()).await.is_ok());
    }
}
