//! The texts a set is made of, and the version that names them.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest;

use crate::problem::{PolicyError, Problem};

/// One file and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The name without its folder.
    pub(crate) file: String,
    pub(crate) text: String,
}

impl Source {
    fn included(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    /// The line, from 1, on which the byte at `offset` stands.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// The facts and entities that rules may speak about. It goes with the gateway, which supplies the facts, so a folder of rules
/// cannot bring its own.
pub(crate) fn schema() -> Source {
    Source::included("schema.cedarschema", include_str!("../policies/schema.cedarschema"))
}

/// The rules that are built in, sorted by name.
fn builtin() -> Vec<Source> {
    vec![
        Source::included("attempts.cedar", include_str!("../policies/attempts.cedar")),
        Source::included("base.cedar", include_str!("../policies/base.cedar")),
        Source::included("bursts.cedar", include_str!("../policies/bursts.cedar")),
        Source::included("many_accounts.cedar", include_str!("../policies/many_accounts.cedar")),
        Source::included("new_device.cedar", include_str!("../policies/new_device.cedar")),
        Source::included("places.cedar", include_str!("../policies/places.cedar")),
        Source::included("young_device.cedar", include_str!("../policies/young_device.cedar")),
    ]
}

/// The cases of the built-in rules.
fn builtin_cases() -> Vec<Source> {
    vec![Source::included("builtin.cases.toml", include_str!("../policies/builtin.cases.toml"))]
}

/// What a folder holds, each sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Every `*.cedar` file that lies directly in it.
    pub(crate) rules: Vec<Source>,
    /// Every `*.cases.toml` file that does.
    pub(crate) cases: Vec<Source>,
    /// One for each of them that cannot be read.
    pub(crate) problems: Vec<Problem>,
    /// Every other file or folder, but for texts, schemas and what is hidden.
    pub(crate) ignored: Vec<String>,
}

impl Folder {
    /// The folder of the sources, as it is built in.
    pub(crate) fn builtin() -> Self {
        Self { rules: builtin(), cases: builtin_cases(), ..Self::default() }
    }

    /// Files that were read elsewhere, by name; what is neither a rule nor a case is not looked at.
    pub(crate) fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut found = Self::default();
        let mut files: Vec<(&str, &[u8])> = files.into_iter().collect();
        files.sort_unstable();
        for (file, content) in files {
            let place = if file.ends_with(".cedar") {
                &mut found.rules
            } else if file.ends_with(".cases.toml") {
                &mut found.cases
            } else {
                continue;
            };
            match str::from_utf8(content) {
                Ok(text) => place.push(Source::included(file, text)),
                Err(error) => {
                    let message = format_args!("cannot be read as UTF-8 text: {error}");
                    found.problems.push(Problem::in_file(file, message));
                }
            }
        }
        found
    }

    /// Names and texts of rules and cases.
    pub(crate) fn into_files(self) -> impl Iterator<Item = (String, String)> {
        self.rules.into_iter().chain(self.cases).map(|source| (source.file, source.text))
    }

    pub(crate) fn read(folder: &Path) -> Result<Self, PolicyError> {
        let unreadable = |source| PolicyError::Folder { folder: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.sort();

        let mut found = Self::default();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let place = match () {
                () if file.ends_with(".cedar") => &mut found.rules,
                () if file.ends_with(".cases.toml") => &mut found.cases,
                () if file.starts_with('.') || file.ends_with(".md") || file.ends_with(".cedarschema") => continue,
                () => {
                    found.ignored.push(file);
                    continue;
                }
            };
            match fs::read_to_string(&path) {
                Ok(text) => place.push(Source { file, text }),
                Err(error) => {
                    let message = format_args!("cannot be read as UTF-8 text: {error}");
                    found.problems.push(Problem::in_file(&file, message));
                }
            }
        }
        Ok(found)
    }
}

/// `origin` and the first 16 hexadecimal digits of a SHA-256 over the schema and every rule file, names and bytes. Sixteen and not
/// fewer: an auditor relies on it, and nobody should be able to write a second set with the same version.
pub(crate) fn version(origin: &str, schema: &Source, rules: &[Source]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for source in std::iter::once(schema).chain(rules) {
        for part in [&source.file, &source.text] {
            // With its length before it, no byte can move from one part to the next unseen.
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    let digest: String = hex::encode(hash.finish()).chars().take(16).collect();
    format!("{origin}-{digest}")
}
