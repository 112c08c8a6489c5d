//! Every Rust file of the repository, and what they may not be called.

use std::fs;
use std::path::Path;

/// Words that say nothing about what is inside.
const FORBIDDEN_NAMES: [&str; 9] =
    ["utils", "util", "common", "types", "manager", "helper", "helpers", "misc", "shared"];

/// A Rust file: its path from the root, and its text.
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) text: String,
}

/// Every Rust file under `crates/` and `loadtest/`.
pub(super) struct Sources(Vec<SourceFile>);

impl Sources {
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        for folder in ["crates", "loadtest"] {
            collect(root, &root.join(folder), &mut files)?;
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(files))
    }

    pub(super) fn files(&self) -> &[SourceFile] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() };
        Self(files.iter().map(file).collect())
    }
}

/// Modules and folders whose name says nothing.
pub(super) fn forbidden_names(sources: &Sources) -> Vec<String> {
    let mut findings = Vec::new();
    for file in sources.files() {
        let in_path = file.path.trim_end_matches(".rs").split('/').find(|part| FORBIDDEN_NAMES.contains(part));
        let modules = file.text.lines().filter_map(|line| {
            let (_, name) = line
                .split_once("mod ")
                .filter(|(before, _)| before.trim_start().is_empty() || before.contains("pub"))?;
            name.strip_suffix(';').or(name.strip_suffix(" {"))
        });
        let inside = modules.into_iter().find(|name| FORBIDDEN_NAMES.contains(name));
        if let Some(name) = in_path.or(inside) {
            findings.push(format!("{}: nothing may be called `{name}`: name it for what it holds", file.path));
        }
    }
    findings
}

/// The only files in which unsafe code may stand: the two PKCS#11 calls of a signature, their baseline, and the tests' broken module.
const MAY_BE_UNSAFE: [&str; 3] =
    ["crates/hsm/src/two_calls.rs", "crates/hsm/benches/raw_sign.rs", "crates/hsm/examples/faulty_module/lib.rs"];

/// Files that allow unsafe code and may not.
pub(super) fn unsafe_code(sources: &Sources) -> Vec<String> {
    // In two parts, so that this file is not found itself.
    let allowing = ["allow(", "unsafe_code"].concat();
    let asks = |file: &&SourceFile| file.text.contains(&allowing) && !MAY_BE_UNSAFE.contains(&file.path.as_str());
    let finding =
        |file: &SourceFile| format!("{}: unsafe code may stand only in {}", file.path, MAY_BE_UNSAFE.join(", "));
    sources.files().iter().filter(asks).map(finding).collect()
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(cannot)?;
            let relative = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            files.push(SourceFile { path: relative, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_found_where_it_may_not_stand() {
        let text = ["#![allow(", "unsafe_code, reason = \"fast\")]"].concat();
        for (path, found) in [("crates/hsm/src/two_calls.rs", 0), ("crates/limits/src/lib.rs", 1)] {
            assert_eq!(unsafe_code(&Sources::of(&[(path, &text)])).len(), found, "{path}");
        }
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let check = |path, text, found| {
            assert_eq!(forbidden_names(&Sources::of(&[(path, text)])).len(), found, "{path} {text}");
        };
        check("crates/qr/src/utils.rs", "", 1);
        check("crates/qr/src/common/mod.rs", "", 1);
        check("crates/qr/src/lib.rs", "pub(crate) mod helpers {", 1);
        check("crates/qr/src/lib.rs", "mod types;", 1);
        check("crates/qr/src/commonwealth.rs", "mod prototypes;\n// what a mod types;", 0);
    }
}
