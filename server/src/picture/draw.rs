//! From a picture to the text of an SVG file.

use super::canvas::Canvas;
use super::plan::{Care, Plan, SHAPES, plan};
use kg_core::limits::PICTURE_ENTITIES;
use kg_core::model::Health;
use kg_core::query::{Picture, PictureNode};
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of a picture, so that it fits into one reply.
const SVG_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// Why a picture is not drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDrawn {
    /// More entities than one can look at.
    #[error(
        "the picture would hold {0} entities, at most {PICTURE_ENTITIES} are drawn: choose a root and a depth"
    )]
    Entities(usize),
    /// Its lines cross too many columns.
    #[error(
        "the picture would need {0} boxes and bends to be laid out, at most {SHAPES} are: choose a root and a depth, or take \
         DOT or Mermaid and lay it out elsewhere"
    )]
    Shapes(usize),
    /// Its text would not fit into one reply.
    #[error(
        "the picture would have {0} bytes, at most {SVG_BYTES} fit into a reply: choose a root and a depth, or take DOT or \
         Mermaid"
    )]
    Bytes(usize),
    /// The layout library failed on it, at every level of care. A bug of that library.
    #[error("the layout of this picture failed: take DOT or Mermaid and lay it out elsewhere")]
    Layout,
}

/// The picture as SVG. Runs for up to about a second: call it where blocking is allowed.
///
/// # Errors
/// A picture that is too large, with its size; one that the library cannot lay out.
pub fn svg(picture: &Picture) -> Result<String, NotDrawn> {
    if picture.nodes.len() > PICTURE_ENTITIES {
        return Err(NotDrawn::Entities(picture.nodes.len()));
    }
    let plan = plan(picture);
    if plan.shapes > SHAPES {
        return Err(NotDrawn::Shapes(plan.shapes));
    }
    let mut care = Some(plan.care);
    while let Some(wanted) = care {
        // The library asserts what it believes about its own geometry. A picture on which it errs is drawn with less care.
        match catch_unwind(AssertUnwindSafe(|| laid_out(picture, &plan, wanted))) {
            Ok(text) if text.len() > SVG_BYTES => return Err(NotDrawn::Bytes(text.len())),
            Ok(text) => return Ok(text),
            Err(_) => care = wanted.less(),
        }
    }
    Err(NotDrawn::Layout)
}

fn laid_out(picture: &Picture, plan: &Plan, care: Care) -> String {
    let mut canvas = Canvas::default();
    if picture.nodes.is_empty() {
        return canvas.finish();
    }
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    // It would look for a way back from the end of each line to its beginning, in exponential time. There is none.
    graph.dag.set_validate(false);
    let handles: Vec<_> = picture
        .nodes
        .iter()
        .map(|node| graph.add_node(element(node)))
        .collect();
    for line in &plan.lines {
        let end = |arrow| {
            if arrow {
                LineEndKind::Arrow
            } else {
                LineEndKind::None
            }
        };
        let style = if line.text.is_empty() {
            LineStyleKind::Normal
        } else {
            LineStyleKind::Dashed
        };
        let look = StyleAttr::new(Color::new(0x5566_77ff), 1, None, 0, 12);
        let arrow = Arrow::new(
            end(line.to_left),
            end(line.to_right),
            style,
            &line.text,
            &look,
            &None,
            &None,
        );
        graph.add_edge(arrow, handles[line.left], handles[line.right]);
    }
    graph.do_it(false, care != Care::Full, care == Care::Plain, &mut canvas);
    canvas.finish()
}

fn element(node: &PictureNode) -> Element {
    let text = if let Some(step) = &node.step {
        step.label(node.key.name.as_str())
    } else if node.key.is_service() {
        node.key.name.to_string()
    } else {
        node.key.to_string()
    };
    let fill = match (node.placeholder, node.health) {
        (true, _) => 0xeeee_eeff,
        (false, Health::Up) => 0xe3f4_e1ff,
        (false, Health::Degraded) => 0xfdf3_d0ff,
        (false, Health::Down) => 0xfbe0_deff,
        (false, Health::Unknown) if node.key.is_service() => 0xe4ee_faff,
        (false, Health::Unknown) => 0xffff_ffff,
    };
    let line = if node.placeholder {
        0xaaaa_aaff
    } else {
        0x3344_55ff
    };
    // Of an opaque color the last byte is full.
    let colors = node.step.as_ref().and_then(|step| step.colors());
    let (fill, line) = colors.map_or((fill, line), |(fill, line)| {
        (fill << 8 | 0xff, line << 8 | 0xff)
    });
    let look = StyleAttr::new(Color::new(line), 1, Some(Color::new(fill)), 4, 14);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a name has at most 321 characters"
    )]
    let width = 24.0 + 8.5 * text.chars().count() as f64;
    Element::create(
        ShapeKind::new_box(&text),
        look,
        Orientation::LeftToRight,
        Point::new(width, 30.0),
    )
}
