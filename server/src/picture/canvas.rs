//! Where the layout library draws: the text of an SVG file.
//!
//! The library's own writer takes the length of a text for its height and writes characters that XML forbids.

use layout::core::color::Color;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use std::fmt::Write;

const MARGIN: f64 = 20.0;

/// An SVG file in the making.
#[derive(Default)]
pub(super) struct Canvas {
    body: String,
    extent: Option<(Point, Point)>,
}

impl Canvas {
    /// The whole file.
    pub(super) fn finish(self) -> String {
        let (low, high) = self.extent.unwrap_or((Point::zero(), Point::zero()));
        let (x, y) = (low.x - MARGIN, low.y - MARGIN);
        let (width, height) = (high.x - x + MARGIN, high.y - y + MARGIN);
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="{2}" height="{3}" viewBox="{0} {1} {2} {3}">"#,
                "\n",
                r#"<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" "#,
                r#"orient="auto-start-reverse"><path d="M 0 1 L 10 5 L 0 9 z" fill="{4}"/></marker></defs>"#,
                "\n",
                r#"<g font-family="Helvetica, Arial, sans-serif" text-anchor="middle">"#,
                "\n{5}</g>\n</svg>\n"
            ),
            Short(x),
            Short(y),
            Short(width),
            Short(height),
            "#556677",
            self.body
        )
    }

    fn reach(&mut self, point: Point) {
        let (low, high) = self.extent.get_or_insert((point, point));
        *low = Point::new(low.x.min(point.x), low.y.min(point.y));
        *high = Point::new(high.x.max(point.x), high.y.max(point.y));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.body.write_fmt(line);
        self.body.push('\n');
    }
}

impl RenderBackend for Canvas {
    fn draw_rect(
        &mut self,
        xy: Point,
        size: Point,
        look: &StyleAttr,
        _properties: Option<String>,
        _clip: Option<ClipHandle>,
    ) {
        self.reach(xy);
        self.reach(xy.add(size));
        self.line(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" rx="{}" fill="{}" stroke="{}" stroke-width="{}"/>"#,
            Short(xy.x),
            Short(xy.y),
            Short(size.x),
            Short(size.y),
            look.rounded,
            look.fill_color.as_ref().map_or("none".into(), web),
            web(&look.line_color),
            look.line_width,
        ));
    }

    fn draw_line(
        &mut self,
        start: Point,
        stop: Point,
        look: &StyleAttr,
        _properties: Option<String>,
    ) {
        self.reach(start);
        self.reach(stop);
        self.line(format_args!(
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}"/>"#,
            Short(start.x),
            Short(start.y),
            Short(stop.x),
            Short(stop.y),
            web(&look.line_color),
        ));
    }

    fn draw_circle(
        &mut self,
        xy: Point,
        size: Point,
        look: &StyleAttr,
        _properties: Option<String>,
    ) {
        let half = size.scale(0.5);
        self.reach(xy.sub(half));
        self.reach(xy.add(half));
        self.line(format_args!(
            r#"<ellipse cx="{}" cy="{}" rx="{}" ry="{}" fill="{}" stroke="{}"/>"#,
            Short(xy.x),
            Short(xy.y),
            Short(half.x),
            Short(half.y),
            look.fill_color.as_ref().map_or("none".into(), web),
            web(&look.line_color),
        ));
    }

    fn draw_text(&mut self, xy: Point, text: &str, look: &StyleAttr) {
        #[expect(clippy::cast_precision_loss, reason = "texts are short")]
        let half = Point::new(
            text.chars().count() as f64 * look.font_size as f64 * 0.3,
            look.font_size as f64,
        );
        self.reach(xy.sub(half));
        self.reach(xy.add(half));
        self.line(format_args!(
            r##"<text x="{}" y="{}" dy="0.35em" font-size="{}" fill="#223344">{}</text>"##,
            Short(xy.x),
            Short(xy.y),
            look.font_size,
            Escaped(text),
        ));
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        dashed: bool,
        head: (bool, bool),
        look: &StyleAttr,
        _properties: Option<String>,
        _text: &str,
    ) {
        let [first, second, rest @ ..] = path else {
            return;
        };
        for (a, b) in path {
            self.reach(*a);
            self.reach(*b);
        }
        // The first pair is where it begins and how it leaves; each other pair is how it arrives, and where.
        let mut curve = format!(
            "M {} C {} {} {}",
            At(first.0),
            At(first.1),
            At(second.0),
            At(second.1)
        );
        for (control, point) in rest {
            // Writing to a String does not fail.
            let _ = write!(curve, " S {} {}", At(*control), At(*point));
        }
        let dashes = if dashed {
            r#" stroke-dasharray="5 4""#
        } else {
            ""
        };
        let start = if head.0 {
            r#" marker-start="url(#arrow)""#
        } else {
            ""
        };
        let end = if head.1 {
            r#" marker-end="url(#arrow)""#
        } else {
            ""
        };
        self.line(format_args!(
            r#"<path d="{curve}" fill="none" stroke="{}" stroke-width="{}"{dashes}{start}{end}/>"#,
            web(&look.line_color),
            look.line_width,
        ));
    }

    fn create_clip(&mut self, _xy: Point, _size: Point, _rounded_px: usize) -> ClipHandle {
        0
    }
}

/// `#rrggbb`: the library writes the alpha value as well, which not every program reads.
fn web(color: &Color) -> String {
    color.to_web_color().chars().take(7).collect()
}

/// A coordinate with one digit behind the point.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Zero without a sign, whichever side it was rounded from.
        write!(f, "{}", (self.0 * 10.0).round() / 10.0 + 0.0)
    }
}

struct At(Point);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", Short(self.0.x), Short(self.0.y))
    }
}

/// Text in which nothing is markup and every character is one that XML allows.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => f.write_str("\u{fffd}"),
            c if c.is_control() => f.write_str("\u{fffd}"),
            c => f.write_char(c),
        })
    }
}
