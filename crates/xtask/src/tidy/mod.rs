//! What no compiler checks: lengths, names, documents, and which crate may depend on which.

mod dependencies;
mod documents;
mod lengths;
mod runbooks;
mod sources;

use crate::command;
use dependencies::Crate;
use sources::Sources;

/// Checks everything; the error lists every finding.
pub(crate) fn run() -> Result<(), String> {
    let root = command::root();
    let metadata = command::output(command::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let crates = Crate::all_of(&metadata)?;
    let sources = Sources::read(&root)?;
    let documents = documents::read(&root);
    let findings: Vec<String> = [
        lengths::findings(&sources),
        sources::forbidden_names(&sources),
        sources::unsafe_code(&sources),
        documents::missing_crate_docs(&sources, &crates),
        documents::missing_mentions(&documents, &crates),
        dependencies::findings(&crates),
        runbooks::findings(&root),
    ]
    .concat();
    if findings.is_empty() {
        println!("tidy: {} files and {} crates", sources.files().len(), crates.len());
        return Ok(());
    }
    Err(format!("{}\ntidy: {} findings", findings.join("\n"), findings.len()))
}
