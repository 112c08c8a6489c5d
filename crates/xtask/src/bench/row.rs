//! One figure against its baseline.

use std::fmt;

use serde_json::{Value, json};

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Ours divided by the baseline: at least this.
    RatioAtLeast(f64),
    /// Ours divided by the baseline: at most this.
    RatioAtMost(f64),
    /// Ours itself: at least this, in the row's unit.
    AtLeast(f64),
    /// Ours itself: at most this, in the row's unit.
    AtMost(f64),
    /// Ours minus the baseline: at most this, in the row's unit.
    AddsAtMost(f64),
    /// None: the figure is for whoever sizes a machine.
    None,
}

/// A figure.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ours: f64,
    pub(crate) baseline: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
    /// The lowest and the highest ratio of the rounds, if there were several.
    spread: Option<(f64, f64)>,
}

impl Row {
    pub(crate) const HEADING: &str =
        "name                               ours     baseline  unit          ratio  target";

    /// Out of one round.
    pub(crate) fn single(name: &str, ours: f64, baseline: f64, unit: &'static str, target: Target) -> Self {
        Self { name: name.to_owned(), ours, baseline, unit, target, spread: None }
    }

    /// Out of several rounds of ours and the baseline: the round whose ratio is the median.
    pub(crate) fn median(
        name: &str,
        rounds: &[(f64, f64)],
        unit: &'static str,
        target: Target,
    ) -> Result<Self, String> {
        let mut rounds = rounds.to_vec();
        rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (ours, baseline) = rounds.get(rounds.len() / 2).copied().ok_or("no round was measured")?;
        let ratio = |(ours, baseline): &(f64, f64)| ours / baseline;
        let spread = rounds.first().map(ratio).zip(rounds.last().map(ratio));
        Ok(Self { spread, ..Self::single(name, ours, baseline, unit, target) })
    }

    /// The row with the lowest ratio, under another name.
    pub(crate) fn worst<'a>(name: &str, rows: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let worst = rows.min_by(|a, b| a.ratio().total_cmp(&b.ratio()))?;
        Some(Self { name: name.to_owned(), ..*worst })
    }

    fn ratio(&self) -> f64 {
        self.ours / self.baseline
    }

    /// Whether it reaches its target; yes if it has none.
    pub(crate) fn holds(&self) -> bool {
        match self.target {
            Target::RatioAtLeast(least) => self.ratio() >= least,
            Target::RatioAtMost(most) => self.ratio() <= most,
            Target::AtLeast(least) => self.ours >= least,
            Target::AtMost(most) => self.ours <= most,
            Target::AddsAtMost(most) => self.ours - self.baseline <= most,
            Target::None => true,
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::RatioAtLeast(least) => format!(">= {least}x"),
            Target::RatioAtMost(most) => format!("<= {most}x"),
            Target::AtLeast(least) => format!(">= {least} {}", self.unit),
            Target::AtMost(most) => format!("<= {most} {}", self.unit),
            Target::AddsAtMost(most) => format!("adds <= {most} {}", self.unit),
            Target::None => "-".to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "ours": self.ours,
            "baseline": self.baseline,
            "unit": self.unit,
            "ratio": self.ratio(),
            "ratio_least": self.spread.map(|(least, _)| least),
            "ratio_most": self.spread.map(|(_, most)| most),
            "target": self.target(),
            "holds": self.holds(),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ours, baseline, unit, .. } = self;
        let judged = if self.holds() { "" } else { "  NOT REACHED" };
        write!(
            f,
            "{name:<30} {ours:>10.1} {baseline:>10.1}  {unit:<9} {:>8.2}x  {}{judged}",
            self.ratio(),
            self.target()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, target: Target) -> Row {
        Row::single("row", ours, 10.0, "us", target)
    }

    #[test]
    fn a_row_holds_from_its_target_on() {
        let rows = [
            (200.0, Target::RatioAtLeast(20.0), true),
            (199.0, Target::RatioAtLeast(20.0), false),
            (15.0, Target::RatioAtMost(1.5), true),
            (15.1, Target::RatioAtMost(1.5), false),
            (1_000.0, Target::AtLeast(1_000.0), true),
            (999.0, Target::AtLeast(1_000.0), false),
            (128.0, Target::AtMost(128.0), true),
            (128.1, Target::AtMost(128.0), false),
            (1_010.0, Target::AddsAtMost(1_000.0), true),
            (1_011.0, Target::AddsAtMost(1_000.0), false),
            (0.0, Target::None, true),
        ];
        for (ours, target, holds) in rows {
            assert_eq!(row(ours, target).holds(), holds, "{ours} {}", row(ours, target).target());
        }
    }

    #[test]
    fn the_worst_row_stands_for_all() {
        let rows = [row(20.0, Target::RatioAtLeast(1.0)), row(9.0, Target::RatioAtLeast(1.0))];
        let worst = Row::worst("all", rows.iter()).unwrap();
        assert_eq!((worst.name.as_str(), worst.ours, worst.holds()), ("all", 9.0, false));
        assert!(Row::worst("none", [].iter()).is_none());
    }

    #[test]
    fn the_round_in_the_middle_counts() {
        let rounds = [(10.0, 1.0), (90.0, 3.0), (40.0, 2.0)];
        let row = Row::median("row", &rounds, "/s", Target::None).unwrap();
        assert_eq!((row.ours, row.baseline), (40.0, 2.0));
        assert!(Row::median("row", &[], "/s", Target::None).is_err());
    }
}
