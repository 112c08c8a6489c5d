//! Lines over the time of a run, as SVG.

#![allow(clippy::float_arithmetic, reason = "places in a picture; no money")]

use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::ReportError;

/// Where Debian's `fonts-dejavu-core`, and others' packages of the same font, put it.
const FONTS: [&str; 4] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",
];

const SIZE: (u32, u32) = (1_000, 320);
const GREY: RGBColor = RGBColor(120, 120, 120);
const FAULT: RGBColor = RGBColor(255, 205, 150);
/// Told apart by people who do not see colours as most do (Okabe and Ito), the darkest first.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 90, 160),
    RGBColor(213, 94, 0),
    RGBColor(0, 140, 100),
    RGBColor(180, 90, 150),
    RGBColor(60, 60, 60),
    RGBColor(190, 140, 0),
    RGBColor(70, 160, 220),
];

/// Gives the letters their font: this file, or the first known one that exists. Once a process, before any plot.
///
/// # Errors
/// There is no font, or the file is none.
pub fn load_font(file: Option<&Path>) -> Result<(), ReportError> {
    let known = || FONTS.iter().map(Path::new).find(|font| font.exists());
    let file = file.or_else(known).ok_or(ReportError::NoFont)?;
    let not_a_font = || ReportError::NotAFont(file.to_owned());
    // The library keeps fonts for the rest of the process.
    let bytes: &'static [u8] = std::fs::read(file).map_err(|_| not_a_font())?.leak();
    plotters::style::register_font("sans-serif", FontStyle::Normal, bytes).map_err(|_| not_a_font())
}

/// A picture, and what its lines are.
pub(super) struct Drawn {
    /// An SVG element.
    pub(super) svg: String,
    /// The name and colour (as CSS writes it) of each line.
    pub(super) legend: Vec<(String, String)>,
}

/// A line: its name, and its points by second.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// How heights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Ten times as much is the same step up; for latencies, which lie far apart.
    Logarithmic,
}

/// A plot.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// The unit of the heights, which stands in the title.
    pub(super) unit: &'a str,
    pub(super) scale: Scale,
    /// How long the run was, in seconds.
    pub(super) seconds: f64,
    /// Points that lie further apart are not joined, in seconds: where nothing was measured there is no line.
    pub(super) gap: f64,
    pub(super) curves: Vec<Curve>,
    /// From when to when something was wrong, in seconds.
    pub(super) faults: &'a [(f64, f64)],
}

type Done<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

impl Chart<'_> {
    /// Draws it.
    pub(super) fn drawn(&self) -> Result<Drawn, ReportError> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let heights = self.curves.iter().flat_map(|curve| curve.points.iter().map(|(_, y)| *y));
        let (low, high) = heights.fold((f64::MAX, 0.0), |(low, high), y| (y.min(low), y.max(high)));
        let drawn = match self.scale {
            Scale::Linear => self.onto(&area, 0.0..high.mul_add(1.1, f64::from(u8::from(high <= 0.0))), 0.0),
            Scale::Logarithmic => {
                let low = 10_f64.powf(low.clamp(0.01, 1e6).log10().floor());
                let high = 10_f64.powf(high.max(low * 10.0).log10().ceil());
                self.onto(&area, (low..high).log_scale(), low)
            }
        };
        drawn.map_err(|error| ReportError::NotDrawn { title: self.title.to_owned(), problem: error.to_string() })?;
        drop(area);
        let css = |RGBColor(red, green, blue): &RGBColor| format!("rgb({red}, {green}, {blue})");
        let legend = self.curves.iter().zip(COLOURS.iter().cycle());
        Ok(Drawn { svg: text, legend: legend.map(|(curve, colour)| (curve.name.clone(), css(colour))).collect() })
    }

    fn onto<'b, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'b>, plotters::coord::Shift>,
        heights: Y,
        floor: f64,
    ) -> Done<SVGBackend<'b>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{} ({})", self.title, self.unit), ("sans-serif", 18))
            .margin(8)
            .margin_right(24)
            .x_label_area_size(28)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..self.seconds.max(1.0), heights)?;
        let ceiling = chart.plotting_area().get_y_range().end;
        // A fault of a moment is drawn as wide as a slice of time.
        let band = |(from, until): &(f64, f64)| {
            let until = until.max(from + self.seconds / 200.0);
            Rectangle::new([(*from, floor), (until, ceiling)], FAULT.mix(0.5).filled())
        };
        chart.draw_series(self.faults.iter().map(band))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY.mix(0.25))
            .axis_style(GREY)
            .label_style(("sans-serif", 13))
            .x_labels(11)
            .y_labels(6)
            .x_label_formatter(&|second| format!("{second:.0} s"))
            .y_label_formatter(&|value| label(*value))
            .draw()?;
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            for stretch in curve.points.chunk_by(|(before, _), (after, _)| after - before <= self.gap) {
                let points = || stretch.iter().map(|(x, y)| (*x, y.max(floor)));
                chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
                // A point that stands alone would be no line.
                let alone = points().filter(|_| stretch.len() == 1);
                chart.draw_series(alone.map(|point| Circle::new(point, 3, colour.filled())))?;
            }
        }
        area.present()
    }
}

fn label(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
