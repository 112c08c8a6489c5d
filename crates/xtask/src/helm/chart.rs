//! The chart: linted, rendered, and its manifests looked into.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tools::{self, Tools};
use crate::command;

/// The release's name and namespace in every rendering; the files of `ci/` know the name.
pub(super) const RELEASE: &str = "trial";
const NAMESPACE: &str = "bank";

/// A folder with a chart, the one of the repository or a mutant.
#[derive(Clone)]
pub(super) struct Chart {
    pub(super) folder: PathBuf,
}

/// How a rendering differs from a first installation with a file of values.
#[derive(Clone, Copy, Default)]
pub(super) struct How<'a> {
    /// Further files of values.
    pub(super) values: &'a [PathBuf],
    /// Single values, as `--set-json` takes them.
    pub(super) set: &'a [&'a str],
    /// An upgrade.
    pub(super) upgrade: bool,
}

impl Chart {
    pub(super) fn ours() -> Self {
        Self { folder: command::root().join("helm/cashgate") }
    }

    /// Every file of values in `ci/`, by name.
    pub(super) fn cases(&self) -> Result<Vec<(String, PathBuf)>, String> {
        let ci = self.folder.join("ci");
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", ci.display());
        let mut cases = Vec::new();
        for entry in fs::read_dir(&ci).map_err(cannot)? {
            let file = entry.map_err(cannot)?.path();
            let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if file.extension().is_some_and(|extension| extension == "yaml") && name != "checkov" {
                cases.push((name, file));
            }
        }
        cases.sort();
        if cases.is_empty() { Err(format!("{} has no values", ci.display())) } else { Ok(cases) }
    }

    pub(super) fn lint(&self, tools: &Tools, values: &Path) -> Result<(), String> {
        let mut lint = tools.helm();
        lint.args(["lint", "--strict"]).arg(&self.folder).arg("--values").arg(values);
        tools::quiet(&mut lint)
    }

    /// The manifests as helm writes them, or why it refuses.
    pub(super) fn render(&self, tools: &Tools, values: &Path, how: How<'_>) -> Result<String, String> {
        let mut template = tools.helm();
        template.args(["template", RELEASE]).arg(&self.folder).args(["--namespace", NAMESPACE]);
        template.arg("--values").arg(values);
        for file in how.values {
            template.arg("--values").arg(file);
        }
        for one in how.set {
            template.args(["--set-json", one]);
        }
        if how.upgrade {
            template.arg("--is-upgrade");
        }
        command::output(&mut template)
    }
}

/// The manifest of a kind whose name ends so.
pub(super) fn find<'a>(manifests: &'a [Value], kind: &str, ending: &str) -> Result<&'a Value, String> {
    let is_it =
        |manifest: &&Value| text(manifest, "/kind") == kind && text(manifest, "/metadata/name").ends_with(ending);
    manifests.iter().find(is_it).ok_or_else(|| format!("the chart renders no {kind} whose name ends with `{ending}`"))
}

/// A text in a manifest, by its JSON pointer; empty if there is none.
pub(super) fn text<'a>(manifest: &'a Value, pointer: &str) -> &'a str {
    manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list in a manifest.
pub(super) fn list<'a>(manifest: &'a Value, pointer: &str) -> &'a [Value] {
    manifest.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a manifest is of a kind that Kubernetes itself does not have.
pub(super) fn is_custom(manifest: &Value) -> bool {
    let group = text(manifest, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}

/// The gateway's configuration as it was rendered; empty if none was.
pub(super) fn configuration(manifests: &[Value]) -> &str {
    manifests.iter().find_map(|one| one.pointer("/data/cashgate.toml")?.as_str()).unwrap_or_default()
}

/// The values of a key in a rendered configuration, or in the part of one, in whatever table it stands.
pub(super) fn settings<'config>(configuration: &'config str, key: &str) -> impl Iterator<Item = &'config str> {
    let values = configuration.lines().filter_map(move |line| line.trim().strip_prefix(key)?.strip_prefix(" = "));
    values.map(|value| value.trim_matches('"'))
}

/// What replicas demand of each other's certificates.
pub(super) fn replica_server_name(manifests: &[Value]) -> Result<&str, String> {
    // Institutions have a `server_name` as well, core banking's.
    let section = configuration(manifests).split_once("[replica]\n").map(|(_, section)| section);
    let name = section.and_then(|section| settings(section, "server_name").next());
    name.ok_or_else(|| "no replica.server_name".to_owned())
}
