//! Faults and what was seen of each, as a table that only runs write.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::faults::Fault;

const DOCUMENT: &str = "docs/replicas.md";
const BEGINS: &str = "<!-- from here on written by `cargo xtask replicas-crashes --write` -->";
const ENDS: &str = "<!-- up to here -->";

/// What was seen of one kind of fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    first: Vec<Duration>,
    all: Vec<Duration>,
    /// Visits of customers that did not end well, by how.
    troubled: BTreeMap<String, u32>,
}

impl Row {
    pub(super) fn add(
        &mut self,
        first: Duration,
        all: Duration,
        before: &BTreeMap<String, u32>,
        after: &BTreeMap<String, u32>,
    ) {
        self.first.push(first);
        self.all.push(all);
        for (how, count) in after.iter().filter(|(how, _)| *how != "confirmed") {
            let more = count - before.get(how).copied().unwrap_or_default();
            if more > 0 {
                *self.troubled.entry(how.clone()).or_default() += more;
            }
        }
    }
}

pub(super) fn markdown(rows: &BTreeMap<Fault, Row>) -> String {
    let mut text = String::from(
        "| fault | times | counted from | first approval anywhere: median, longest | an approval at every machine: median, longest | what \
         customers saw beside payment |\n|---|---|---|---|---|---|\n",
    );
    for (fault, row) in rows {
        let troubled = row.troubled.iter().map(|(how, count)| format!("{count} {how}")).collect::<Vec<_>>().join(", ");
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            fault.meaning(),
            row.first.len(),
            fault.counted_from(),
            figures(&row.first),
            figures(&row.all),
            if troubled.is_empty() { "nothing" } else { &troubled }
        ));
    }
    text
}

fn figures(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let last = sorted.last().copied().unwrap_or_default();
    format!("{:.1} s, {:.1} s", middle.as_secs_f32(), last.as_secs_f32())
}

/// Puts the table into its document.
pub(super) fn write(table: &str) -> Result<(), String> {
    let before = fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    let marks = before.split_once(BEGINS).and_then(|(head, rest)| Some((head, rest.split_once(ENDS)?.1)));
    let (head, tail) = marks.ok_or_else(|| format!("{DOCUMENT} does not say where the table stands"))?;
    let after = format!("{head}{BEGINS}\n\n{table}\n{ENDS}{tail}");
    fs::write(DOCUMENT, after).map_err(|error| format!("{DOCUMENT}: {error}"))
}
