//! The scan: from bits to the slowest frequencies of each block (ITU-T T.81, annex F.2).

use super::ahead::Ahead;
use super::bits::{Bits, unstuff};
use super::huffman::{ENDS, Strides, Table};
use super::markers::{Component, Picture};
use super::plane::{Blocks, Plane, Stored};
use crate::pair;

/// Reads the whole scan into `planes`, which are those of the first components. `None` if it does not
/// end where it should.
pub(super) fn decode(bytes: &[u8], picture: &Picture, planes: &mut [Plane]) -> Option<()> {
    let codes = Codes::new(picture);
    let stored = planes.iter().zip(&picture.components);
    let mut stored: Vec<_> = stored.map(|(plane, component)| plane.stored(component)).collect();
    let channels = codes.channels(planes)?;
    let (across, down) = picture.units();
    let units = across * down;
    let interval = if picture.restart_interval == 0 { units } else { picture.restart_interval };
    let (mut data, mut at) = (Vec::new(), picture.scan);
    let mut reader = Reader { channels, across, unit: 0 };
    for (restarts, first) in (0..units).step_by(interval).enumerate() {
        at = unstuff(bytes, at, &mut data)?;
        reader.channels.iter_mut().for_each(|channel| channel.prediction = 0);
        let end = (first + interval).min(units);
        if interval == units && pair::is_there() {
            reader.halves(&data, units, (&codes, std::mem::take(&mut stored)))?;
        } else {
            let mut bits = Bits::new(&data, 0);
            reader.run(&mut bits, end, |_| true)?;
            (bits.left()? < 8).then_some(())?;
        }
        let marker = if end == units { END_OF_IMAGE } else { RESTART + (restarts % 8) as u8 };
        (bytes.get(at..at + 2)? == [0xFF, marker]).then_some(())?;
        at += 2;
    }
    Some(())
}

/// The tables of a picture.
pub(super) struct Codes<'a> {
    picture: &'a Picture,
    strides: [Option<Strides>; 4],
}

impl<'p> Codes<'p> {
    pub(super) fn new(picture: &'p Picture) -> Self {
        let strides = picture.ac.each_ref().map(|table| table.as_ref().map(Strides::new));
        Self { picture, strides }
    }

    /// Of all components, the first of which go to `sinks`.
    pub(super) fn channels<'a, S>(&'a self, sinks: &'a mut [S]) -> Option<Vec<Channel<'a, S>>> {
        let mut sinks = sinks.iter_mut();
        let mut channel = |component: &Component| {
            Some(Channel {
                dc: self.picture.dc.get(component.dc)?.as_ref()?,
                ac: self.picture.ac.get(component.ac)?.as_ref()?,
                strides: self.strides[component.ac].as_ref()?,
                blocks: component.blocks,
                prediction: 0,
                sink: sinks.next(),
            })
        };
        self.picture.components.iter().map(&mut channel).collect()
    }
}

/// Takes minimum coded units in their order.
struct Reader<'a> {
    channels: Vec<Channel<'a, Plane>>,
    /// Units in a row.
    across: usize,
    /// The next one.
    unit: usize,
}

impl Reader<'_> {
    /// Reads units up to `end`, or for as long as it `goes_on` at the place where the next one begins.
    fn run(
        &mut self,
        bits: &mut Bits,
        end: usize,
        mut goes_on: impl FnMut(&Bits) -> bool,
    ) -> Option<()> {
        while self.unit < end && goes_on(bits) {
            for channel in &mut self.channels {
                channel.unit(bits, self.unit % self.across)?;
            }
            if (self.unit + 1).is_multiple_of(self.across) {
                // Where the data has run out it would go on with zeros.
                bits.left()?;
            }
            self.advance(1);
        }
        Some(())
    }

    /// Reads all `units`, the first half of `data` while another thread reads ahead in the second.
    fn halves(
        &mut self,
        data: &[u8],
        units: usize,
        (codes, stored): (&Codes, Vec<Stored>),
    ) -> Option<()> {
        let middle = data.len() / 2;
        let mut bits = Bits::new(data, 0);
        let first = || self.run(&mut bits, units, |bits| bits.taken() < 8 * middle);
        let (first, ahead) =
            pair::join(first, || Ahead::read(data, (middle, units), (codes, stored)));
        first?;
        let ahead = ahead?;
        self.run(&mut bits, units, |bits| ahead.find(bits.taken()).is_none())?;
        if self.unit == units {
            return (bits.left()? < 8).then_some(());
        }
        let missing = |(channel, prediction): (&Channel<_>, &i32)| {
            channel.prediction.wrapping_sub(*prediction)
        };
        let (mut first, predictions) = ahead.from(bits.taken(), units - self.unit)?;
        let missing: Vec<_> = self.channels.iter().zip(predictions).map(missing).collect();
        while self.unit < units {
            let column = self.unit % self.across;
            let count = (self.across - column).min(units - self.unit);
            for (index, channel) in self.channels.iter_mut().enumerate() {
                let Some(plane) = &mut channel.sink else { continue };
                let blocks = ahead.units(index, first, count)?;
                plane.put(column, channel.blocks, (blocks, missing[index]))?;
            }
            first += count;
            self.advance(count);
        }
        Some(())
    }

    /// Within a row.
    fn advance(&mut self, units: usize) {
        self.unit += units;
        if self.unit.is_multiple_of(self.across) {
            let planes = self.channels.iter_mut().filter_map(|channel| channel.sink.as_mut());
            planes.for_each(|plane| plane.end_row());
        }
    }
}

const END_OF_IMAGE: u8 = 0xD9;
/// The first of eight, which take turns.
const RESTART: u8 = 0xD0;

/// A component while it is read.
pub(super) struct Channel<'a, S> {
    dc: &'a Table,
    ac: &'a Table,
    strides: &'a Strides,
    /// In a minimum coded unit, across and down.
    blocks: (usize, usize),
    /// The dc coefficient of the block before.
    pub(super) prediction: i32,
    /// Where the blocks go; `None` if nobody wants them.
    pub(super) sink: Option<&'a mut S>,
}

impl<S: Blocks> Channel<'_, S> {
    /// Reads the component's blocks of the minimum coded unit in `column`.
    pub(super) fn unit(&mut self, bits: &mut Bits, column: usize) -> Option<()> {
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

    /// Reads as many coefficients of the block at (row in the unit, column in the picture) as the sink
    /// wants to know. Returns how many of all are passed.
    #[inline(always)]
    fn keep(&mut self, bits: &mut Bits, at: (usize, usize)) -> Option<usize> {
        let Some(sink) = &mut self.sink else { return Some(1) };
        let (coefficients, block) = sink.block(at)?;
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
                let stride = self.strides.read(bits.next());
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
    let whole = table.read_whole(bits.next());
    if whole.bits > 0 {
        bits.take(whole.bits.into());
        return Some((whole.passed.into(), whole.value.into()));
    }
    let code = table.read(bits.next())?;
    bits.take(code.length.into());
    Some((code.passed.into(), bits.value(code.size.into())))
}
