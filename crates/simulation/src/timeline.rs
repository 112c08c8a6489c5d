//! What happened in a world, for a person.
//!
//! A world writes down everything, with ids as it has them. Here ids become short names in the order of their appearance (withdrawals W1, codes
//! C1, QR sessions S1), times count from the world's beginning, and what repeats itself is said once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How far a world's moments lie from its beginning at most; any other number is not a moment.
const DAYS_MS: u64 = 40 * 86_400_000;

/// Reads one world's lines, in order.
#[derive(Debug)]
pub struct Reader {
    begins_at_ms: u64,
    names: BTreeMap<u128, String>,
    counts: BTreeMap<char, u32>,
    /// With their moments as they are written.
    lines: Vec<(String, String)>,
    /// What was said last of each withdrawal, and of everything else.
    last: BTreeMap<String, Last>,
    shown: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Last {
    text: String,
    repeated: u32,
    at: String,
}

impl Reader {
    /// Reads a world that begins at a moment, in milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn new(begins_at_ms: u64) -> Self {
        let (names, counts, last) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { begins_at_ms, names, counts, lines: Vec::new(), last, shown: BTreeMap::new() }
    }

    /// The world's lines, readable.
    #[must_use]
    pub fn read(&mut self, timeline: &[String]) -> Vec<String> {
        for line in timeline {
            self.take(line);
        }
        let unsaid: Vec<Last> = std::mem::take(&mut self.last).into_values().collect();
        unsaid.into_iter().for_each(|last| self.tell_repeated(&last));
        self.lines.sort_by_key(|(at, _)| at.replace('.', "").trim_start().parse::<u64>().unwrap_or(0));
        self.lines.drain(..).map(|(at, text)| format!("{at} s  {text}")).collect()
    }

    /// A sentence with the names that the lines have.
    #[must_use]
    pub fn sentence(&mut self, text: &str) -> String {
        let mut named = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            let (before, from) = rest.split_at(start);
            named.push_str(before);
            let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            rest = after;
            if let Some(moment) = self.moment(word) {
                named.push_str(&moment);
                rest = rest.strip_prefix(" ms").unwrap_or(rest);
            } else if let Some(name) = self.name(word, &named) {
                named.push_str(&name);
            } else {
                named.push_str(word);
            }
        }
        named + rest
    }

    fn take(&mut self, line: &str) {
        let (at, text) = line.split_once(" s  ").unwrap_or(("", line));
        let sentence = self.sentence(text);
        if self.is_known(&sentence) {
            return;
        }
        let text = crossing(&sentence).unwrap_or(sentence);
        let of = withdrawal_in(&text).unwrap_or_default().to_owned();
        if let Some(last) = self.last.get_mut(&of)
            && last.text == text
        {
            last.repeated += 1;
            at.clone_into(&mut last.at);
            return;
        }
        if let Some(last) = self.last.remove(&of) {
            self.tell_repeated(&last);
        }
        self.lines.push((at.to_owned(), text.clone()));
        self.last.insert(of, Last { text, repeated: 0, at: at.to_owned() });
    }

    /// Whether a line only shows how a withdrawal stands, and that was shown before or is what everybody expects.
    fn is_known(&mut self, sentence: &str) -> bool {
        if !sentence.starts_with("Shown ") {
            return false;
        }
        let of = withdrawal_in(sentence).unwrap_or_default().to_owned();
        let standing = sentence.split_once("standing: ").map_or("", |(_, standing)| standing).to_owned();
        let is_open = standing.starts_with("Open") && !self.shown.contains_key(&of);
        is_open || self.shown.insert(of, standing.clone()) == Some(standing)
    }

    fn tell_repeated(&mut self, last: &Last) {
        let text = match last.repeated {
            0 => return,
            1 => last.text.clone(),
            more => format!("({more} times more, now for the last time) {}", last.text),
        };
        self.lines.push((last.at.clone(), text));
    }

    fn moment(&self, word: &str) -> Option<String> {
        let moment: u64 = word.parse().ok()?;
        if moment.abs_diff(self.begins_at_ms) > DAYS_MS {
            return None;
        }
        let ms = moment.abs_diff(self.begins_at_ms);
        let sign = if moment < self.begins_at_ms { "-" } else { "" };
        Some(format!("{sign}{}.{:03} s", ms / 1_000, ms % 1_000))
    }

    /// The short name of an id, if the word is one; `before` says of what, when it is new.
    fn name(&mut self, word: &str, before: &str) -> Option<String> {
        let is_uuid = word.len() == 36 && word.matches('-').count() == 4;
        let id = if is_uuid {
            u128::from_str_radix(&word.replace('-', ""), 16).ok()?
        } else if word.len() >= 30 && word.chars().all(|c| c.is_ascii_digit()) {
            // A hexadecimal id may look like a decimal one; then it is the one that was seen before.
            let hexadecimal = u128::from_str_radix(word, 16).ok().filter(|id| self.names.contains_key(id));
            hexadecimal.or_else(|| word.parse().ok())?
        } else if (24..=32).contains(&word.len()) {
            u128::from_str_radix(word, 16).ok().filter(|id| self.names.contains_key(id))?
        } else {
            return None;
        };
        if let Some(known) = self.names.get(&id) {
            return Some(known.clone());
        }
        let letter = match before {
            before if before.ends_with("nonce: ") => 'C',
            before if before.ends_with("qr_session: ") => 'S',
            before if is_uuid || before.ends_with("withdrawal: ") => 'W',
            _ => return None,
        };
        let count = self.counts.entry(letter).or_default();
        *count += 1;
        let name = format!("{letter}{count}");
        self.names.insert(id, name.clone());
        Some(name)
    }
}

/// A crossing that was written down as `HoldAsked { withdrawal: W1, amount: 30000 }`, in words.
fn crossing(text: &str) -> Option<String> {
    let (name, fields) = text.split_once(" { ").map_or((text, ""), |(name, rest)| (name, rest));
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphabetic());
    if !is_name {
        return None;
    }
    let words = spaced(name);
    let said: Vec<String> = fields_of(fields.strip_suffix(" }").unwrap_or(fields)).collect();
    Some(if said.is_empty() { words } else { format!("{words}: {}", said.join(", ")) })
}

/// `HoldAsked` as `hold asked`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn fields_of(text: &str) -> impl Iterator<Item = String> {
    let mut fields = vec![String::new()];
    let mut depth = 0_u32;
    for part in text.split_inclusive(' ') {
        if depth == 0 && fields.last().is_some_and(|field| field.ends_with(", ")) {
            fields.push(String::new());
        }
        match part.trim_end_matches([' ', ',']) {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push_str(part);
        }
    }
    fields.into_iter().filter_map(|field| {
        let (name, value) = field.trim_end_matches([' ', ',']).split_once(": ")?;
        Some(said(name, value))
    })
}

fn said(name: &str, value: &str) -> String {
    let words = name.replace('_', " ");
    match (name, value) {
        ("withdrawal" | "nonce" | "qr_session", id) => id.to_owned(),
        ("atm", number) => format!("A{number}"),
        ("phone" | "account", number) => format!("{name} {number}"),
        ("amount", amount) => yen(amount),
        ("word", word) => spaced(word),
        ("confirm", "None") => "reverse".to_owned(),
        ("confirm", "true") => "of a confirmation".to_owned(),
        ("confirm", "false") => "of a reversal".to_owned(),
        (_, "true") => words,
        (_, "false") => format!("not {words}"),
        (_, nested) if nested.ends_with('}') => {
            let fields = nested.split_once("{ ").map_or(nested, |(_, fields)| fields);
            fields_of(fields.strip_suffix(" }").unwrap_or(fields)).collect::<Vec<_>>().join(", ")
        }
        (_, "None") => format!("{words} nothing"),
        (_, some) if some.ends_with(')') => {
            let (kind, inner) = some.trim_end_matches(')').split_once('(').unwrap_or(("", some));
            let kind = if kind == "Some" { String::new() } else { format!(" {}", kind.to_lowercase()) };
            format!("{words}{kind} {}", yen(inner))
        }
        (_, value) => format!("{} {}", words.strip_suffix(" ms").unwrap_or(&words), presented(name, value)),
    }
}

fn presented(name: &str, value: &str) -> String {
    if name == "presented" { yen(value) } else { value.to_lowercase().replace(" S", " s") }
}

fn yen(amount: &str) -> String {
    amount.parse().map_or_else(|_| amount.to_owned(), |amount| format!("{} yen", grouped(amount)))
}

/// A number with commas.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let comma = if at > 0 && (digits.len() - at).is_multiple_of(3) { "," } else { "" };
        let _ = write!(text, "{comma}{digit}"); // a String takes everything
    }
    text
}

/// The first withdrawal that a line names.
fn withdrawal_in(text: &str) -> Option<&str> {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.find(|word| word.strip_prefix('W').is_some_and(|number| !number.is_empty() && number.parse::<u32>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u64 = 1_768_435_200_000;

    fn read(lines: &[&str]) -> Vec<String> {
        Reader::new(BEGIN).read(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn ids_become_names_whether_they_are_written_as_numbers_or_as_uuids() {
        let lines = read(&[
            "      1.000 s  CodeSigned { nonce: 2137907334876117209457673781951594498, atm: 1, qr_session: 2137907334867654728720371377728651265, expires_at_ms: 1768435528000 }",
            "      2.000 s     019bbef8-948f-7000-0000-000000000003 approved -> hold_requested ",
            "      2.000 s  HoldAsked { withdrawal: 2137907361243998261072350711467999235, account: 0, atm: 1, amount: 30000, approved_at_ms: 1768435520655 }",
            "      2.000 s  ApprovalAccepted { withdrawal: 2137907361243998261072350711467999235, nonce: 2137907334876117209457673781951594498, phone: 0, account: 0, amount: 30000 }",
        ]);
        assert_eq!(
            lines,
            [
                "      1.000 s  code signed: C1, A1, S1, expires at 328.000 s",
                "      2.000 s     W1 approved -> hold_requested ",
                "      2.000 s  hold asked: W1, account 0, A1, 30,000 yen, approved at 320.655 s",
                "      2.000 s  approval accepted: W1, C1, phone 0, account 0, 30,000 yen",
            ]
        );
    }

    #[test]
    fn reports_and_decisions_are_in_words() {
        let lines = read(&[
            "      1.000 s  ReportArrived { atm: 1, withdrawal: 2137907361243998261072350711467999235, report: Report { word: Dispensed, presented: 30000, retracted: None, proven: true } }",
            "      2.000 s  PersonDecides { withdrawal: 2137907361243998261072350711467999235, confirm: Some(30000) }",
            "      2.500 s  SettlementAnswerArrived { withdrawal: 2137907361243998261072350711467999235, confirm: false, done: false }",
            "      2.700 s  PersonDecides { withdrawal: 2137907361243998261072350711467999235, confirm: None }",
            "      3.000 s  GatewayStopped",
        ]);
        assert_eq!(
            lines,
            [
                "      1.000 s  report arrived: A1, W1, dispensed, presented 30,000 yen, retracted nothing, proven",
                "      2.000 s  person decides: W1, confirm 30,000 yen",
                "      2.500 s  settlement answer arrived: W1, of a reversal, not done",
                "      2.700 s  person decides: W1, reverse",
                "      3.000 s  gateway stopped",
            ]
        );
    }

    #[test]
    fn what_repeats_itself_is_said_once_even_if_others_are_heard_in_between() {
        let ask = |at: u32, id: u32| {
            format!("{at:>7}.000 s  ReverseAsked {{ withdrawal: 21379073612439982610723507114679992{id} }}")
        };
        let mut lines: Vec<String> = (0..50).flat_map(|at| [ask(at, 35), ask(at, 36)]).collect();
        lines.push("     60.000 s  ReversePosted { withdrawal: 2137907361243998261072350711467999235 }".to_owned());
        let lines = Reader::new(BEGIN).read(&lines);
        assert_eq!(
            lines,
            [
                "      0.000 s  reverse asked: W1",
                "      0.000 s  reverse asked: W2",
                "     49.000 s  (49 times more, now for the last time) reverse asked: W1",
                "     49.000 s  (49 times more, now for the last time) reverse asked: W2",
                "     60.000 s  reverse posted: W1",
            ]
        );
    }

    #[test]
    fn how_a_withdrawal_stands_is_shown_when_it_is_news() {
        let shown = |standing: &str| {
            format!(
                "      1.000 s  Shown {{ book: Book {{ withdrawal: 2137907361243998261072350711467999235, account: 0, amount: 20000, standing: {standing} }} }}"
            )
        };
        let lines = ["Open", "Open", "Confirmed(20000)", "Confirmed(20000)", "Open"].map(shown);
        assert_eq!(
            Reader::new(BEGIN).read(&lines),
            [
                "      1.000 s  shown: W1, account 0, 20,000 yen, standing confirmed 20,000 yen",
                "      1.000 s  shown: W1, account 0, 20,000 yen, standing open",
            ]
        );
    }

    #[test]
    fn a_sentence_about_a_violation_has_the_names_and_times_of_the_lines() {
        let mut reader = Reader::new(BEGIN);
        let _ = reader.read(&["      2.000 s     019bbef8-948f-7000-0000-000000000003 approved -> held ".to_owned()]);
        assert_eq!(
            reader.sentence("rule 4 broken at 1768435520655 ms, withdrawal 19bbef8948f70000000000000000003: 5 came"),
            "rule 4 broken at 320.655 s, withdrawal W1: 5 came"
        );
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
