//! Reads a configuration value by value, collects every error with the path of its key, and knows which keys nobody asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use figment::value::{Dict, Value};

use super::ConfigError;

/// Whether the files that a configuration names must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedFiles {
    /// Here, as for a gateway.
    Here,
    /// Perhaps on another machine.
    Elsewhere,
}

/// A table of the configuration and where it lies.
pub(super) struct Reader {
    table: Dict,
    path: String,
    folder: PathBuf,
    files: NamedFiles,
    asked: RefCell<BTreeSet<String>>,
    errors: Rc<RefCell<Vec<String>>>,
}

impl Reader {
    /// The whole configuration; relative file names start at `folder`.
    pub(super) fn new(table: Dict, folder: &Path, files: NamedFiles) -> Self {
        let (folder, path) = (folder.to_owned(), String::new());
        Self { table, path, folder, files, asked: RefCell::default(), errors: Rc::default() }
    }

    /// Every error found, over all tables, once every reader has been closed.
    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.borrow().clone()
    }

    pub(super) fn error(&self, key: &str, what: impl std::fmt::Display) {
        self.errors.borrow_mut().push(format!("{}{key}: {what}", self.path));
    }

    /// Whether a key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A table inside; a missing one reads as empty, so that its own keys are reported.
    pub(super) fn table(&self, key: &str) -> Self {
        let table = match self.ask(key) {
            None => Dict::new(),
            Some(Value::Dict(_, table)) => table,
            Some(_) => {
                self.error(key, "must be a table");
                Dict::new()
            }
        };
        self.inner(table, format!("{}{key}.", self.path))
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&self, key: &str) -> Vec<Self> {
        let items = match self.ask(key) {
            None => Vec::new(),
            Some(Value::Array(_, items)) => items,
            Some(_) => {
                self.error(key, "must be an array of tables");
                Vec::new()
            }
        };
        let mut tables = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::Dict(_, table) => tables.push(self.inner(table, format!("{}{key}[{index}].", self.path))),
                _ => self.error(&format!("{key}[{index}]"), "must be a table"),
            }
        }
        tables
    }

    /// All of a table of texts, such as environment variables.
    pub(super) fn texts(&self, key: &str) -> Vec<(String, String)> {
        let table = self.table(key);
        let keys: Vec<String> = table.table.keys().cloned().collect();
        let texts = keys.into_iter().filter_map(|name| table.text(&name).map(|text| (name, text))).collect();
        table.close();
        texts
    }

    /// A text that must be there.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.ask(key) {
            Some(Value::String(_, text)) if !text.is_empty() => Some(text),
            Some(Value::String(..)) => self.none(key, "must not be empty"),
            Some(_) => self.none(key, "must be a text in quotation marks"),
            None => self.none(key, "is missing"),
        }
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        match self.ask(key) {
            Some(Value::Bool(_, truth)) => Some(truth),
            Some(_) => self.none(key, "must be true or false"),
            None => self.none(key, "is missing"),
        }
    }

    /// A text that must be there and be read as something.
    pub(super) fn parsed<T: FromStr>(&self, key: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(key)?;
        text.parse().map_err(|error: T::Err| self.error(key, format!("{text:?}: {error}"))).ok()
    }

    /// A file name that must be there; a relative one starts at the configuration's folder.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.folder.join(text))
    }

    /// Whether what is named here, a file or a variable of the environment, must be there.
    pub(super) fn wants_what_is_named(&self) -> bool {
        self.files == NamedFiles::Here
    }

    /// The name of a file that must exist; `remedy` says what to do if it does not.
    pub(super) fn existing_file(&self, key: &str, remedy: &str) -> Option<PathBuf> {
        let file = self.file(key)?;
        if !self.wants_what_is_named() {
            return Some(file);
        }
        match std::fs::metadata(&file) {
            Ok(found) if found.is_file() => Some(file),
            Ok(_) => self.none(key, &format!("{} is not a file; {remedy}", file.display())),
            Err(error) => self.none(key, &format!("{} cannot be read: {error}; {remedy}", file.display())),
        }
    }

    /// The name of a file that may still have to be made, in a folder that must exist.
    pub(super) fn file_in_folder(&self, key: &str) -> Option<PathBuf> {
        let file = self.file(key)?;
        let folder = file.parent().unwrap_or(&self.folder);
        if folder.is_dir() || !self.wants_what_is_named() {
            Some(file)
        } else {
            self.none(key, &format!("there is no folder {}", folder.display()))
        }
    }

    /// A whole number within a range; `default` if it is missing and there is one.
    pub(super) fn number(&self, key: &str, default: Option<u64>, range: RangeInclusive<u64>) -> Option<u64> {
        let value = match self.ask(key) {
            None if default.is_some() => return default,
            None => return self.none(key, "is missing"),
            // A number from the file is signed, one from the environment may be unsigned.
            Some(value) => {
                let signed = value.to_i128().and_then(|number| u64::try_from(number).ok());
                signed.or_else(|| value.to_u128().and_then(|number| u64::try_from(number).ok()))
            }
        };
        let within = value.filter(|number| range.contains(number));
        if within.is_none() {
            self.error(key, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        within
    }

    /// A duration in whole seconds, `default` if it is missing.
    pub(super) fn seconds(&self, key: &str, default: Duration, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, Some(default.as_secs()), range).map(Duration::from_secs)
    }

    /// A duration in whole milliseconds, `default` if it is missing.
    pub(super) fn milliseconds(&self, key: &str, default: Duration, range: RangeInclusive<u64>) -> Option<Duration> {
        let default = u64::try_from(default.as_millis()).ok();
        self.number(key, default, range).map(Duration::from_millis)
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn close(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(*key)) {
            self.error(key, "is not a key of this configuration");
        }
    }

    fn inner(&self, table: Dict, path: String) -> Self {
        let (folder, errors) = (self.folder.clone(), Rc::clone(&self.errors));
        Self { table, path, folder, files: self.files, asked: RefCell::default(), errors }
    }

    fn ask(&self, key: &str) -> Option<Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.table.get(key).cloned()
    }

    fn none<T>(&self, key: &str, what: &str) -> Option<T> {
        self.error(key, what);
        None
    }
}

/// The file and the variables, not looked at yet.
pub(super) fn opened(file: &Path, files: NamedFiles) -> Result<Reader, ConfigError> {
    let refused = |problems| ConfigError { file: file.to_owned(), problems };
    if file.is_dir() {
        return Err(refused(vec!["it is a folder; name the file in it, such as cashgate.toml".to_owned()]));
    }
    if !file.is_file() {
        return Err(refused(vec!["there is no such file; `cashgate init DIR` makes one to begin with".to_owned()]));
    }
    let table: Dict = Figment::new()
        .merge(Toml::file_exact(file))
        .merge(Env::prefixed("CASHGATE_").filter(|key| is_setting(key.as_str())).split("__"))
        .extract()
        .map_err(|error| refused(error.into_iter().map(|one| one.to_string()).collect()))?;
    let folder = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Ok(Reader::new(table, folder.parent().unwrap_or(Path::new(".")), files))
}

/// Whether an environment variable (without its prefix) is meant for the configuration. Others that begin alike are not, such as
/// `CASHGATE_LOG`, or what Kubernetes sets for a service named `cashgate`.
fn is_setting(name: &str) -> bool {
    name.contains("__") || ["trust_domain", "network"].contains(&name.to_ascii_lowercase().as_str())
}
