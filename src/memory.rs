//! Keeps freed memory in the process.
//!
//! libtorch allocates and frees the activations of every layer, tens of megabytes each. glibc maps
//! such blocks afresh and returns them at once, so every batch pays for page faults: a training
//! step of `nin-cifar` took 1.5 times as long without this.

/// Asks glibc to serve large blocks from its heap and to give none of it back.
///
/// Call it once, before other threads start. Has no effect with other C libraries.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt is a C function")]
pub fn keep_freed_blocks() {
    // SAFETY: mallopt only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn keep_freed_blocks() {}
