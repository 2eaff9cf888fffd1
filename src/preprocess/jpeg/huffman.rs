//! Huffman codes (ITU-T T.81, annexes C and F), read a few at a time.

/// Codes of up to this many bits are looked up; the rest are rare.
const PREFIX: u32 = 11;
const PREFIXES: usize = 1 << PREFIX;

/// One Huffman table.
pub(super) struct Table {
    /// For each prefix the code that it begins with, [`Code::NONE`] for longer ones.
    first: Box<[Code; PREFIXES]>,
    /// For each prefix the code and the value that it begins with, [`Whole::NONE`] for longer ones.
    whole: Box<[Whole; PREFIXES]>,
    /// For codes of `length` bits: the first 16-bit value beyond them, and what is to be added to a
    /// code for the place of its symbol.
    long: [(u32, i32); 17],
    symbols: Vec<u8>,
}

/// A code and what its symbol says of a coefficient (F.1.2.1 and F.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(4))]
pub(super) struct Code {
    /// Bits of the code.
    pub length: u8,
    /// Bits of the value that follows it.
    pub size: u8,
    /// Coefficients passed, zeros before it included; for the end of the block 1 and [`ENDS`].
    pub passed: u8,
}

/// A code and the value that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(4))]
pub(super) struct Whole {
    /// Of both.
    pub bits: u8,
    /// As [`Code::passed`].
    pub passed: u8,
    pub value: i16,
}

impl Whole {
    const NONE: Self = Self { bits: 0, passed: 0, value: 0 };
}

/// What `bits`, `size` of them, 15 at most, say as the value of a coefficient (F.2.2.1, EXTEND).
#[inline(always)]
pub(super) fn extended(bits: u32, size: u32) -> i32 {
    let negative = bits < (1 << size) >> 1;
    bits as i32 - if negative { (1 << size) - 1 } else { 0 }
}

/// Added to the coefficients passed, it makes more of them than there are in any block.
pub(super) const ENDS: u8 = 0x80;

impl Code {
    const NONE: Self = Self { length: 0, size: 0, passed: 0 };

    fn new(length: u32, symbol: u8) -> Self {
        let (run, size) = (symbol >> 4, symbol & 15);
        let passed = if symbol == 0 { 1 | ENDS } else { run + 1 };
        Self { length: length as u8, size, passed }
    }
}

impl Table {
    /// `counts` are those of the codes of 1 to 16 bits. `None` if there can't be so many, or if a
    /// symbol says nothing in a baseline file.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        if symbols.iter().any(|symbol| symbol & 15 == 0 && !matches!(symbol, 0 | 0xF0)) {
            return None;
        }
        let mut first = Box::new([Code::NONE; PREFIXES]);
        let mut whole = Box::new([Whole::NONE; PREFIXES]);
        let mut long = [(0, 0); 17];
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            long[length as usize].1 = index as i32 - code as i32;
            for &symbol in symbols.get(index..index + usize::from(count))? {
                if length <= PREFIX {
                    let span = 1 << (PREFIX - length);
                    let start = code as usize * span;
                    let code = Code::new(length, symbol);
                    first.get_mut(start..start + span)?.fill(code);
                    fill_whole(code, &mut whole[start..start + span]);
                }
                code += 1;
            }
            index += usize::from(count);
            if code > 1 << length {
                return None;
            }
            long[length as usize].0 = code << (16 - length);
            code <<= 1;
        }
        Some(Self { first, whole, long, symbols: symbols.to_vec() })
    }

    /// The code that `bits` begin with and its value, [`Whole::bits`] of which are none if they are many.
    #[inline]
    pub(super) fn read_whole(&self, bits: u64) -> Whole {
        self.whole[(bits >> (64 - PREFIX)) as usize]
    }

    /// The code that `bits` begin with.
    #[inline]
    pub(super) fn read(&self, bits: u64) -> Option<Code> {
        let code = self.first[(bits >> (64 - PREFIX)) as usize];
        if code == Code::NONE { self.read_long(bits) } else { Some(code) }
    }

    #[cold]
    fn read_long(&self, bits: u64) -> Option<Code> {
        let code = (bits >> 48) as u32;
        let length = (PREFIX + 1..=16).find(|&length| code < self.long[length as usize].0)?;
        let index = (code >> (16 - length)) as i32 + self.long[length as usize].1;
        Some(Code::new(length, *self.symbols.get(usize::try_from(index).ok()?)?))
    }
}

/// Writes all values of a code to the prefixes that begin with it, if they have room for them.
fn fill_whole(Code { length, size, passed }: Code, prefixes: &mut [Whole]) {
    let values = 1 << size;
    if values > prefixes.len() {
        return;
    }
    let bits = length + size;
    for (value, prefixes) in (0..).zip(prefixes.chunks_exact_mut(prefixes.len() / values)) {
        let value = extended(value, size.into()) as i16;
        prefixes.fill(Whole { bits, passed, value });
    }
}

/// For each prefix, what all the coefficients take whose codes lie in it as a whole.
pub(super) struct Strides(Box<[Stride; PREFIXES]>);

/// Some coefficients on end, that need not be known.
#[derive(Debug, Clone, Copy)]
#[repr(align(2))]
pub(super) struct Stride {
    /// Of codes and values.
    pub bits: u8,
    /// Coefficients passed, zeros included, with the end of a block 1 and [`ENDS`] more.
    pub passed: u8,
}

impl Strides {
    /// `table` is one of ac coefficients.
    pub(super) fn new(table: &Table) -> Self {
        let mut strides = Box::new([Stride::NONE; PREFIXES]);
        for (prefix, stride) in strides.iter_mut().enumerate() {
            *stride = Stride::of(table, prefix);
        }
        Self(strides)
    }

    #[inline]
    pub(super) fn read(&self, bits: u64) -> Stride {
        self.0[(bits >> (64 - PREFIX)) as usize]
    }
}

impl Stride {
    /// Where no code lies in the prefix as a whole: more than there are in a block.
    const NONE: Self = Self { bits: 0, passed: 64 };

    fn of(table: &Table, prefix: usize) -> Self {
        let mut stride = Self { bits: 0, passed: 0 };
        while stride.passed < ENDS && u32::from(stride.bits) < PREFIX {
            let code = table.first[(prefix << stride.bits) & (PREFIXES - 1)];
            // What was shifted in is not of the file, and decides nothing if the code ends before it.
            if code == Code::NONE || u32::from(stride.bits + code.length) > PREFIX {
                break;
            }
            if stride.passed + (code.passed & !ENDS) > 63 {
                break;
            }
            stride = Self {
                bits: stride.bits + code.length + code.size,
                passed: stride.passed + code.passed,
            };
        }
        if stride.bits == 0 { Self::NONE } else { stride }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10, 110 and, of 13 bits, 1110000000000.
    fn table() -> Table {
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[2], counts[12]) = (1, 1, 1, 1);
        Table::new(&counts, &[0x01, 0x00, 0x12, 0x23]).expect("a table")
    }

    fn bits(text: &str) -> u64 {
        let text = text.replace(' ', "");
        u64::from_str_radix(&text, 2).expect("bits") << (64 - text.len())
    }

    #[test]
    fn codes_are_told_from_each_other() {
        let table = table();
        assert_eq!(table.read(bits("0 111")), Some(Code::new(1, 0x01)));
        assert_eq!(table.read(bits("10")), Some(Code::new(2, 0x00)));
        assert_eq!(table.read(bits("110")), Some(Code::new(3, 0x12)));
        assert_eq!(table.read(bits("1110000000000")), Some(Code::new(13, 0x23)));
        assert_eq!(table.read(bits("1110000000001")), None);
    }

    #[test]
    fn a_code_is_read_together_with_its_value() {
        let table = table();
        let read = |text| table.read_whole(bits(text));
        // Of one bit, 0 is -1; of two, 00 is -3 and 10 is 2.
        assert_eq!(read("0 0 111"), Whole { bits: 2, passed: 1, value: -1 });
        assert_eq!(read("110 00"), Whole { bits: 5, passed: 2, value: -3 });
        assert_eq!(read("110 10"), Whole { bits: 5, passed: 2, value: 2 });
        assert_eq!(read("10"), Whole { bits: 2, passed: 1 | ENDS, value: 0 });
        assert_eq!(read("1110000000000"), Whole::NONE);
    }

    #[test]
    fn more_codes_than_there_can_be_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Table::new(&counts, &[1, 2, 3]).is_none());
    }

    #[test]
    fn a_stride_takes_whole_codes_up_to_the_end_of_the_block() {
        let strides = Strides::new(&table());
        // One coefficient (code 0, value 1), one after a zero (code 110, value 01), the end, and more.
        let stride = strides.read(bits("01 11001 10 0000"));
        assert_eq!((stride.bits, stride.passed), (9, 1 + 2 + 1 + ENDS));
        // The last value reaches beyond the prefix, as it may; its code does not.
        let stride = strides.read(bits("00 01 00 01 110 10"));
        assert_eq!((stride.bits, stride.passed), (13, 6));
        let stride = strides.read(bits("11100000000 00"));
        assert!(stride.passed > 63);
    }
}
