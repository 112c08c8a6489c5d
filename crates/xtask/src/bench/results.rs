//! What is kept of a run: `target/bench/results.json` for this run alone, and in the repository `loadtest/bench.json` with the latest figure
//! of every row, from which the table in `loadtest/RESULTS.md` is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use super::Order;
use super::row::Row;
use crate::command;
use crate::figures::grouped;

/// Between these the table stands; what is around it is written by people and stays.
const BEGIN: &str = "<!-- written by `cargo xtask bench`: begin -->";
const END: &str = "<!-- end -->";

/// The three files.
struct Files {
    this_run: PathBuf,
    kept: PathBuf,
    page: PathBuf,
}

impl Files {
    fn find() -> Result<Self, String> {
        let folder = command::root().join("loadtest");
        Ok(Self {
            this_run: command::target_folder()?.join("bench").join("results.json"),
            kept: folder.join("bench.json"),
            page: folder.join("RESULTS.md"),
        })
    }
}

/// Tells where the figures are.
pub(super) fn say_where() -> Result<(), String> {
    let files = Files::find()?;
    println!("\nwritten to {}\nand to {}", files.this_run.display(), files.page.display());
    Ok(())
}

/// Writes all three files: `rows` are those of this run so far, and those from `first` on are new.
pub(super) fn write(rows: &[Row], first: usize, order: Order<'_>, load_before: &str) -> Result<(), String> {
    let Files { this_run, kept, page } = Files::find()?;
    let of_run: Vec<Value> = rows.iter().map(Row::json).collect();
    written(&this_run, &format!("{:#}\n", json!({ "rows": of_run })))?;

    let mut known: Map<String, Value> = match fs::read_to_string(&kept) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", kept.display()))?,
        Err(_) => Map::new(),
    };
    let occasion = occasion(order, load_before)?;
    for row in rows.iter().skip(first) {
        let mut figures = row.json();
        if let Value::Object(figures) = &mut figures {
            figures.extend(occasion.clone());
        }
        known.insert(row.name.clone(), figures);
    }
    written(&kept, &format!("{:#}\n", Value::Object(known.clone())))?;
    let text = fs::read_to_string(&page).map_err(|error| format!("cannot read {}: {error}", page.display()))?;
    written(&page, &with_table(&text, &table(&known)?)?)
}

fn written(file: &Path, text: &str) -> Result<(), String> {
    let cannot = |error| format!("cannot write {}: {error}", file.display());
    fs::create_dir_all(file.parent().unwrap_or(file)).map_err(cannot)?;
    fs::write(file, text).map_err(cannot)
}

/// How busy the machine is: its load average of one minute.
pub(super) fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}

/// When, of what, and on what it was measured.
fn occasion(order: Order<'_>, load_before: &str) -> Result<Map<String, Value>, String> {
    let said = |program: &str, arguments: &[&str]| command::output(Command::new(program).args(arguments));
    let day = said("date", &["-u", "+%F"])?;
    let mut commit = said("git", &["rev-parse", "--short", "HEAD"])?.trim().to_owned();
    if !said("git", &["status", "--porcelain", "--", "crates", "Cargo.lock"])?.trim().is_empty() {
        commit.push('+'); // with changes that are not committed
    }
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let machine = format!("{count} x {}", model.map_or("a processor without a name", |(_, name)| name));
    let occasion = json!({
        "day": day.trim(), "commit": commit, "machine": machine, "load_before": load_before, "load_after": load(),
        "length": if order.quick { "quick" } else { "full" },
    });
    match occasion {
        Value::Object(occasion) => Ok(occasion),
        _ => Err("an object is no object".to_owned()),
    }
}

fn table(known: &Map<String, Value>) -> Result<String, String> {
    let mut lines = vec![
        "| row | ours | baseline | unit | ratio: median (all rounds) | target | reached | measured |".to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    let mut machines: Vec<&str> = Vec::new();
    for (name, row) in known {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or("-");
        let number = |key: &str| row.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let spread = match (number("ratio_least"), number("ratio_most")) {
            (least, most) if least < most => format!(" ({} to {})", short(least), short(most)),
            _ => String::new(),
        };
        let reached = match (text("target"), row.get("holds").and_then(Value::as_bool)) {
            ("-", _) => "",
            (_, Some(true)) => "yes",
            _ => "**no**",
        };
        lines.push(format!(
            "| `{name}` | {} | {} | {} | {}x{spread} | {} | {reached} | {}, {}, {}, load {} to {} |",
            short(number("ours")),
            short(number("baseline")),
            text("unit"),
            short(number("ratio")),
            text("target"),
            text("day"),
            text("commit"),
            text("length"),
            text("load_before"),
            text("load_after"),
        ));
        if !machines.contains(&text("machine")) {
            machines.push(text("machine"));
        }
    }
    lines.push(String::new());
    lines.push(format!("Machine: {}.", machines.join("; ")));
    Ok(lines.join("\n"))
}

/// Three figures that mean something.
#[allow(clippy::cast_possible_truncation, reason = "no figure of a bench is near the ends of a whole number")]
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 999.5 => grouped(figure.round() as i64),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn with_table(page: &str, table: &str) -> Result<String, String> {
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| format!("the page has no line {BEGIN:?}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("the page has no line {END:?} after its table"))?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Target;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let page = format!("# Results\n{BEGIN}\nold\n{END}\nwords\n");
        let once = with_table(&page, "new").unwrap();
        assert_eq!(once, format!("# Results\n{BEGIN}\n\nnew\n\n{END}\nwords\n"));
        assert_eq!(with_table(&once, "new").unwrap(), once);
        assert!(with_table("# Results\n", "new").unwrap_err().contains("no line"));
    }

    #[test]
    fn a_row_says_how_far_its_rounds_were_apart_and_whether_it_reached_its_target() {
        let row =
            Row::median("steps", &[(10.0, 100.0), (30.0, 100.0), (20.0, 100.0)], "/s", Target::RatioAtLeast(0.25));
        let row = row.unwrap().json();
        let table = table(&Map::from_iter([("steps".to_owned(), row)])).unwrap();
        assert!(table.contains("| `steps` | 20.0 | 100 | /s | 0.20x (0.10 to 0.30) | >= 0.25x | **no** |"), "{table}");
    }

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(
            [1_234_567.8, 999.6, -1_000.0, 99.96, 0.041].map(short),
            ["1,234,568", "1,000", "-1,000", "100.0", "0.04"]
        );
    }
}
