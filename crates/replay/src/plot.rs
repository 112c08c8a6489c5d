//! The picture: yen stolen over the two months, with and without controls, and below it, on the same dates, the price for honest customers.

use std::path::{Path, PathBuf};

use cashgate_withdrawal::time::Timestamp;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::calendar::{DAYS, Day, HOUR_MS};
use crate::controls::{Control, Controls};
use crate::report::Report;
use crate::report::figures::{REFUSED_PER_10_000_MAX, STEPPED_UP_PER_10_000_MAX};
use crate::report::share::Share;
use crate::tally::GroupPrice;
use crate::trials::Trial;

/// Where Debian's `fonts-dejavu-core`, and others' packages of the same font, put it.
const FONTS: [&str; 4] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",
];

const SIZE: (u32, u32) = (1_200, 900);
const HOURS: i64 = DAYS as i64 * 24;
const WEEK_HOURS: i64 = 7 * 24;

const RED: RGBColor = RGBColor(192, 40, 40);
const BLUE: RGBColor = RGBColor(30, 90, 170);
const GREEN: RGBColor = RGBColor(30, 130, 90);
const GREY: RGBColor = RGBColor(120, 120, 120);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The letters need a font.
    #[error("no font: install Debian's fonts-dejavu-core, or name a TrueType file with --font")]
    NoFont,
    /// The file is no font, or cannot be read.
    #[error("{0} is no TrueType font that can be read")]
    NotAFont(PathBuf),
    /// The report lacks a trial that is to be shown.
    #[error("the picture needs the trial with the controls `{0}`")]
    NoTrial(Controls),
    /// The picture could not be drawn or written.
    #[error("cannot draw {file}: {problem}")]
    NotDrawn {
        /// The picture.
        file: PathBuf,
        /// What the library said.
        problem: String,
    },
}

/// Gives the letters their font: this file, or the first known one that exists. Once a process, before [`draw`].
pub fn load_font(file: Option<&Path>) -> Result<(), PlotError> {
    let known = || FONTS.iter().map(Path::new).find(|font| font.exists());
    let file = file.or_else(known).ok_or(PlotError::NoFont)?;
    let not_a_font = || PlotError::NotAFont(file.to_owned());
    // The library keeps fonts for the rest of the process.
    let bytes: &'static [u8] = std::fs::read(file).map_err(|_| not_a_font())?.leak();
    plotters::style::register_font("sans-serif", FontStyle::Normal, bytes).map_err(|_| not_a_font())
}

/// Draws a report as PNG or SVG, by the file's ending.
pub fn draw(report: &Report, file: &Path) -> Result<(), PlotError> {
    let is_svg = file.extension().is_some_and(|extension| extension == "svg");
    let picture = Picture::of(report)?;
    let problem = if is_svg {
        picture.onto(&SVGBackend::new(file, SIZE).into_drawing_area()).map_err(|error| error.to_string())
    } else {
        picture.onto(&BitMapBackend::new(file, SIZE).into_drawing_area()).map_err(|error| error.to_string())
    };
    problem.map_err(|problem| PlotError::NotDrawn { file: file.to_owned(), problem })
}

/// A line: its name and colour, and its points by hours since 1 June.
struct Curve {
    name: &'static str,
    colour: RGBColor,
    width: u32,
    points: Vec<(i64, i64)>,
}

struct Picture {
    /// In steps of 10,000 yen a world.
    stolen: Vec<Curve>,
    /// In tenths of one in 10,000.
    price: Vec<Curve>,
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

impl Picture {
    fn of(report: &Report) -> Result<Self, PlotError> {
        let trial = |controls| report.trial(controls).ok_or(PlotError::NoTrial(controls));
        let all = trial(Controls::ALL)?;
        let curve =
            |name, colour, width, controls| Ok(Curve { name, colour, width, points: stolen_by_hour(trial(controls)?) });
        let weekly = |name, colour, part: fn(&GroupPrice) -> u64| Curve {
            name,
            colour,
            width: 3,
            points: price_by_week(all, part),
        };
        Ok(Self {
            stolen: vec![
                curve("without controls (2020)", RED, 3, Controls::NONE)?,
                // The wider line below, so that both are seen where they are one.
                curve("all controls", GREEN, 5, Controls::ALL)?,
                curve("all controls, nobody reacts to alarms", BLUE, 2, Controls::ALL.without(Control::Analyst))?,
            ],
            price: vec![
                weekly("asked for the code at the machine", BLUE, |price| price.stepped_up),
                weekly("refused", RED, |price| price.refused),
            ],
        })
    }

    fn onto<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Drawn<B> {
        area.fill(&WHITE)?;
        let (above, below) = area.split_vertically(520);
        let top = self.stolen.iter().filter_map(|curve| curve.points.last()).map(|(_, man)| *man).max().unwrap_or(1);
        let title = "Yen stolen, June and July 2020 (mean of the worlds)";
        panel(&above, title, top + top / 20 + 1, &self.stolen, &[], |man| {
            format!("{}.{} M", man / 100, man % 100 / 10)
        })?;
        let limits =
            [(REFUSED_PER_10_000_MAX, "refused: at most 20"), (STEPPED_UP_PER_10_000_MAX, "code: at most 100")];
        let limits = limits.map(|(limit, name)| (i64::try_from(limit * 10).unwrap_or(0), name));
        let most = self.price.iter().flat_map(|curve| &curve.points).map(|(_, tenths)| *tenths).max().unwrap_or(0);
        let title = "Honest withdrawals disturbed, in 10,000, by week, with all controls";
        panel(&below, title, most.max(1_000) * 23 / 20, &self.price, &limits, |tenths| (tenths / 10).to_string())?;
        area.present()
    }
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    top: i64,
    curves: &[Curve],
    limits: &[(i64, &'static str)],
    label: impl Fn(i64) -> String,
) -> Drawn<B> {
    let weeks: Vec<i64> = (0..=HOURS / WEEK_HOURS).map(|week| week * WEEK_HOURS).collect();
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(32)
        .y_label_area_size(72)
        .build_cartesian_2d((0..HOURS).with_key_points(weeks), 0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .axis_style(GREY)
        .label_style(("sans-serif", 15))
        .y_labels(6)
        .x_label_formatter(&|hours| date(*hours))
        .y_label_formatter(&|value| label(*value))
        .draw()?;
    for (limit, name) in limits {
        let ends = [(0, *limit), (HOURS, *limit)];
        chart.draw_series(DashedLineSeries::new(ends, 6, 6, GREY.stroke_width(1)))?;
        let text =
            Text::new(*name, (HOURS - WEEK_HOURS, limit + top / 16), ("sans-serif", 14).into_font().color(&GREY));
        chart.draw_series([text])?;
    }
    for Curve { name, colour, width, points } in curves {
        let (colour, width) = (*colour, *width);
        // Each stretch by itself: at the corners of one thick line the library leaves slanted ends.
        let stretches = points.windows(2).map(|ends| PathElement::new(ends.to_vec(), colour.stroke_width(width)));
        chart
            .draw_series(stretches)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12)
        .legend_area_size(30)
        .background_style(WHITE.mix(0.85))
        .border_style(GREY.mix(0.4))
        .label_font(("sans-serif", 15))
        .draw()
}

/// The corners of a line that goes up with each theft.
fn stolen_by_hour(trial: &Trial) -> Vec<(i64, i64)> {
    let worlds = i64::try_from(trial.tallies.len().max(1)).unwrap_or(1);
    let mut thefts: Vec<(i64, i64)> =
        trial.tallies.iter().flat_map(|tally| &tally.thefts).map(|(at, yen)| theft(*at, *yen)).collect();
    thefts.sort_unstable();
    let mut sum = 0;
    let mut points = vec![(0, 0)];
    for (hour, man) in thefts {
        points.push((hour.min(HOURS), sum / worlds));
        sum += man;
        points.push((hour.min(HOURS), sum / worlds));
    }
    points.push((HOURS, sum / worlds));
    points
}

fn theft(at: Timestamp, yen: u64) -> (i64, i64) {
    let hours = at.unix_ms().saturating_sub(Day(0).begins().unix_ms()) / HOUR_MS;
    (i64::try_from(hours).unwrap_or(HOURS), i64::try_from(yen / 10_000).unwrap_or(0))
}

/// The corners of a line that is level for a week.
fn price_by_week(trial: &Trial, part: fn(&GroupPrice) -> u64) -> Vec<(i64, i64)> {
    let mut weeks: std::collections::BTreeMap<i32, GroupPrice> = std::collections::BTreeMap::new();
    for (day, price) in trial.tallies.iter().flat_map(|tally| &tally.honest.days) {
        weeks.entry(day / 7).or_default().add(price);
    }
    let level = |(week, price): (i32, GroupPrice)| {
        let share = Share { part: part(&price), whole: price.withdrawals };
        let tenths = i64::try_from(share.tenths_per_10_000()).unwrap_or(0);
        let begins = i64::from(week) * WEEK_HOURS;
        [(begins, tenths), ((begins + WEEK_HOURS).min(HOURS), tenths)]
    };
    weeks.into_iter().flat_map(level).collect()
}

fn date(hours: i64) -> String {
    let (month, day) = Day(i32::try_from(hours / 24).unwrap_or(0)).date();
    format!("{day} {}", if month == 6 { "June" } else { "July" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaction::Reaction;
    use crate::seeds::Use;
    use crate::tally::Tally;
    use crate::world::World;

    fn trial(controls: Controls, thefts: &[(i32, u64)]) -> Trial {
        let theft = |(day, yen): &(i32, u64)| (Day(*day).at(1, 30), *yen);
        let price = |withdrawals, refused| GroupPrice { withdrawals, refused, stepped_up: 0 };
        let mut tally = Tally { thefts: thefts.iter().map(theft).collect(), ..Tally::default() };
        tally.honest.days = [(0, price(400, 1)), (6, price(600, 0)), (60, price(1_000, 3))].into();
        Trial { controls, tallies: vec![tally, Tally::default()] }
    }

    #[test]
    fn lines_go_up_when_notes_go_out_and_are_means_of_the_worlds() {
        let trial = trial(Controls::NONE, &[(1, 400_000), (2, 200_000)]);
        assert_eq!(stolen_by_hour(&trial), [(0, 0), (25, 0), (25, 20), (49, 20), (49, 30), (HOURS, 30)]);
        let week = WEEK_HOURS;
        assert_eq!(
            price_by_week(&trial, |price| price.refused),
            [(0, 100), (week, 100), (8 * week, 300), (HOURS, 300)]
        );
        assert_eq!((date(0), date(30 * 24 + 1)), ("1 June".to_owned(), "1 July".to_owned()));
    }

    /// Needs the Debian package fonts-dejavu-core, as the program does.
    #[test]
    fn both_pictures_are_drawn_or_the_problem_is_named() {
        load_font(None).unwrap();
        let folder = std::env::temp_dir().join(format!("cashgate-replay-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let trials = [Controls::NONE, Controls::ALL, Controls::ALL.without(Control::Analyst)];
        let trials = trials.map(|controls| trial(controls, &[(1, 400_000)])).to_vec();
        let mut report = Report {
            bank: "by hand",
            purpose: Use::Tuning,
            worlds: vec![World::of(1)],
            reaction: Reaction::ASSUMED,
            trials,
        };
        for (file, begins) in [("one.png", &b"\x89PNG"[..]), ("one.svg", b"<svg")] {
            draw(&report, &folder.join(file)).unwrap();
            assert!(std::fs::read(folder.join(file)).unwrap().starts_with(begins), "{file}");
        }
        let nowhere = draw(&report, &folder.join("no/such/folder.svg")).unwrap_err().to_string();
        assert!(nowhere.contains("folder.svg"), "{nowhere}");
        report.trials.pop();
        let missing = draw(&report, &folder.join("two.svg")).unwrap_err().to_string();
        assert_eq!(missing, "the picture needs the trial with the controls `all but analyst`");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_no_font_is_named() {
        let wrong = load_font(Some(Path::new("Cargo.toml"))).unwrap_err().to_string();
        assert_eq!(wrong, "Cargo.toml is no TrueType font that can be read");
    }
}
