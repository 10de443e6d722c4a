//! What the layout is asked for: lines without cycles, in the right order, and how much care it can afford.

use kg_core::query::Picture;
use std::collections::{BTreeMap, BTreeSet};

/// Shapes (boxes, and the bends of lines that cross a column) up to which crossings are searched for.
const CAREFUL_SHAPES: usize = 400;

/// Pairs in a column times the length of the next, up to which crossings are searched for: about half a second.
const CAREFUL_PAIRS: usize = 300_000;

/// Shapes up to which columns are aligned with each other: about half a second, growing with the third power.
const ALIGNED_SHAPES: usize = 1_000;

/// Shapes up to which anything is drawn: about a second, growing with the second power.
pub(super) const SHAPES: usize = 20_000;

/// How much the layout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Fewer crossings, columns aligned.
    Full,
    /// Columns aligned.
    Aligned,
    /// Columns filled from the top.
    Plain,
}

impl Care {
    /// The next one that asks for less.
    pub(super) fn less(self) -> Option<Self> {
        match self {
            Self::Full => Some(Self::Aligned),
            Self::Aligned => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// One line of the picture: all relations between two entities, in either direction. The layout puts parallel lines with
/// texts on top of each other, and then fails on its own assertion.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Node on the left.
    pub(super) left: usize,
    /// Node on the right; the same for a loop.
    pub(super) right: usize,
    /// What it says; nothing where it is a plain dependency.
    pub(super) text: String,
    /// Whether it points at the left node.
    pub(super) to_left: bool,
    /// Whether it points at the right node.
    pub(super) to_right: bool,
}

/// A picture, ready to be laid out.
#[derive(Debug)]
pub(super) struct Plan {
    /// By the place of their left end, so that no line begins at a node that a line behind it leads to.
    pub(super) lines: Vec<Line>,
    /// What there is to place.
    pub(super) shapes: usize,
    /// What that allows.
    pub(super) care: Care,
}

pub(super) fn plan(picture: &Picture) -> Plan {
    let place = places(picture);
    let mut pairs: BTreeMap<(usize, usize), Labels<'_>> = BTreeMap::new();
    for edge in &picture.edges {
        let (from, to) = (place[edge.from], place[edge.to]);
        let labels = pairs.entry((from.min(to), from.max(to))).or_default();
        let label = match picture.is_plain(edge) {
            true => PLAIN,
            false => edge.label.as_str(),
        };
        if to < from {
            labels.to_left.insert(label);
        } else {
            labels.to_right.insert(label);
        }
    }
    let mut node = vec![0; place.len()];
    for (index, place) in place.iter().enumerate() {
        node[*place] = index;
    }
    let lines: Vec<Line> = pairs
        .into_iter()
        .map(|((left, right), labels)| Line {
            left: node[left],
            right: node[right],
            text: labels.text(),
            to_left: !labels.to_left.is_empty(),
            to_right: !labels.to_right.is_empty(),
        })
        .collect();
    let columns = columns(picture.nodes.len(), &lines);
    let shapes = columns.iter().sum();
    let pairs: usize = columns
        .windows(2)
        .map(|pair| pair[0].saturating_mul(pair[0]).saturating_mul(pair[1]))
        .fold(0, usize::saturating_add);
    let care = if shapes <= CAREFUL_SHAPES && pairs <= CAREFUL_PAIRS {
        Care::Full
    } else if shapes <= ALIGNED_SHAPES {
        Care::Aligned
    } else {
        Care::Plain
    };
    Plan {
        lines,
        shapes,
        care,
    }
}

/// The label of what needs no words.
const PLAIN: &str = "depends_on";

/// What the relations between two nodes say, by direction.
#[derive(Default)]
struct Labels<'a> {
    to_left: BTreeSet<&'a str>,
    to_right: BTreeSet<&'a str>,
}

impl Labels<'_> {
    fn text(&self) -> String {
        let dependency = |labels: &BTreeSet<&str>| labels.iter().all(|l| *l == PLAIN);
        if dependency(&self.to_left) && dependency(&self.to_right) {
            return String::new();
        }
        let join = |labels: &BTreeSet<&str>| labels.iter().copied().collect::<Vec<_>>().join(", ");
        match (self.to_left.is_empty(), self.to_right.is_empty()) {
            (true, _) => join(&self.to_right),
            (_, true) => join(&self.to_left),
            (false, false) if self.to_left == self.to_right => join(&self.to_right),
            (false, false) => format!(
                "\u{2190} {} | {} \u{2192}",
                join(&self.to_left),
                join(&self.to_right)
            ),
        }
    }
}

/// Each node's place in an order in which only the edges that close a cycle lead back: the reverse of the order in which a
/// walk through all nodes leaves them.
fn places(picture: &Picture) -> Vec<usize> {
    let count = picture.nodes.len();
    let mut successors = vec![Vec::new(); count];
    for edge in &picture.edges {
        successors[edge.from].push(edge.to);
    }
    let mut place = vec![0; count];
    let mut left = count;
    let mut seen = vec![false; count];
    let mut walk = Vec::new();
    for start in 0..count {
        if !std::mem::replace(&mut seen[start], true) {
            walk.push((start, 0));
        }
        while let Some((node, next)) = walk.last_mut() {
            if let Some(&to) = successors[*node].get(*next) {
                *next += 1;
                if !std::mem::replace(&mut seen[to], true) {
                    walk.push((to, 0));
                }
            } else {
                left -= 1;
                place[*node] = left;
                walk.pop();
            }
        }
    }
    place
}

/// How many shapes each column gets: the boxes, a bend wherever a line crosses a column, and a shape for each text.
fn columns(nodes: usize, lines: &[Line]) -> Vec<usize> {
    let mut column = vec![0_usize; nodes];
    // The lines are in the order of their left ends, so that a column is known before a line begins there.
    for line in lines.iter().filter(|line| line.left != line.right) {
        let width = if line.text.is_empty() { 1 } else { 2 };
        column[line.right] = column[line.right].max(column[line.left] + width);
    }
    let mut counts = vec![0_usize; column.iter().max().map_or(0, |last| last + 1)];
    for at in &column {
        counts[*at] += 1;
    }
    for line in lines {
        if line.left == line.right {
            counts[column[line.left]] += 1;
        }
        for count in counts
            .iter_mut()
            .take(column[line.right])
            .skip(column[line.left] + 1)
        {
            *count += 1;
        }
    }
    counts
}
