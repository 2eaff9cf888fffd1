//! How many of libtorch's threads run a batch.

use std::any::Any;
use std::ffi::{c_uint, c_void};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::pair::Second;

/// Who runs a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Team {
    /// The calling thread.
    One,
    /// All threads that libtorch may use.
    All,
}

impl Team {
    /// Lets the team, of `all` threads, run what the calling thread asks of libtorch from now on. It is
    /// a setting of the thread, not of the process, and changing it costs next to nothing.
    pub fn assemble(self, all: NonZeroUsize) {
        let threads = match self {
            Self::One => 1,
            Self::All => all.get(),
        };
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }
}

/// Has every thread run `work` that libtorch may use for what the calling thread asks of it.
///
/// They are libgomp's, and awake between one layer and the next: to begin threads takes longer than
/// some layers do, and besides those that wait they would be too many for the processors.
pub(super) fn run_by_all(work: &(dyn Fn() + Sync)) {
    let Some(parallel) = parallel() else {
        let others = 1..tch::get_num_threads().max(1);
        return thread::scope(|scope| {
            others.for_each(|_| drop(scope.spawn(work)));
            work();
        });
    };
    let task = Task { work, panic: Mutex::default() };
    // SAFETY: `member` gets the task, which lives until all threads have run it, when this returns. No
    // number of threads, 0, means as many as libtorch has set.
    #[expect(unsafe_code, reason = "a function of C")]
    unsafe {
        parallel(member, (&raw const task).cast_mut().cast(), 0, 0);
    }
    if let Some(panic) = task.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

/// Runs `work`, and has one of the other threads `help` meanwhile, if there are any. Its argument tells
/// whether the work is still going on. When it has done so, and in between, it takes what the work offers
/// by [`pair::join`](crate::pair::join).
pub(super) fn run_with_help(work: impl FnOnce() + Send, help: &(dyn Fn(&dyn Fn() -> bool) + Sync)) {
    if tch::get_num_threads() <= 1 {
        return work();
    }
    let here = thread::current().id();
    let (work, over, helped) =
        (Mutex::new(Some(work)), AtomicBool::default(), AtomicBool::default());
    let second = Arc::<Second>::default();
    run_by_all(&|| {
        if thread::current().id() == here {
            // Also if it panics: else the helper would go on.
            let _over = SetOnDrop(&over);
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
            second.beside(|| work.into_iter().for_each(|work| work()));
        } else if !helped.swap(true, Ordering::Relaxed) {
            let goes_on = || !over.load(Ordering::Relaxed);
            help(&|| {
                second.help();
                goes_on()
            });
            second.stay(goes_on);
        }
    });
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<'a> {
    work: &'a (dyn Fn() + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What a thread of the team runs. A panic must not leave it.
extern "C" fn member(task: *mut c_void) {
    // SAFETY: see `run_by_all`.
    #[expect(unsafe_code, reason = "a function of C passes a pointer on")]
    let task = unsafe { &*task.cast::<Task<'_>>() };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(task.work)) {
        *task.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }
}

/// What a compiler makes of `#pragma omp parallel`: function, its argument, number of threads, flags.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// That of the library that libtorch has been linked to. Those of LLVM and Intel have it, too.
#[expect(unsafe_code, reason = "functions of C are found by their names")]
fn parallel() -> Option<Parallel> {
    // SAFETY: the name ends with a zero, and the type is that of libgomp's ABI.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr());
        (!found.is_null()).then(|| std::mem::transmute::<*mut c_void, Parallel>(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn all_of_a_team_work_and_a_panic_of_any_is_the_caller_s() {
        let three = NonZeroUsize::new(3).expect("not zero");
        for (team, expected) in [(Team::One, 1), (Team::All, 3)] {
            team.assemble(three);
            let count = AtomicUsize::new(0);
            run_by_all(&|| _ = count.fetch_add(1, Ordering::Relaxed));
            assert_eq!(count.into_inner(), expected);
        }
        let count = AtomicUsize::new(0);
        let work = || assert_ne!(count.fetch_add(1, Ordering::Relaxed), 1, "as ordered");
        let panicked = catch_unwind(AssertUnwindSafe(|| run_by_all(&work)));
        assert!(panicked.is_err());
    }

    #[test]
    fn one_helps_until_the_work_is_done_or_panics() {
        let three = NonZeroUsize::new(3).expect("not zero");
        Team::All.assemble(three);
        let here = thread::current().id();
        let (worked, helpers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let help = |goes_on: &dyn Fn() -> bool| {
            helpers.fetch_add(1, Ordering::Relaxed);
            while goes_on() {
                thread::yield_now();
            }
        };
        let work = || {
            assert_eq!(thread::current().id(), here);
            while helpers.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            worked.fetch_add(1, Ordering::Relaxed);
        };
        run_with_help(work, &help);
        assert_eq!((worked.into_inner(), helpers.load(Ordering::Relaxed)), (1, 1));
        let work = || panic!("as ordered");
        assert!(catch_unwind(AssertUnwindSafe(|| run_with_help(work, &help))).is_err());
        Team::One.assemble(three);
        run_with_help(|| (), &|_| panic!("nobody is there to help"));
    }
}
