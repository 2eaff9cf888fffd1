//! Products of bf16 in tiles of 16 × 16 sums, by AMX.
//!
//! A multiplication of two tiles takes sixteen cycles, in which AVX-512 multiplies a sixteenth of it in f32. See
//! "Intel AMX" in Intel's Optimization Reference Manual. Rust has no stable intrinsics for these
//! instructions, but their names in assembly.

#![expect(unsafe_code, reason = "instructions, for processors that have been looked at")]

mod block;
mod product;
mod tiling;

pub(super) use block::Block;

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, CpuidResult};

use super::elements::Bf16;
use super::multiplier::Pairs;

/// Rows of a tile, and sums in a row.
const SIDE: usize = 16;
/// Values of bf16 in a row.
const DEEP: usize = 32;
/// Columns of a panel, as many as two tiles of sums have.
const PANEL: usize = 2 * SIDE;
/// Tiles of pixels that go through all layers of a block together.
const TOGETHER: usize = 32;

/// Whether this processor multiplies tiles of bf16, sixteen times as many values at once as of f32.
pub(in crate::model) fn has_tiles() -> bool {
    Amx::detect().is_some()
}

/// Tiles of bf16. Only who has seen that the processor has them, has a value of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amx(Pairs);

impl Amx {
    pub(super) fn detect() -> Option<Self> {
        const AMX_BF16: u32 = 1 << 22;
        // Later versions of Rust have it as a safe function.
        let identify: unsafe fn(u32, u32) -> CpuidResult = __cpuid_count;
        let pairs = Pairs::detect()?;
        // SAFETY: processors with AVX-512 have the instruction, and tell of seven leaves and more. See
        // "CPUID" in the Intel 64 and IA-32 Architectures Software Developer's Manual.
        let found = unsafe { identify(7, 0) }.edx & AMX_BF16 != 0;
        (found && is_permitted()).then_some(Self(pairs))
    }
}

/// Asks the kernel for the tiles' eight kilobytes in what it keeps of each thread of this process. See
/// "Using XSTATE features in user space applications" in the documentation of Linux.
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: it takes numbers, and there is nothing else that it changes.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Sizes of the tiles, as the instruction reads them: sums in 0 to 3, rows in 4 and 5, columns in 6 and 7.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// For so many rows in a tile.
    fn of(rows: usize) -> Self {
        let (mut all, mut bytes_of_row) = ([0; 16], [0; 16]);
        all[..6].fill(rows as u8);
        all[6..8].fill(SIDE as u8);
        bytes_of_row[..8].fill(64);
        Self { palette: 1, start_row: 0, reserved: [0; 14], bytes_of_row, rows: all }
    }
}

// SAFETY of all of them: whoever calls them has a value of `Amx` and has configured the tiles, and all that
// they read or write is there. The compiler itself uses no tiles, so that they keep what is in them from one
// of these instructions to the next.

#[inline(always)]
unsafe fn configure(configuration: &Configuration) {
    unsafe { asm!("ldtilecfg [{}]", in(reg) configuration, options(nostack, preserves_flags)) }
}

/// Else the kernel keeps what is in the tiles whenever another thread's turn comes.
#[inline(always)]
unsafe fn release() {
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
}

#[inline(always)]
unsafe fn clear<const TILE: usize>() {
    unsafe { asm!("tilezero tmm{}", const TILE, options(nomem, nostack, preserves_flags)) }
}

/// Loads rows that lie `pitch` bytes apart.
#[inline(always)]
unsafe fn load<const TILE: usize>(first: *const Bf16, pitch: usize) {
    unsafe {
        asm!("tileloadd tmm{}, [{} + {}]", const TILE, in(reg) first, in(reg) pitch,
            options(readonly, nostack, preserves_flags));
    }
}

/// Adds products to `SUMS`.
#[inline(always)]
unsafe fn multiply<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>() {
    unsafe {
        asm!("tdpbf16ps tmm{}, tmm{}, tmm{}", const SUMS, const ROWS, const COLUMNS,
            options(nomem, nostack, preserves_flags));
    }
}

/// Stores sums, with rows `pitch` bytes apart.
#[inline(always)]
unsafe fn store<const TILE: usize>(first: *mut f32, pitch: usize) {
    unsafe {
        asm!("tilestored [{} + {}], tmm{}", in(reg) first, in(reg) pitch, const TILE,
            options(nostack, preserves_flags));
    }
}
