//! Lines for a person, and the same as JSON.

use std::path::Path;

use serde_json::json;

use crate::books::Books;

/// What a case has to tell.
pub(crate) struct Told {
    withdrawal: Option<String>,
    detail: String,
}

/// A case that was run.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) outcome: Result<Told, String>,
}

impl Told {
    pub(crate) fn about(withdrawal: &str, detail: String) -> Self {
        Self { withdrawal: Some(withdrawal.to_owned()), detail }
    }

    pub(crate) const fn without_withdrawal(detail: String) -> Self {
        Self { withdrawal: None, detail }
    }
}

impl Line {
    pub(crate) fn print(&self) {
        match &self.outcome {
            Ok(told) => {
                let id = told.withdrawal.as_deref().unwrap_or("no withdrawal");
                println!("✓ {:<22}{:<74} {id}", self.name, told.detail);
            }
            Err(problem) => println!("✗ {:<22}{problem}", self.name),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let (detail, withdrawal) = match &self.outcome {
            Ok(told) => (told.detail.as_str(), told.withdrawal.as_deref()),
            Err(problem) => (problem.as_str(), None),
        };
        json!({"name": self.name, "ok": self.outcome.is_ok(), "detail": detail, "withdrawal_id": withdrawal})
    }
}

/// Writes the cases and the books to a file.
pub(crate) fn write(file: &Path, lines: &[Line], books: &Books) -> Result<(), String> {
    let cases: Vec<_> = lines.iter().map(Line::to_json).collect();
    let report = json!({
        "cases": cases, "books": books.rows_as_json(), "balanced": books.problems.is_empty(), "problems": books.problems,
    });
    std::fs::write(file, format!("{report:#}\n")).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
