//! The marker segments before the scan (ITU-T T.81, annex B).

use super::super::header::jpeg_segment;
use super::huffman::Table;

/// The position of each coefficient of a block in the file's order: row (vertical frequency) times
/// eight, plus column.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// All that is needed to read the scan.
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    /// Grey, or Y, Cb and Cr.
    pub components: Vec<Component>,
    /// Of dc and ac coefficients, by the numbers that components have.
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    /// Minimum coded units between two restart markers; 0: there are none.
    pub restart_interval: usize,
    /// Where entropy-coded data begins.
    pub scan: usize,
}

pub(super) struct Component {
    id: u8,
    /// Blocks in a minimum coded unit, across and down.
    pub blocks: (usize, usize),
    quantisation: usize,
    /// In the file's order.
    pub quantisers: [u16; 64],
    pub dc: usize,
    pub ac: usize,
}

impl Picture {
    /// Blocks in a minimum coded unit that is as large as the largest component's.
    fn most_blocks(&self) -> (usize, usize) {
        let most = |side: fn(&Component) -> usize| self.components.iter().map(side).max();
        (most(|c| c.blocks.0).unwrap_or(1), most(|c| c.blocks.1).unwrap_or(1))
    }

    /// How many pixels a sample of `component` stands for, across and down. `None` for fractions.
    pub(super) fn steps(&self, component: &Component) -> Option<(usize, usize)> {
        let (most, own) = (self.most_blocks(), component.blocks);
        let whole = most.0 % own.0 == 0 && most.1 % own.1 == 0;
        whole.then(|| (most.0 / own.0, most.1 / own.1))
    }

    /// Minimum coded units across and down.
    pub(super) fn units(&self) -> (usize, usize) {
        let most = self.most_blocks();
        (self.width.div_ceil(8 * most.0), self.height.div_ceil(8 * most.1))
    }
}

/// Reads up to the first scan, which must have all components.
pub(super) fn read(bytes: &[u8]) -> Option<Picture> {
    let mut picture = Picture {
        width: 0,
        height: 0,
        components: Vec::new(),
        dc: [const { None }; 4],
        ac: [const { None }; 4],
        restart_interval: 0,
        scan: 0,
    };
    let (mut quantisers, mut codes) = ([None; 4], [[None; 4]; 2]);
    let mut at = 2;
    loop {
        let (marker, segment, end) = jpeg_segment(bytes, at)?;
        match marker {
            0xC4 => huffman_tables(segment, &mut codes)?,
            0xC0 | 0xC1 if picture.components.is_empty() => frame(segment, &mut picture)?,
            0xC0..=0xCF => return None,
            0xDB => quantisation_tables(segment, &mut quantisers)?,
            0xDD => picture.restart_interval = usize::from(u16_at(segment, 0)?),
            0xDA => {
                scan(segment, &mut picture.components)?;
                for component in &mut picture.components {
                    component.quantisers = (*quantisers.get(component.quantisation)?)?;
                }
                let table = |codes: Option<Codes>| {
                    codes.and_then(|(counts, symbols)| Table::new(counts, symbols))
                };
                let [dc, ac] = codes.map(|codes| codes.map(table));
                return Some(Picture { scan: end, dc, ac, ..picture });
            }
            0xEE if !is_ycbcr(segment) => return None,
            _ => {}
        }
        at = end;
    }
}

/// Whether an APP14 segment lets three components be YCbCr: not where Adobe wrote another transform.
fn is_ycbcr(segment: &[u8]) -> bool {
    !segment.starts_with(b"Adobe") || segment.get(11) == Some(&1)
}

fn frame(segment: &[u8], picture: &mut Picture) -> Option<()> {
    let [8, _, _, _, _, count @ (1 | 3)] = *segment.first_chunk()? else { return None };
    picture.height = usize::from(u16_at(segment, 1)?);
    picture.width = usize::from(u16_at(segment, 3)?);
    for index in 0..usize::from(count) {
        let [id, sides, quantisation] = *segment.get(6 + 3 * index..)?.first_chunk()?;
        let mut blocks = (usize::from(sides >> 4), usize::from(sides & 15));
        if !(1..=4).contains(&blocks.0) || !(1..=4).contains(&blocks.1) {
            return None;
        }
        // A lone component is stored block by block, whatever it says (A.2.2).
        if count == 1 {
            blocks = (1, 1);
        }
        let quantisation = usize::from(quantisation);
        let quantisers = [0; 64];
        picture.components.push(Component { id, blocks, quantisation, quantisers, dc: 0, ac: 0 });
    }
    let ids: Vec<_> = picture.components.iter().map(|component| component.id).collect();
    (ids != *b"RGB").then_some(())
}

fn scan(segment: &[u8], components: &mut [Component]) -> Option<()> {
    let (&count, rest) = segment.split_first()?;
    if components.is_empty() || usize::from(count) != components.len() {
        return None;
    }
    for (index, component) in components.iter_mut().enumerate() {
        let [id, tables] = *rest.get(2 * index..)?.first_chunk()?;
        (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        (id == component.id).then_some(())?;
    }
    (rest.get(2 * components.len()..)? == [0, 63, 0]).then_some(())
}

fn quantisation_tables(mut segment: &[u8], tables: &mut [Option<[u16; 64]>; 4]) -> Option<()> {
    while let Some((&first, rest)) = segment.split_first() {
        let table = tables.get_mut(usize::from(first & 15))?;
        let (values, rest) = match first >> 4 {
            0 => {
                let (values, rest) = rest.split_first_chunk::<64>()?;
                (values.map(u16::from), rest)
            }
            1 => {
                let (values, rest) = rest.split_first_chunk::<128>()?;
                (
                    std::array::from_fn(|at| {
                        u16::from_be_bytes([values[2 * at], values[2 * at + 1]])
                    }),
                    rest,
                )
            }
            _ => return None,
        };
        *table = Some(values);
        segment = rest;
    }
    Some(())
}

/// How many codes there are of each length, and their symbols.
type Codes<'a> = (&'a [u8; 16], &'a [u8]);

/// Of dc and of ac coefficients. Tables are made of the last ones only: a file may have very many.
fn huffman_tables<'a>(
    mut segment: &'a [u8],
    codes: &mut [[Option<Codes<'a>>; 4]; 2],
) -> Option<()> {
    while let Some((&first, rest)) = segment.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let symbols = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(symbols)?;
        let codes = codes.get_mut(usize::from(first >> 4))?;
        *codes.get_mut(usize::from(first & 15))? = Some((counts, symbols));
        segment = rest;
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
