//! What a run found, for people and programs: one HTML file that needs nothing else, `report.json`, and a `.hgrm` file for each step.

mod charts;
mod html;
mod json;
mod percentiles;
mod plot;

use std::path::{Path, PathBuf};

pub use plot::load_font;

use crate::run::Outcome;
use crate::scenario::Scenario;
use crate::verdict::Judged;

/// Everything that a report tells.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was run.
    pub scenario: &'a Scenario,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// How it is judged.
    pub judged: &'a [Judged],
    /// The command line that repeats it.
    pub command: String,
    /// Cores of this machine.
    pub cores: usize,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The letters need a font.
    #[error("no font for the plots: install Debian's fonts-dejavu-core, or name a TrueType file with --font")]
    NoFont,
    /// The file is no font, or cannot be read.
    #[error("{0} is no TrueType font that can be read")]
    NotAFont(PathBuf),
    /// A plot could not be drawn.
    #[error("cannot draw `{title}`: {problem}")]
    NotDrawn {
        /// The plot.
        title: String,
        /// What the library said.
        problem: String,
    },
    /// A file.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Report<'_> {
    /// Whether the run passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.judged.iter().all(|one| one.holds)
    }

    /// Writes `report.html`, `report.json` and the `.hgrm` files into a folder, which is made if it is missing. [`load_font`] comes first.
    ///
    /// # Errors
    /// A plot cannot be drawn, or a file not be written.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        std::fs::create_dir_all(folder).map_err(|source| ReportError::File { path: folder.to_owned(), source })?;
        write(&folder.join("report.html"), &html::page(self)?)?;
        write(&folder.join("report.json"), &json::text(self))?;
        for (step, histogram) in &self.outcome.recording.totals {
            write(&folder.join(format!("{}.hgrm", step.name())), &percentiles::distribution(histogram))?;
        }
        Ok(())
    }

    /// The verdict for a terminal: a line for each thing that was judged.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Judged { what, wanted, reached, holds } in self.judged {
            let word = if *holds { "ok  " } else { "FAIL" };
            text.push_str(&format!("{word} {what}: {reached} ({wanted})\n"));
        }
        text.push_str(if self.passed() { "passed" } else { "FAILED" });
        text
    }
}

fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    std::fs::write(path, text).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
