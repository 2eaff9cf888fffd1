//! How glibc's allocator is told to deal with freed memory.
//!
//! libtorch allocates and frees the activations of every layer, tens of megabytes each.

use std::io;
use std::thread;
use std::time::Duration;

/// Asks glibc to serve large blocks from its heap and to give none of it back.
///
/// By itself it maps such blocks afresh and returns them at once, so every batch pays for page
/// faults: a training step of `nin-cifar` took 1.5 times as long.
///
/// Call it once, before other threads start. Has no effect with other C libraries.
#[cfg(target_env = "gnu")]
pub fn keep_freed_blocks() {
    set(libc::M_MMAP_MAX, 0);
    set(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
}

/// Asks glibc to serve all threads from one heap, so that one thread's freed blocks serve the
/// others.
///
/// By itself it gives every thread a heap of its own, and the thread of each network keeps the
/// memory of its largest batch: see "One heap" in docs/performance.md.
///
/// Call it once, before other threads start. Has no effect with other C libraries.
#[cfg(target_env = "gnu")]
pub fn share_one_heap() {
    set(libc::M_ARENA_MAX, 1);
}

/// Gives the heap's free pages back to the kernel: what building networks has left, say, of which glibc
/// keeps all that lies below something in use.
///
/// Has no effect with other C libraries.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim is a C function")]
pub fn give_back() {
    // SAFETY: malloc_trim only touches free memory, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// How often it is looked whether much of the heap is free.
const PERIOD: Duration = Duration::from_secs(2);
/// How much may be. Activations of a batch come and go all the time; to have their pages from the kernel
/// anew cost some per cent of the pictures a second.
const FREE: usize = 64 << 20;

/// Calls [`give_back`] when more than [`FREE`] bytes are free, on a thread of its own, for as long as the
/// process lives: the memory of a rush of large uploads shall not stay with the service.
pub fn give_back_regularly() -> io::Result<()> {
    let tidy = || loop {
        thread::sleep(PERIOD);
        if free() > FREE {
            give_back();
        }
    };
    thread::Builder::new().name("memory".to_owned()).spawn(tidy)?;
    Ok(())
}

/// Bytes of the heap that nobody uses.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallinfo2 is a C function")]
fn free() -> usize {
    // SAFETY: mallinfo2 only reads, under the allocator's own locks.
    unsafe { libc::mallinfo2().fordblks }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt is a C function")]
fn set(parameter: libc::c_int, value: libc::c_int) {
    // SAFETY: mallopt only sets parameters of the allocator.
    unsafe {
        libc::mallopt(parameter, value);
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn keep_freed_blocks() {}

#[cfg(not(target_env = "gnu"))]
pub fn share_one_heap() {}

#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

#[cfg(not(target_env = "gnu"))]
fn free() -> usize {
    0
}
