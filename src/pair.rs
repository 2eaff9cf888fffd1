//! A second thread, that takes part of the first one's work for as long as it is there.
//!
//! To wake a thread up takes as long as many a thing that it could take over. But while a lone picture is
//! decoded another thread is awake anyway; it looks for what is offered by [`join`]. Where nobody is there
//! to take it, the first thread does one after the other.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the second thread waits, awake, for what it could do.
const PATIENCE: Duration = Duration::from_millis(5);

/// Does not panic.
type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// What the first thread offers, for the second to take.
#[derive(Default)]
pub(crate) struct Second {
    desk: Mutex<Desk>,
    /// Whether it is worth to look.
    has_offer: AtomicBool,
}

#[derive(Default)]
struct Desk {
    offer: Option<Job<'static>>,
    has_left: bool,
}

thread_local! {
    static SECOND: RefCell<Option<Arc<Second>>> = const { RefCell::new(None) };
}

impl Second {
    /// Runs `work`, parts of which the second thread may take.
    pub(crate) fn beside<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<Second>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SECOND.set(self.0.take());
            }
        }
        let _restore = Restore(SECOND.replace(Some(Arc::clone(self))));
        work()
    }

    /// Does what is offered, if anything is.
    pub(crate) fn help(&self) {
        if self.has_offer.load(Ordering::Relaxed)
            && let Some(job) = self.take()
        {
            job();
        }
    }

    /// Does what is offered for as long as the first thread `goes_on`, and gives way to whatever else wants
    /// the processor. Leaves if there is nothing to be done for long.
    pub(crate) fn stay(&self, goes_on: impl Fn() -> bool) {
        let mut since = Instant::now();
        while goes_on() && since.elapsed() < PATIENCE {
            if self.has_offer.load(Ordering::Relaxed) {
                self.help();
                since = Instant::now();
            }
            thread::yield_now();
        }
        self.desk().has_left = true;
        self.help();
    }

    /// Gives `job` back if nobody will take it.
    fn offer(&self, job: Job<'static>) -> Result<(), Job<'static>> {
        let mut desk = self.desk();
        if desk.has_left || desk.offer.is_some() {
            return Err(job);
        }
        desk.offer = Some(job);
        self.has_offer.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn take(&self) -> Option<Job<'static>> {
        let mut desk = self.desk();
        self.has_offer.store(false, Ordering::Relaxed);
        desk.offer.take()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a second thread is there for what the calling one offers.
pub(crate) fn is_there() -> bool {
    SECOND.with_borrow(|second| second.as_ref().is_some_and(|second| !second.desk().has_left))
}

/// Runs both, at the same time if a second thread takes the second.
pub(crate) fn join<A, B: Send>(
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    let Some(thread) = SECOND.with_borrow(Clone::clone) else {
        return (first(), second());
    };
    let (outcome, done) = (Mutex::new(None), AtomicBool::default());
    let job: Job<'_> = Box::new(|| {
        let ran = catch_unwind(AssertUnwindSafe(second));
        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
        done.store(true, Ordering::Release);
    });
    // SAFETY: it is dropped or has run when `taken` is dropped, which is before what it refers to, and
    // also if `first` panics. It refers to nothing of here once it is `done`.
    #[expect(unsafe_code, reason = "another thread runs it, within its lifetime")]
    let job = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
    let refused = thread.offer(job).err();
    let taken = Taken { thread: &thread, done: &done, is_there: refused.is_none() };
    let first = first();
    if let Some(job) = refused.or_else(|| thread.take()) {
        job();
    }
    drop(taken);
    match outcome.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(Ok(second)) => (first, second),
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("somebody ran it"),
    }
}

/// Sees to it that nobody has the job any more, or will.
struct Taken<'a> {
    thread: &'a Second,
    done: &'a AtomicBool,
    is_there: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.is_there || self.thread.take().is_some() {
            return;
        }
        while !self.done.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs `work` beside a second thread.
    pub(crate) fn beside<T>(work: impl FnOnce() -> T) -> T {
        let (second, over) = (Arc::<Second>::default(), AtomicBool::default());
        thread::scope(|scope| {
            let work = catch_unwind(AssertUnwindSafe(|| {
                scope.spawn(|| second.stay(|| !over.load(Ordering::Relaxed)));
                second.beside(work)
            }));
            over.store(true, Ordering::Relaxed);
            work.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    #[test]
    fn both_run_whoever_is_there() {
        let here = thread::current().id();
        let (a, b) = join(|| 1, || thread::current().id());
        assert_eq!((a, b), (1, here));
        // Who helps may be late, or have left, where much else runs.
        let taken = (0..100).any(|_| {
            let (met, since) = (AtomicBool::default(), Instant::now());
            let first = || {
                while !met.load(Ordering::Relaxed) && since.elapsed() < 4 * PATIENCE {
                    thread::yield_now();
                }
            };
            let second = || {
                met.store(true, Ordering::Relaxed);
                // Nobody helps the second one.
                join(|| (), || thread::current().id()).1
            };
            beside(|| join(first, second)).1 != here
        });
        assert!(taken);
    }

    #[test]
    fn who_has_left_is_not_waited_for() {
        let second = Arc::<Second>::default();
        second.stay(|| false);
        let here = thread::current().id();
        let (there, found) = second.beside(|| (is_there(), join(|| (), || thread::current().id())));
        assert!(!there);
        assert_eq!(found.1, here);
        assert!(!is_there());
    }

    #[test]
    fn one_offer_within_another_is_run_as_well() {
        let second = Arc::<Second>::default();
        // Nobody takes anything, but might.
        let sum = second.beside(|| join(|| join(|| 1, || 2), || 3));
        assert_eq!(sum, ((1, 2), 3));
    }

    #[test]
    fn panics_are_the_first_thread_s_and_nothing_is_left_behind() {
        let caught = |work: fn()| catch_unwind(|| beside(work)).expect_err("a panic");
        let second = caught(|| _ = join(|| (), || -> () { panic!("second") }));
        assert_eq!(second.downcast_ref(), Some(&"second"));
        let first = caught(|| _ = join(|| -> () { panic!("first") }, thread::yield_now));
        assert_eq!(first.downcast_ref(), Some(&"first"));
    }
}
