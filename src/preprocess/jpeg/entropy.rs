//! The scan: from bits to the slowest frequencies of each block (ITU-T T.81, annex F.2).

use super::huffman::{ENDS, Strides, Table, extended};
use super::markers::Picture;
use super::plane::Plane;

/// Reads the whole scan into `planes`, which are those of the first components. `None` if it does not
/// end where it should.
pub(super) fn decode(bytes: &[u8], picture: &Picture, planes: &mut [Plane]) -> Option<()> {
    let strides = picture.ac.each_ref().map(|table| table.as_ref().map(Strides::new));
    let mut planes = planes.iter_mut();
    let mut channels = Vec::with_capacity(picture.components.len());
    for component in &picture.components {
        channels.push(Channel {
            dc: picture.dc.get(component.dc)?.as_ref()?,
            ac: picture.ac.get(component.ac)?.as_ref()?,
            strides: strides[component.ac].as_ref()?,
            blocks: component.blocks,
            prediction: 0,
            plane: planes.next(),
        });
    }
    let (across, down) = picture.units();
    let units = across * down;
    let interval = if picture.restart_interval == 0 { units } else { picture.restart_interval };
    let (mut data, mut at) = (Vec::new(), picture.scan);
    for (restarts, first) in (0..units).step_by(interval).enumerate() {
        at = unstuff(bytes, at, &mut data)?;
        let mut bits = Bits::new(&data);
        channels.iter_mut().for_each(|channel| channel.prediction = 0);
        let end = (first + interval).min(units);
        for unit in first..end {
            for channel in &mut channels {
                channel.unit(&mut bits, unit % across)?;
            }
            if (unit + 1) % across == 0 {
                // Where the data has run out it would go on with zeros.
                bits.left()?;
                channels.iter_mut().for_each(Channel::end_row);
            }
        }
        (bits.left()? < 8).then_some(())?;
        let marker = if end == units { END_OF_IMAGE } else { RESTART + (restarts % 8) as u8 };
        (bytes.get(at..at + 2)? == [0xFF, marker]).then_some(())?;
        at += 2;
    }
    Some(())
}

const END_OF_IMAGE: u8 = 0xD9;
/// The first of eight, which take turns.
const RESTART: u8 = 0xD0;
/// Zeros behind the data, so that eight bytes can be read at once.
const PADDING: usize = 8;

/// Copies entropy-coded bytes without the zeros that are stuffed behind 0xFF, and [`PADDING`]. Returns
/// where the marker is that ends them.
fn unstuff(bytes: &[u8], mut at: usize, data: &mut Vec<u8>) -> Option<usize> {
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

/// A component while it is read.
struct Channel<'a> {
    dc: &'a Table,
    ac: &'a Table,
    strides: &'a Strides,
    /// In a minimum coded unit, across and down.
    blocks: (usize, usize),
    /// The dc coefficient of the block before.
    prediction: i32,
    /// Where the blocks go; `None` if nobody wants them.
    plane: Option<&'a mut Plane>,
}

impl Channel<'_> {
    /// Reads the component's blocks of the minimum coded unit in `column`.
    fn unit(&mut self, bits: &mut Bits, column: usize) -> Option<()> {
        let (across, down) = self.blocks;
        // A copy stays in registers.
        let mut local = *bits;
        for row in 0..down {
            for block in 0..across {
                let (_, difference) = coefficient(self.dc, &mut local)?;
                self.prediction = self.prediction.wrapping_add(difference);
                let passed = self.keep(&mut local, (row, column * across + block))?;
                self.skip(&mut local, passed)?;
            }
        }
        *bits = local;
        Some(())
    }

    fn end_row(&mut self) {
        if let Some(plane) = &mut self.plane {
            plane.end_row();
        }
    }

    /// Reads as many coefficients of the block at (row in the unit, column in the picture) as the plane
    /// wants to know. Returns how many of all are passed.
    #[inline(always)]
    fn keep(&mut self, bits: &mut Bits, at: (usize, usize)) -> Option<usize> {
        let Some(plane) = &mut self.plane else { return Some(1) };
        let (coefficients, block) = plane.block(at)?;
        coefficients.add(0, self.prediction, block);
        let mut passed = 1;
        while passed < coefficients.wanted() {
            let (more, value) = coefficient(self.ac, bits)?;
            passed += more;
            // The end of the block adds a zero.
            coefficients.add(passed - 1, value, block);
        }
        Some(passed)
    }

    /// Passes what is left of the 64 coefficients.
    #[inline(always)]
    fn skip(&self, bits: &mut Bits, mut passed: usize) -> Option<()> {
        while passed < 64 {
            bits.refill();
            // Twice, since a stride takes 26 bits at most.
            for _ in 0..2 {
                let stride = self.strides.read(bits.next);
                let beyond = passed + usize::from(stride.passed);
                if beyond % usize::from(ENDS) > 64 {
                    passed += coefficient(self.ac, bits)?.0;
                    break;
                }
                bits.take(stride.bits.into());
                passed = beyond;
                if passed >= 64 {
                    break;
                }
            }
        }
        (passed == 64 || passed > usize::from(ENDS)).then_some(())
    }
}

/// The next coefficient, or difference of dc coefficients, by the codes of `table`: how many it passes, and
/// its value.
#[inline(always)]
fn coefficient(table: &Table, bits: &mut Bits) -> Option<(usize, i32)> {
    bits.refill();
    let whole = table.read_whole(bits.next);
    if whole.bits > 0 {
        bits.take(whole.bits.into());
        return Some((whole.passed.into(), whole.value.into()));
    }
    let code = table.read(bits.next)?;
    bits.take(code.length.into());
    Some((code.passed.into(), bits.value(code.size.into())))
}

/// The bits to come.
#[derive(Clone, Copy)]
struct Bits<'a> {
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
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, next: 0, held: 0 }
    }

    /// Sees to it that at least 56 bits are held; beyond the end of the data they are zeros.
    #[inline(always)]
    fn refill(&mut self) {
        let bytes = self.data.get(self.at..).and_then(<[u8]>::first_chunk).copied();
        self.next |= u64::from_be_bytes(bytes.unwrap_or_default()) >> self.held;
        self.at += ((63 - self.held) >> 3) as usize;
        self.held |= 56;
    }

    #[inline(always)]
    fn take(&mut self, count: u32) {
        self.next <<= count;
        self.held -= count;
    }

    /// Takes a value of `size` bits, 15 at most.
    #[inline(always)]
    fn value(&mut self, size: u32) -> i32 {
        // In two steps, since none may be by 64.
        let value = (self.next >> 1 >> (63 - size)) as u32;
        self.take(size);
        extended(value, size)
    }

    /// How many bits are left of the data; `None` if more were taken than there were.
    fn left(&self) -> Option<usize> {
        let taken = 8 * self.at - self.held as usize;
        (8 * (self.data.len() - PADDING)).checked_sub(taken)
    }
}
