//! The report for a terminal.

use std::fmt::Write;

use super::Report;
use super::figures::{self, Figures, Stolen};
use super::share::{Share, Tenths, grouped};
use crate::calendar;
use crate::controls::{Control, Controls};
use crate::seeds::Use;
use crate::trials::Trial;

impl Report {
    /// Tables of at most 130 columns.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        self.write_head(out)?;
        writeln!(
            out,
            "\n{:<24} {:>10} {:>8} {:>8}  {:>9}  {:>5} {:>7} {:>6}   {:>7} {:>10} {:>9}",
            "",
            "yen stolen",
            "not paid",
            "in worst",
            "cases",
            "first",
            "alarm",
            "false",
            "honest,",
            "in 10,000:",
            "code not"
        )?;
        writeln!(
            out,
            "{:<24} {:>10} {:>8} {:>8}  {:>9}  {:>5} {:>7} {:>6}   {:>7} {:>10} {:>9}",
            "controls", "a world", "", "world", "stopped", "case", "hours", "alarms", "refused", "stepped up", "typed"
        )?;
        self.trials.iter().try_for_each(|trial| write_row(out, trial))?;
        writeln!(
            out,
            "First alarm: cases that had begun when the first true alarm rang, in the latest world, and the median hours since the first case;"
        )?;
        writeln!(
            out,
            "a dash where in some world none rang. True: with a thief, and not rung without thieves. False alarms: a world, in two months."
        )?;
        let Some(all) = self.trial(Controls::ALL) else { return Ok(()) };
        write_thieves(out, all)?;
        write_reasons(out, all)?;
        write_groups(out, all)?;
        self.write_analyst(out, all)?;
        write_targets(out, all)
    }

    fn write_head(&self, out: &mut String) -> std::fmt::Result {
        let seeds: Vec<u64> = self.worlds.iter().map(|world| world.seed).collect();
        let Some(world) = self.worlds.first() else { return writeln!(out, "no world was lived through") };
        let (first, last) = (seeds.first().unwrap_or(&0), seeds.last().unwrap_or(&0));
        let purpose = match self.purpose {
            Use::Reporting => "nothing was tuned on them",
            Use::Tuning => "FOR TUNING: not to be quoted",
        };
        writeln!(out, "June and July 2020, seeds {first} to {last} ({purpose})")?;
        writeln!(
            out,
            "{} customers of two institutions, {} machines, {} days before June to learn what is usual",
            grouped(u64::from(world.customers)),
            grouped(u64::from(world.machines)),
            world.warm_up_days
        )?;
        writeln!(out, "The bank: {}", self.bank)?;
        let Some(trial) = self.trials.first() else { return Ok(()) };
        let figures = Figures::of(trial);
        let a_world = |sum: u64| grouped(sum.checked_div(figures.worlds).unwrap_or(0));
        writeln!(
            out,
            "A world has {} honest withdrawals and {} cases in which thieves are after {} yen",
            a_world(figures.refused.whole),
            a_world(figures.stolen.cases),
            a_world(figures.stolen.wanted_yen)
        )
    }

    fn write_analyst(&self, out: &mut String, all: &Trial) -> std::fmt::Result {
        let Some(without) = self.trial(Controls::ALL.without(Control::Analyst)) else { return Ok(()) };
        let reaction = &self.reaction;
        writeln!(
            out,
            "\nThe analyst: {} working hours after an alarm, and for {} hours, an account draws at most {} yen a day with phones younger than {} hours.",
            reaction.working_hours,
            reaction.lasts.as_secs() / 3_600,
            grouped(reaction.day_max_yen),
            reaction.device_age_below.as_secs() / 3_600
        )?;
        for (name, trial) in [("with", all), ("without", without)] {
            let figures = Figures::of(trial);
            writeln!(
                out,
                "  {name:<8} {}% of the yen not paid, {} in 10,000 honest withdrawals refused",
                Tenths(figures.stolen.not_paid().tenths_percent()),
                Tenths(figures.refused.tenths_per_10_000())
            )?;
        }
        Ok(())
    }
}

fn write_row(out: &mut String, trial: &Trial) -> std::fmt::Result {
    let figures = Figures::of(trial);
    let per_10_000 = |share: Share| Tenths(share.tenths_per_10_000()).to_string();
    let percent = |stolen: &Stolen| format!("{}%", Tenths(stolen.not_paid().tenths_percent()));
    let dash = || "-".to_owned();
    let alarm = figures.latest_alarm.as_ref();
    writeln!(
        out,
        "{:<24} {:>10} {:>8} {:>8}  {:>9}  {:>5} {:>7} {:>6}   {:>7} {:>10} {:>9}",
        trial.controls.to_string(),
        grouped(figures.stolen.stolen_yen.checked_div(figures.worlds).unwrap_or(0)),
        percent(&figures.stolen),
        percent(&figures.worst),
        format!("{}/{}", figures.stolen.stopped, figures.stolen.cases),
        alarm.map_or_else(dash, |alarm| alarm.cases.to_string()),
        figures.median_alarm_hours.filter(|_| alarm.is_some()).map_or_else(dash, |hours| hours.to_string()),
        Tenths((figures.false_alarms * 10).checked_div(figures.worlds).unwrap_or(0)).to_string(),
        per_10_000(figures.refused),
        per_10_000(figures.stepped_up),
        per_10_000(figures.not_typed),
    )
}

fn write_thieves(out: &mut String, all: &Trial) -> std::fmt::Result {
    writeln!(out, "\nWhat still gets through with all controls, over all worlds:")?;
    writeln!(
        out,
        "  {:<14} {:>6} {:>8} {:>13} {:>13} {:>9}",
        "thief", "cases", "stopped", "after yen", "got yen", "not paid"
    )?;
    let behaviours = figures::by_behaviour(all).into_iter().map(|(one, stolen)| (one.as_str(), stolen));
    let persistences = figures::by_persistence(all).into_iter().map(|(one, stolen)| (one.as_str(), stolen));
    for (at, (name, stolen)) in behaviours.map(|row| (0, row)).chain(persistences.map(|row| (1, row))) {
        let name = if at == 0 { name.to_owned() } else { format!("({name})") };
        writeln!(
            out,
            "  {name:<14} {:>6} {:>8} {:>13} {:>13} {:>8}%",
            stolen.cases,
            stolen.stopped,
            grouped(stolen.wanted_yen),
            grouped(stolen.stolen_yen),
            Tenths(stolen.not_paid().tenths_percent())
        )?;
    }
    writeln!(out, "  In brackets: the same thieves by how long they go on when they are refused.")
}

fn write_reasons(out: &mut String, all: &Trial) -> std::fmt::Result {
    let whole = Figures::of(all).refused.whole;
    let per_10_000 = |part| Tenths(Share { part, whole }.tenths_per_10_000());
    writeln!(out, "\nBy reason, with all controls:")?;
    writeln!(out, "  {:<36} {:>15} {:>18} {:>16}", "reason", "honest refused", "honest stepped up", "thieves' tries")?;
    for (reason, met) in figures::by_reason(all) {
        let (refused, stepped_up) = (per_10_000(met.honest_refused), per_10_000(met.honest_stepped_up));
        writeln!(out, "  {reason:<36} {refused:>15} {stepped_up:>18} {:>16}", met.thieves)?;
    }
    writeln!(out, "  In 10,000 honest withdrawals; tries of thieves that failed, over all worlds.")
}

fn write_groups(out: &mut String, all: &Trial) -> std::fmt::Result {
    writeln!(out, "\nWho pays the price, with all controls:")?;
    writeln!(
        out,
        "  {:<12} {:>12} {:>22} {:>21}",
        "customers", "withdrawals", "refused in 10,000", "stepped up in 10,000"
    )?;
    for (group, price) in figures::by_group(all) {
        let per_10_000 = |part| Tenths(Share { part, whole: price.withdrawals }.tenths_per_10_000());
        writeln!(
            out,
            "  {:<12} {:>12} {:>22} {:>21}",
            group.as_str(),
            grouped(price.withdrawals),
            per_10_000(price.refused),
            per_10_000(price.stepped_up)
        )?;
    }
    Ok(())
}

fn write_targets(out: &mut String, all: &Trial) -> std::fmt::Result {
    let figures = Figures::of(all);
    writeln!(out, "\nWhat must hold with all controls:")?;
    for (target, holds) in figures.targets() {
        writeln!(out, "  {:<12} {target}", if holds { "holds" } else { "DOES NOT HOLD" })?;
    }
    if let Some(alarm) = &figures.latest_alarm {
        writeln!(
            out,
            "  The latest first alarm: {} on {}, in case {}, {} hours after the first case began, {} yen stolen by then.",
            alarm.pattern,
            calendar::written(alarm.at),
            alarm.cases,
            alarm.after.as_secs() / 3_600,
            grouped(alarm.stolen_yen)
        )?;
    }
    Ok(())
}
