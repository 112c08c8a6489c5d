//! The report for programs. Amounts are in yen; rates are in tenths of one in 10,000.

use serde_json::{Value, json};

use super::Report;
use super::figures::{self, Figures, Stolen};
use super::share::Share;
use crate::seeds::Use;
use crate::tally::FirstAlarm;
use crate::trials::Trial;

impl Report {
    /// Everything, for every trial. Its names are stable.
    #[must_use]
    pub fn json(&self) -> Value {
        let world = self.worlds.first();
        json!({
            "bank": self.bank,
            "purpose": match self.purpose { Use::Tuning => "tuning", Use::Reporting => "reporting" },
            "seeds": self.worlds.iter().map(|world| world.seed).collect::<Vec<_>>(),
            "customers": world.map(|world| world.customers),
            "machines": world.map(|world| world.machines),
            "warm_up_days": world.map(|world| world.warm_up_days),
            "reaction": {
                "working_hours": self.reaction.working_hours,
                "device_age_below_hours": self.reaction.device_age_below.as_secs() / 3_600,
                "day_max_yen": self.reaction.day_max_yen,
                "lasts_hours": self.reaction.lasts.as_secs() / 3_600,
            },
            "holds": self.holds(),
            "trials": self.trials.iter().map(trial).collect::<Vec<_>>(),
        })
    }
}

fn trial(trial: &Trial) -> Value {
    let figures = Figures::of(trial);
    let thieves = figures::by_behaviour(trial).into_iter().map(|(one, sums)| (one.as_str().to_owned(), stolen(&sums)));
    let persistences =
        figures::by_persistence(trial).into_iter().map(|(one, sums)| (one.as_str().to_owned(), stolen(&sums)));
    let reasons = figures::by_reason(trial).into_iter().map(|(reason, met)| {
        let counts = json!({
            "honest_refused": met.honest_refused,
            "honest_stepped_up": met.honest_stepped_up,
            "thieves": met.thieves,
        });
        (reason.to_owned(), counts)
    });
    let groups = figures::by_group(trial).into_iter().map(|(group, price)| {
        let counts = json!({
            "withdrawals": price.withdrawals,
            "refused": price.refused,
            "stepped_up": price.stepped_up,
        });
        (group.as_str().to_owned(), counts)
    });
    json!({
        "controls": trial.controls.to_string(),
        "worlds": figures.worlds,
        "stolen": stolen(&figures.stolen),
        "worst_world": stolen(&figures.worst),
        "honest_withdrawals": figures.refused.whole,
        "refused": rate(figures.refused),
        "stepped_up": rate(figures.stepped_up),
        "not_typed": rate(figures.not_typed),
        "latest_first_alarm": figures.latest_alarm.as_ref().map(alarm),
        "worlds_without_alarm": figures.worlds_without_alarm,
        "median_alarm_hours": figures.median_alarm_hours,
        "false_alarms": figures.false_alarms,
        "targets": figures.targets().map(|(target, holds)| json!({ "target": target, "holds": holds })),
        "thieves": thieves.collect::<serde_json::Map<_, _>>(),
        "persistence": persistences.collect::<serde_json::Map<_, _>>(),
        "reasons": reasons.collect::<serde_json::Map<_, _>>(),
        "groups": groups.collect::<serde_json::Map<_, _>>(),
    })
}

fn stolen(stolen: &Stolen) -> Value {
    json!({
        "cases": stolen.cases,
        "stopped": stolen.stopped,
        "wanted_yen": stolen.wanted_yen,
        "stolen_yen": stolen.stolen_yen,
        "not_paid_tenths_percent": stolen.not_paid().tenths_percent(),
    })
}

fn rate(share: Share) -> Value {
    json!({ "count": share.part, "tenths_per_10_000": share.tenths_per_10_000() })
}

fn alarm(alarm: &FirstAlarm) -> Value {
    json!({
        "pattern": alarm.pattern,
        "at_unix_ms": alarm.at.unix_ms(),
        "cases": alarm.cases,
        "hours": alarm.after.as_secs() / 3_600,
        "stolen_yen": alarm.stolen_yen,
    })
}
