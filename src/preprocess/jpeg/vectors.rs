//! Plain loops, compiled for eight values at a time where the processor has vectors of so many.

/// Loops over values.
pub(super) trait Loops {
    /// To be `#[inline(always)]`, as all that it calls; what is not is compiled for any processor.
    fn run(self);
}

/// Runs `loops`. The results are the same to the bit on any processor.
pub(super) fn run(loops: impl Loops) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn with_avx2(loops: impl Loops) {
            loops.run();
        }
        // SAFETY: the processor has it.
        #[expect(unsafe_code, reason = "it is called only where the processor can")]
        return unsafe { with_avx2(loops) };
    }
    loops.run();
}
