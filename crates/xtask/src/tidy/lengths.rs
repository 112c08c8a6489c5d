//! Long files and functions are where rot begins.

use super::sources::Sources;

/// Lines of a file, its tests included.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function, from its name to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// Files that were longer once, with the length that they may not exceed. Entries only get smaller and go; none may be added.
const LONGER_FILES: &[(&str, usize)] = &[];

pub(super) fn findings(sources: &Sources) -> Vec<String> {
    let mut findings = long_files(sources, LONGER_FILES);
    for file in sources.files() {
        for (name, line, length) in functions(&file.text) {
            if length > FUNCTION_LINES_MAX {
                findings.push(format!(
                    "{}:{line}: `{name}` has {length} lines, at most {FUNCTION_LINES_MAX} are allowed: give its parts names",
                    file.path
                ));
            }
        }
    }
    findings
}

fn long_files(sources: &Sources, longer: &[(&str, usize)]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in sources.files() {
        let length = file.text.lines().count();
        match longer.iter().find(|(path, _)| *path == file.path) {
            Some((_, allowed)) if length > *allowed => {
                findings.push(format!("{}: {length} lines, and its old {allowed} may only become fewer", file.path));
            }
            Some((_, allowed)) if length < *allowed => {
                findings.push(format!("{}: only {length} lines now: lower its entry in tidy/lengths.rs", file.path));
            }
            None if length > FILE_LINES_MAX => {
                findings.push(format!("{}: {length} lines, at most {FILE_LINES_MAX} are allowed: split it", file.path));
            }
            _ => {}
        }
    }
    for (path, _) in longer.iter().filter(|(path, _)| !sources.files().iter().any(|file| file.path == *path)) {
        findings.push(format!("{path}: does not exist: take its entry out of tidy/lengths.rs"));
    }
    findings
}

/// The name, first line and length of every function. Relies on rustfmt: a function ends with a brace at its own indentation.
fn functions(text: &str) -> Vec<(&str, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let rest = lines.iter().skip(start);
        // The signature ends where the body opens; without a body (a trait's function) or with all on one line there is nothing to count.
        let Some(opening) = rest.clone().position(|line| line.ends_with(['{', ';', '}'])) else { continue };
        if !rest.clone().nth(opening).is_some_and(|line| line.ends_with('{')) {
            continue;
        }
        let end = rest.skip(opening).position(|line| *line == closing);
        if let Some(end) = end {
            found.push((name, start + 1, opening + end + 1));
        }
    }
    found
}

/// The name if this line begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_word =
        |word: &str| matches!(word, "pub" | "const" | "async" | "unsafe" | "extern") || word.starts_with("pub(");
    let starts_it = before.split_whitespace().all(|word| is_word(word) || word.starts_with('"') || word.ends_with(')'));
    let name = after.split(['(', '<']).next()?;
    (starts_it && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        format!(
            "impl A {{\n    pub(crate) async fn long(\n        a: u8,\n    ) {{\n{}    }}\n}}\n",
            "        a();\n".repeat(lines - 4)
        )
    }

    #[test]
    fn a_function_one_line_too_long_is_found() {
        let check = |text: &str| findings(&Sources::of(&[("a.rs", text)]));
        assert!(check(&function_of(FUNCTION_LINES_MAX)).is_empty());
        let found = check(&function_of(FUNCTION_LINES_MAX + 1));
        assert_eq!(found, ["a.rs:2: `long` has 61 lines, at most 60 are allowed: give its parts names"]);
    }

    #[test]
    fn every_kind_of_function_is_seen_and_nothing_else() {
        let text = "fn a() {\n}\ntrait T {\n    fn without_body(&self);\n    fn b(&self) -> u8 {\n        1\n    }\n}\n\
                    const fn one_line() -> u8 { 1 }\n// fn comment() {\nlet x: fn (u8) = f;\nfn c<T>()\nwhere\n    T: U,\n{\n}\n";
        let names: Vec<_> = functions(text).into_iter().map(|(name, _, length)| (name, length)).collect();
        assert_eq!(names, [("a", 2), ("b", 3), ("c", 5)]);
    }

    #[test]
    fn a_file_one_line_too_long_is_found() {
        let text = "//\n".repeat(FILE_LINES_MAX);
        assert!(long_files(&Sources::of(&[("a.rs", &text)]), &[]).is_empty());
        assert_eq!(long_files(&Sources::of(&[("a.rs", &(text + "//\n"))]), &[]).len(), 1);
    }

    #[test]
    fn the_ratchet_only_turns_one_way() {
        let check =
            |lines: usize| long_files(&Sources::of(&[("a.rs", &"//\n".repeat(lines))]), &[("a.rs", 500)]).join("");
        assert!(check(500).is_empty());
        assert!(check(501).contains("may only become fewer"));
        assert!(check(499).contains("lower its entry"));
        let gone = long_files(&Sources::of(&[]), &[("a.rs", 500)]).join("");
        assert!(gone.contains("does not exist"), "{gone}");
    }
}
