//! Which pixels belong to the digit.

use super::super::grid::Grid;

/// A component with less than this share of the largest one's pixels is a speck.
const SPECK: f64 = 0.03;
/// What touches the picture's edge (a table, a shadow, a ruled line) is left out if something with
/// at least this share of its pixels does not.
const INNER: f64 = 0.1;

/// The digit's pixels and their bounding box, ends exclusive.
pub(super) struct Strokes {
    /// 255 on the strokes, 0 elsewhere.
    pub mask: Grid,
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Strokes {
    /// Finds the 8-connected components of the pixels above `threshold` and drops specks and what
    /// comes in from the edges.
    pub fn find(ink: &Grid, threshold: u8) -> Option<Self> {
        let (runs, components) = components(ink, threshold);
        let largest = |inner_only: bool| {
            let inner = components.iter().filter(|c| !(inner_only && c.touches_edge(ink)));
            inner.map(|c| c.pixels).max().unwrap_or(0) as f64
        };
        let (all, inner) = (largest(false), largest(true));
        let inner_only = inner >= INNER * all;
        let least = SPECK * if inner_only { inner } else { all };
        let is_kept =
            |c: &Component| c.pixels as f64 >= least && !(inner_only && c.touches_edge(ink));
        let mut mask = Grid { values: vec![0; ink.values.len()], ..*ink };
        for run in runs.iter().filter(|run| is_kept(&components[run.component])) {
            mask.values[run.y * ink.width..][run.start..run.end].fill(255);
        }
        let kept = || components.iter().filter(|c| is_kept(c));
        Some(Self {
            mask,
            left: kept().map(|c| c.left).min()?,
            top: kept().map(|c| c.top).min()?,
            right: kept().map(|c| c.right).max()?,
            bottom: kept().map(|c| c.bottom).max()?,
        })
    }

    /// The longer side of the bounding box, pixels.
    pub fn longer_side(&self) -> usize {
        (self.right - self.left).max(self.bottom - self.top)
    }

    /// Mean width of the strokes, pixels: twice the area over the outline's length.
    pub fn width(&self) -> f32 {
        let area = |mask: &Grid| mask.values.iter().filter(|&&value| value > 0).count();
        let (all, inside) = (area(&self.mask), area(&self.mask.erode(1)));
        2.0 * all as f32 / (all - inside).max(1) as f32
    }
}

/// Pixels side by side in a row, from `start` to before `end`.
struct Run {
    y: usize,
    start: usize,
    end: usize,
    component: usize,
}

/// How many pixels there are, and their bounding box, ends exclusive.
struct Component {
    pixels: usize,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Component {
    fn new(run: &Run) -> Self {
        let Run { y, start, end, .. } = *run;
        Self { pixels: end - start, left: start, top: y, right: end, bottom: y + 1 }
    }

    /// Takes in a run of a row that is as low as any before.
    fn add(&mut self, run: &Run) {
        self.pixels += run.end - run.start;
        self.left = self.left.min(run.start);
        self.right = self.right.max(run.end);
        self.bottom = run.y + 1;
    }

    fn touches_edge(&self, picture: &Grid) -> bool {
        let begins = self.left == 0 || self.top == 0;
        begins || self.right == picture.width || self.bottom == picture.height
    }
}

/// The pixels above `threshold`, row by row, and the components that they belong to.
fn components(ink: &Grid, threshold: u8) -> (Vec<Run>, Vec<Component>) {
    let (mut runs, mut trees) = (Vec::<Run>::new(), Trees::default());
    let mut above = 0..0;
    for (y, row) in ink.rows().enumerate() {
        let first = runs.len();
        for (start, end) in stretches(row, threshold) {
            let new = trees.plant();
            // Corners touch as well.
            while above.start < first && runs[above.start].end < start {
                above.start += 1;
            }
            for touching in above.clone().take_while(|&run| runs[run].start <= end) {
                trees.join(touching, new);
            }
            runs.push(Run { y, start, end, component: 0 });
        }
        above = first..runs.len();
    }
    let mut components: Vec<Component> = Vec::new();
    for index in 0..runs.len() {
        let root = trees.root(index);
        if root == index {
            runs[index].component = components.len();
            components.push(Component::new(&runs[index]));
        } else {
            runs[index].component = runs[root].component;
            components[runs[root].component].add(&runs[index]);
        }
    }
    (runs, components)
}

/// Start and end of what is above `threshold` in a row.
fn stretches(row: &[u8], threshold: u8) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + row[at..].iter().position(|&value| value > threshold)?;
        let length = row[start..].iter().position(|&value| value <= threshold);
        at = length.map_or(row.len(), |length| start + length);
        Some((start, at))
    })
}

/// Disjoint sets of numbers from 0 on; a set's root is its least.
#[derive(Default)]
struct Trees {
    /// Of each number one in the same set that is less, or itself.
    parents: Vec<usize>,
}

impl Trees {
    /// A set of a new number.
    fn plant(&mut self) -> usize {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the letters in rows; ink where there is one.
    fn picture(rows: &[&str]) -> Grid {
        let letters = rows.concat();
        let values = letters.bytes().map(|letter| if letter == b'.' { 9 } else { 200 });
        Grid { width: rows[0].len(), height: rows.len(), values: values.collect() }
    }

    #[test]
    fn components_are_told_apart_however_they_wind() {
        let rows = [
            "a.a....b...",
            "a.a...b..c.",
            "a.aaa..b.c.",
            "a...a...b..",
            ".aaa...dd..",
            "e.........f",
            ".e.e.e.e.f.",
            "..e.e.e.f..",
        ];
        // What meets at corners is one: "c" is of "b", "d" of it as well; "e" and "f" meet at last.
        let joined = |letter: u8| match letter {
            b'c' | b'd' => b'b',
            b'f' | b'e' => b'a',
            letter => letter,
        };
        let (runs, components) = components(&picture(&rows), 100);
        assert_eq!(components.len(), 2);
        let mut pixels = [0, 0];
        for run in &runs {
            for letter in rows[run.y][run.start..run.end].bytes() {
                let expected = usize::from(joined(letter) == b'b');
                assert_eq!(run.component, expected, "row {}, {}", run.y, run.start);
                pixels[expected] += 1;
            }
        }
        assert_eq!(pixels, [components[0].pixels, components[1].pixels]);
        let Component { left, top, right, bottom, .. } = components[1];
        assert_eq!((left, top, right, bottom), (6, 0, 10, 5));
        let touches = |component: &Component| component.touches_edge(&picture(&rows));
        assert!(components.iter().all(touches));
    }

    #[test]
    fn the_width_is_that_of_the_strokes() {
        let bar = ["..........", ".aaaaaaaa.", ".aaaaaaaa.", ".aaaaaaaa.", ".........."];
        let strokes = Strokes::find(&picture(&bar), 100).expect("a bar");
        assert_eq!((strokes.left, strokes.top, strokes.right, strokes.bottom), (1, 1, 9, 4));
        // 24 pixels, 18 of them on the outline.
        assert_eq!(strokes.width(), 48.0 / 18.0);
        assert!(Strokes::find(&picture(&bar), 200).is_none());
    }
}
