//! Why a rule set is not fit to decide.

use std::fmt;
use std::path::PathBuf;

use miette::Diagnostic;

use crate::sources::Source;

/// Why a rule set was refused. Nothing of a refused set is used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The folder cannot be listed.
    #[error("cannot read the policy folder {}: {source}; check that it exists and that the gateway may read it", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is no rule at all, which would refuse every withdrawal.
    #[error("the {origin} policies hold no rule; put at least a permit into a *.cedar file")]
    Empty {
        /// `builtin`, `custom` or `published`.
        origin: &'static str,
    },
    /// At least one rule is wrong.
    #[error("the {origin} policies are refused as a whole:{}", lines(problems))]
    Invalid {
        /// `builtin`, `custom` or `published`.
        origin: &'static str,
        /// Every problem found, in the order of files and lines.
        problems: Vec<Problem>,
    },
}

/// One mistake in a rule file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file's name, without its folder.
    pub file: String,
    /// The line, from 1, if it is known.
    pub line: Option<usize>,
    /// Which rule of the file, from 1, if the file could be parsed.
    pub rule: Option<usize>,
    /// What is wrong and, where there is one, the remedy.
    pub message: String,
}

impl Problem {
    /// A problem of a whole file.
    pub(crate) fn in_file(file: &str, message: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), line: None, rule: None, message: message.to_string() }
    }

    /// What Cedar found, with the line of its first label, or else of the rule.
    pub(crate) fn from_cedar(
        source: &Source,
        rule: Option<usize>,
        rule_line: Option<usize>,
        cedar: &dyn Diagnostic,
    ) -> Self {
        let label = cedar.labels().and_then(|mut labels| labels.next());
        let line = label.as_ref().map(|label| source.line_at(label.offset())).or(rule_line);
        // The label often says what was expected, and the help how to mend it.
        let details = [label.and_then(|label| label.label().map(str::to_owned)), cedar.help().map(|h| h.to_string())];
        let mut message = cedar.to_string();
        for detail in details.into_iter().flatten() {
            message.push_str("; ");
            message.push_str(&detail);
        }
        Self { file: source.file.clone(), line, rule, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(rule) = self.rule {
            write!(f, ": rule {rule}")?;
        }
        write!(f, ": {}", self.message)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
