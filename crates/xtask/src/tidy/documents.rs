//! What a reader finds: the first lines of a crate, and the crate in the code map.

use std::path::Path;

use super::dependencies::Crate;
use super::sources::Sources;

/// Documents at the root that must name every crate.
const CODE_MAPS: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

/// The name and text of each document; one that is missing has no text.
pub(super) fn read(root: &Path) -> Vec<(String, String)> {
    let text = |name| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    CODE_MAPS.into_iter().map(|name| (name.to_owned(), text(name))).collect()
}

/// Crates whose root does not open with what the crate knows.
pub(super) fn missing_crate_docs(sources: &Sources, crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for one in crates {
        let roots: Vec<String> = ["crates/", ""]
            .iter()
            .flat_map(|above| ["lib.rs", "main.rs"].map(|root| format!("{above}{}/src/{root}", one.folder)))
            .collect();
        let mut found = sources.files().iter().filter(|file| roots.contains(&file.path)).peekable();
        if found.peek().is_none() {
            findings.push(format!("crates/{}: neither src/lib.rs nor src/main.rs", one.folder));
        }
        for file in found.filter(|file| !file.text.starts_with("//! ")) {
            findings.push(format!("{}: must open with `//!`: what it knows and what it must never know", file.path));
        }
    }
    findings
}

/// Crates that a document does not name as `folder`, folder/ or crates/folder.
pub(super) fn missing_mentions(documents: &[(String, String)], crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, text) in documents {
        for folder in crates.iter().map(|one| &one.folder) {
            let forms = [format!("crates/{folder}"), format!("`{folder}`"), format!("{folder}/")];
            if !forms.iter().any(|form| text.contains(form.as_str())) {
                findings.push(format!("{name}: does not name crates/{folder}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qr() -> Vec<Crate> {
        vec![Crate { name: "cashgate-qr".to_owned(), folder: "qr".to_owned(), dependencies: vec![] }]
    }

    #[test]
    fn a_crate_that_does_not_introduce_itself_is_found() {
        let check = |path, text| missing_crate_docs(&Sources::of(&[(path, text)]), &qr()).len();
        assert_eq!(check("crates/qr/src/lib.rs", "//! Knows.\n"), 0);
        assert_eq!(check("crates/qr/src/lib.rs", "mod a;\n"), 1);
        assert_eq!(check("crates/other/src/lib.rs", "//! Knows.\n"), 1);
    }

    #[test]
    fn a_crate_that_a_document_forgets_is_found() {
        let check = |text: &str| missing_mentions(&[("README.md".to_owned(), text.to_owned())], &qr());
        assert!(check("see crates/qr for codes").is_empty());
        assert!(check("| `qr` | codes |").is_empty());
        assert_eq!(check("a qr code"), ["README.md: does not name crates/qr"]);
        assert_eq!(check(""), ["README.md: does not name crates/qr"]);
    }
}
