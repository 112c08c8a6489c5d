//! `cargo xtask helm`: the chart, as far as a machine without a cluster can prove it.

mod chart;
mod configs;
mod embedded;
mod hooks;
mod mutants;
mod network;
mod pods;
mod publishing;
mod refusals;
mod replicated;
mod rollouts;
mod running;
mod surroundings;
mod tools;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use chart::{Chart, How, is_custom};
use configs::Given;
use pods::Machine;
use replicated::Replicated;
use surroundings::Surroundings;
use tools::Tools;

use crate::command::Build;
use crate::site::Site;
use crate::{clock, command, interrupt, packages};

/// Checks everything; stops at the first check that fails.
pub(crate) fn run() -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[
        packages::C_COMPILER,
        packages::SOFTHSM,
        packages::POSTGRESQL,
        packages::OPENSC,
        packages::OPENSSL,
        packages::UTIL_LINUX,
        packages::DEJAVU,
        packages::PYTHON_VENV,
    ])?;
    let tools = Tools::ready()?;
    let programs = command::build_programs(Build::Debug)?;
    let image = [programs.cashgate.clone(), programs.loadtest.clone()].into_iter();
    let (site, replicas) =
        (Site::new(programs.clone(), "cashgate-helm")?, Site::new(programs, "cashgate-helm-replicas")?);
    let image: Vec<PathBuf> = image.chain([command::root().join("hsm-config/create-keys.sh")]).collect();
    let hosts = ["atm", "api", "http", "headless", "loadtest"];
    let hosts = hosts.map(|name| (IpAddr::from(Ipv4Addr::LOCALHOST), format!("{}-cashgate-{name}", chart::RELEASE)));
    let machine = Machine::new(&site.folder().join("pods"), image.clone(), hosts.to_vec())?;
    let checks = Checks {
        tools: &tools,
        given: &Given::of(&site)?,
        machine: &machine,
        folder: &site.folder().join("rendered"),
        around: &Surroundings::start(&tools, &Chart::ours(), &replicas)?,
        image: &image,
    };
    match checks.all() {
        Ok(()) => site.remove().and_then(|()| replicas.remove()),
        Err(problem) => Err(format!(
            "{problem}\nwhat was rendered and run is kept in {} and {}",
            site.folder().display(),
            replicas.folder().display()
        )),
    }
}

/// The checks and what they need.
struct Checks<'a> {
    tools: &'a Tools,
    given: &'a Given<'a>,
    machine: &'a Machine,
    /// Where manifests are written for checkers that read files.
    folder: &'a Path,
    /// What the replicated mode finds in its cluster.
    around: &'a Surroundings<'a>,
    /// The programs of the image.
    image: &'a [PathBuf],
}

/// In the order in which they fail fastest.
const NAMES: [&str; 9] = ["lint", "refusals", "rollouts", "hooks", "readme", "schemas", "models", "checkov", "configs"];

impl Checks<'_> {
    fn all(&self) -> Result<(), String> {
        let ours = Chart::ours();
        std::thread::scope(|beside| {
            // Mostly waiting, as the others are: together they take little more than the longer of the two.
            let replicated = beside.spawn(|| timed("replicated", || self.replicated(&ours)?.check()));
            for name in NAMES {
                timed(name, || self.run(name, &ours))?;
            }
            timed("Dockerfile", || self.dockerfile())?;
            timed("embedded", || embedded::check(self.tools, &ours, self.given, self.machine))?;
            replicated.join().unwrap_or_else(|_| Err("replicated: the check died".to_owned()))
        })?;
        timed("mutants", || mutants::check(self, &self.folder.join("mutants")))
    }

    /// One check on one chart; a sentence about what was found to be right.
    fn run(&self, name: &str, chart: &Chart) -> Result<String, String> {
        match name {
            "lint" => self.lint(chart),
            "refusals" => refusals::check(self.tools, chart),
            "rollouts" => rollouts::check(self.tools, chart),
            "hooks" => hooks::check(self.tools, chart),
            "readme" => self.readme(chart),
            "schemas" => {
                let files: Vec<PathBuf> = self.rendered(chart)?.into_iter().map(|(file, _)| file).collect();
                self.tools.validate(&files)?;
                Ok(format!("{} renderings fit the schemas of Kubernetes", files.len()))
            }
            "models" => {
                let rendered = self.rendered(chart)?;
                let all = rendered.iter().flat_map(|(_, manifests)| manifests);
                let custom: Vec<Value> = all.filter(|manifest| is_custom(manifest)).cloned().collect();
                self.tools.check_models(&custom)
            }
            "checkov" => {
                self.rendered(chart)?;
                let settings = chart.folder.join("ci/checkov.yaml");
                self.tools.checkov(&self.rendered_folder(chart), "kubernetes", Some(&settings))?;
                Ok("checkov has nothing to say".to_owned())
            }
            "configs" => {
                let is_ours = chart.folder == Chart::ours().folder;
                configs::check(self.tools, chart, self.given, self.machine, (!is_ours).then_some("embedded"))
            }
            "replicated" => self.replicated(chart)?.starts(),
            other => Err(format!("there is no check {other}")),
        }
    }

    fn replicated<'b>(&'b self, chart: &'b Chart) -> Result<Replicated<'b>, String> {
        Replicated::of(self.tools, chart, self.around, self.image)
    }

    fn lint(&self, chart: &Chart) -> Result<String, String> {
        let cases = chart.cases()?;
        for (_, values) in &cases {
            chart.lint(self.tools, values)?;
        }
        Ok(format!("helm lint --strict passes with {} files of values", cases.len()))
    }

    /// Every value stands in the README, with what the schema says of it, and the least that it shows is enough.
    fn readme(&self, chart: &Chart) -> Result<String, String> {
        command::output(self.tools.python().arg(chart.folder.join("ci/values_table.py")).arg("--check"))?;
        let readme = chart.folder.join("README.md");
        let cannot = |error: std::io::Error| format!("{}: {error}", readme.display());
        let text = fs::read_to_string(&readme).map_err(cannot)?;
        let example = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let values = self.folder.join("readme.yaml");
        fs::create_dir_all(self.folder)
            .and_then(|()| fs::write(&values, example.unwrap_or_default()))
            .map_err(cannot)?;
        chart.render(self.tools, &values, How::default())?;
        Ok("the README has every value, and its example is taken".to_owned())
    }

    /// Every case, as a first installation and as an upgrade.
    fn rendered(&self, chart: &Chart) -> Result<Vec<(PathBuf, Vec<Value>)>, String> {
        let folder = self.rendered_folder(chart);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut rendered = Vec::new();
        for (name, values) in chart.cases()? {
            for upgrade in [false, true] {
                let text = chart.render(self.tools, &values, How { upgrade, ..How::default() })?;
                let file = folder.join(format!("{name}{}.yaml", if upgrade { "-upgrade" } else { "" }));
                fs::write(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
                rendered.push((file, self.tools.parse(&text)?));
            }
        }
        Ok(rendered)
    }

    fn rendered_folder(&self, chart: &Chart) -> PathBuf {
        if chart.folder == Chart::ours().folder {
            self.folder.join("ours")
        } else {
            chart.folder.with_file_name("rendered")
        }
    }

    /// Never built here: no container engine is to be had. Read by two linters, which are shown to fail.
    fn dockerfile(&self) -> Result<String, String> {
        let ours = command::root().join("Dockerfile");
        let folder = self.folder.join("dockerfile");
        let write = |name: &str, text: &str| -> Result<PathBuf, String> {
            let file = folder.join(name).join("Dockerfile");
            let cannot = |error: std::io::Error| format!("{}: {error}", file.display());
            fs::create_dir_all(folder.join(name)).map_err(cannot)?;
            fs::write(&file, text).map_err(cannot)?;
            Ok(file)
        };
        let text = fs::read_to_string(&ours).map_err(|error| format!("{}: {error}", ours.display()))?;
        let file = write("ours", &text)?;
        self.tools.hadolint(&file)?;
        self.tools.checkov(&folder.join("ours"), "dockerfile", None)?;
        let as_root: String =
            text.lines().filter(|line| !line.starts_with("USER")).map(|line| format!("{line}\n")).collect();
        let by_the_way = format!("{text}RUN cd /tmp && apt-get install curl\n");
        let file = write("mutant", &by_the_way)?;
        if self.tools.hadolint(&file).is_ok() {
            return Err("hadolint finds nothing in a careless Dockerfile".to_owned());
        }
        write("mutant", &as_root)?;
        if self.tools.checkov(&folder.join("mutant"), "dockerfile", None).is_ok() {
            return Err("checkov finds nothing in a Dockerfile whose processes are root's".to_owned());
        }
        Ok("hadolint and checkov pass the Dockerfile, and refuse two careless ones; it was not built".to_owned())
    }
}

fn timed(name: &str, check: impl FnOnce() -> Result<String, String>) -> Result<(), String> {
    interrupt::check()?;
    let began = clock::now();
    let said = check().map_err(|problem| format!("{name}: {problem}"))?;
    println!("{name:10} {:5.1} s  {said}", began.elapsed().as_secs_f32());
    Ok(())
}
