//! Entropy-coded data, bit by bit (ITU-T T.81, B.1.1.5 and F.1.2.3).

use super::huffman::extended;

/// Zeros behind the data, so that eight bytes can be read at once.
const PADDING: usize = 8;

/// Copies entropy-coded bytes without the zeros that are stuffed behind 0xFF, and [`PADDING`]. Returns
/// where the marker is that ends them.
pub(super) fn unstuff(bytes: &[u8], mut at: usize, data: &mut Vec<u8>) -> Option<usize> {
    data.clear();
    loop {
        let rest = bytes.get(at..)?;
        let plain = memchr::memchr(0xFF, rest)?;
        data.extend_from_slice(&rest[..plain]);
        at += plain;
        if *rest.get(plain + 1)? != 0 {
            data.extend([0; PADDING]);
            return Some(at);
        }
        data.push(0xFF);
        at += 2;
    }
}

/// The bits to come.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    /// [`PADDING`] included.
    data: &'a [u8],
    /// The byte that follows those that are held.
    at: usize,
    /// The first bit is the highest.
    next: u64,
    /// How many bits of `next` count.
    held: u32,
}

impl<'a> Bits<'a> {
    /// Of `data` from the byte at `at` on.
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, next: 0, held: 0 }
    }

    /// How many are before those to come.
    pub(super) fn taken(&self) -> usize {
        8 * self.at - self.held as usize
    }

    /// The first of those that are held is the highest.
    #[inline(always)]
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Sees to it that at least 56 bits are held; beyond the end of the data they are zeros.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let bytes = self.data.get(self.at..).and_then(<[u8]>::first_chunk).copied();
        self.next |= u64::from_be_bytes(bytes.unwrap_or_default()) >> self.held;
        self.at += ((63 - self.held) >> 3) as usize;
        self.held |= 56;
    }

    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) {
        self.next <<= count;
        self.held -= count;
    }

    /// Takes a value of `size` bits, 15 at most.
    #[inline(always)]
    pub(super) fn value(&mut self, size: u32) -> i32 {
        // In two steps, since none may be by 64.
        let value = (self.next >> 1 >> (63 - size)) as u32;
        self.take(size);
        extended(value, size)
    }

    /// How many bits are left of the data; `None` if more were taken than there were.
    pub(super) fn left(&self) -> Option<usize> {
        (8 * (self.data.len() - PADDING)).checked_sub(self.taken())
    }
}
