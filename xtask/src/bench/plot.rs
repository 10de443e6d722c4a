//! Plots of an answer, as SVG: its ratios on a logarithmic axis with what is asked, and the lines that the program told points of.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::answer::{Answer, Plot, Row};

const WIDTH: u32 = 900;
const ROW: u32 = 26;
const OURS: RGBColor = RGBColor(0, 90, 160);
const ASKED: RGBColor = RGBColor(200, 40, 30);
const GREY: RGBColor = RGBColor(120, 120, 120);

/// Colours that differ for most eyes (Okabe and Ito).
const LINES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// Every plot of an answer, by file name.
pub fn all(answer: &Answer) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    if let Some(drawing) = ratios(answer) {
        plots.push((format!("{}.svg", answer.question), drawing));
    }
    for (number, plot) in (1..).zip(&answer.plots) {
        if let Some(drawing) = lines(plot) {
            plots.push((format!("{}-{number}.svg", answer.question), drawing));
        }
    }
    plots
}

/// A dot for each median ratio, a line from the least to the greatest, a mark for what is asked.
fn ratios(answer: &Answer) -> Option<String> {
    let rows: Vec<&Row> = answer
        .rows
        .iter()
        .filter(|r| r.rival_value.is_some())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let height = 90 + ROW * rows.len() as u32;
    drawn((WIDTH, height), |root| {
        let values = rows
            .iter()
            .flat_map(|r| [r.judged.min, r.judged.max].into_iter().chain(r.bound))
            .filter(|v| *v > 0.0);
        let (least, most) = values.fold((0.5_f64, 2.0_f64), |(least, most), v| {
            (least.min(v), most.max(v))
        });
        let title = format!("{}: ours / rival, logarithmic", answer.question);
        let mut chart = ChartBuilder::on(root)
            .caption(title, ("sans-serif", 16))
            .margin(10)
            .set_label_area_size(LabelAreaPosition::Left, 470)
            .set_label_area_size(LabelAreaPosition::Bottom, 30)
            .build_cartesian_2d(
                (least / 1.2..most * 1.2).log_scale(),
                0.0..rows.len() as f64,
            )?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(WHITE)
            .x_label_formatter(&|x| format!("{x}"))
            .draw()?;
        let across = |y0, y1, x| vec![(x, y0), (x, y1)];
        chart.draw_series([PathElement::new(across(0.0, rows.len() as f64, 1.0), GREY)])?;
        for (at, row) in rows.iter().enumerate() {
            let y = (rows.len() - at) as f64 - 0.5;
            let label = format!("{}, beside {}", row.case, row.rival);
            let (_, pixel) = chart.backend_coord(&(1.0, y));
            let style = ("sans-serif", 12).into_text_style(root);
            root.draw(&Text::new(label, (12, pixel - 6), style))?;
            let judged = row.judged;
            chart.draw_series([PathElement::new(
                vec![(judged.min, y), (judged.max, y)],
                OURS.stroke_width(2),
            )])?;
            chart.draw_series([Circle::new((judged.median, y), 4, OURS.filled())])?;
            if let Some(bound) = row.bound {
                let mark = across(y - 0.4, y + 0.4, bound);
                chart.draw_series([PathElement::new(mark, ASKED.stroke_width(2))])?;
            }
        }
        let style = ("sans-serif", 12).into_text_style(root);
        let legend = "dot: median, line: least to greatest, red: what is asked";
        root.draw(&Text::new(
            legend,
            (12, height as i32 - 20),
            style.color(&GREY),
        ))?;
        Ok(())
    })
}

/// Lines over two logarithmic axes.
fn lines(plot: &Plot) -> Option<String> {
    let points = || {
        plot.series
            .values()
            .flatten()
            .filter(|(x, y)| *x > 0.0 && *y > 0.0)
    };
    let range = |of: fn(&(f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::INFINITY, f64::min);
        let most = points().map(of).fold(0.0, f64::max);
        (least / 1.3..most * 1.3).log_scale()
    };
    points().next()?;
    drawn((WIDTH, 480), |root| {
        let mut chart = ChartBuilder::on(root)
            .caption(&plot.title, ("sans-serif", 16))
            .margin(12)
            .set_label_area_size(LabelAreaPosition::Left, 80)
            .set_label_area_size(LabelAreaPosition::Bottom, 45)
            .build_cartesian_2d(range(|p| p.0), range(|p| p.1))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(format!("{}, logarithmic", plot.axes.0))
            .y_desc(format!("{}, logarithmic", plot.axes.1))
            .label_style(("sans-serif", 12))
            .draw()?;
        for ((name, series), colour) in plot.series.iter().zip(LINES.iter().cycle()) {
            let line = LineSeries::new(series.iter().copied(), colour.stroke_width(2));
            let colour = *colour;
            chart.draw_series(line)?.label(name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2))
            });
            chart.draw_series(series.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(GREY)
            .label_font(("sans-serif", 12))
            .draw()?;
        Ok(())
    })
}

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn drawn<'a>(
    size: (u32, u32),
    draw: impl FnOnce(&Root<'_>) -> Result<(), Box<dyn std::error::Error + 'a>>,
) -> Option<String> {
    let mut drawing = String::new();
    let done = {
        let root = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
        root.fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| draw(&root))
            .and_then(|()| root.present().map_err(Into::into))
    };
    match done {
        Ok(()) => Some(drawing),
        Err(error) => {
            println!("a plot could not be drawn: {error}");
            None
        }
    }
}
