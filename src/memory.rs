//! How glibc's allocator is told to deal with freed memory.
//!
//! libtorch allocates and frees the activations of every layer, tens of megabytes each.

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
