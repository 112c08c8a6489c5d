//! Orders for the faulty module of `examples/faulty_module`, and what it counted.

use std::fs;
use std::path::{Path, PathBuf};

// The grammar itself, so that a mistyped order fails in the test that gives it.
#[path = "../../examples/faulty_module/control.rs"]
#[allow(dead_code, unreachable_pub, reason = "tests only read orders; the module also acts on them")]
mod control;
#[path = "../../examples/faulty_module/counts.rs"]
#[allow(dead_code, reason = "tests only need the names")]
mod counts;

pub(crate) use counts::{FINALIZED_OVER_CALLS, HANGING};

/// The faulty module of one case: in front of the case's real module.
pub(crate) struct Faulty {
    module: PathBuf,
    control: PathBuf,
    counts: PathBuf,
}

impl Faulty {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { module: built_module(), control: control_in(directory), counts: counts_in(directory) }
    }

    /// What the module reads when it is loaded.
    pub(crate) fn environment(directory: &Path, behind: &Path) -> Vec<(&'static str, String)> {
        let written = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        vec![
            ("FAULTY_MODULE_BEHIND", written(behind)),
            ("FAULTY_MODULE_CONTROL", written(&control_in(directory))),
            ("FAULTY_MODULE_COUNTS", written(&counts_in(directory))),
        ]
    }

    /// The shared library that a gateway would load.
    pub(crate) fn module(&self) -> &Path {
        &self.module
    }

    /// Replaces all orders by these. They hold for every call that comes in from now on, and calls that hang by an order that is no
    /// longer there go on.
    pub(crate) fn order(&self, orders: &[&str]) {
        let text = orders.join("\n");
        control::orders(&text).expect("orders as examples/faulty_module/control.rs describes them");
        // Renamed, so that the module never reads half a file.
        let new = self.control.with_extension("new");
        fs::write(&new, text).expect("the control file's directory is there");
        fs::rename(&new, &self.control).expect("the control file can be replaced");
    }

    /// Ends all faults, but for what `sticky` started.
    pub(crate) fn behave(&self) {
        self.order(&[]);
    }

    /// How often the function was called since the module was loaded first.
    pub(crate) fn calls(&self, function: &str) -> u64 {
        self.row(function).0
    }

    /// How many calls of the function are inside the module now.
    pub(crate) fn inside(&self, function: &str) -> u64 {
        let (calls, returned) = self.row(function);
        calls - returned
    }

    fn row(&self, function: &str) -> (u64, u64) {
        assert!(counts::FUNCTIONS.contains(&function), "{function} is not counted");
        let text = fs::read_to_string(&self.counts).unwrap_or_default();
        let mut rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|words| words[0] == function);
        // Not loaded yet: no calls.
        row.map_or((0, 0), |words| (words[1].parse().expect("a number"), words[2].parse().expect("a number")))
    }
}

fn control_in(directory: &Path) -> PathBuf {
    directory.join("control")
}

fn counts_in(directory: &Path) -> PathBuf {
    directory.join("counts")
}

/// Cargo puts examples beside `deps`, where this test lies.
fn built_module() -> PathBuf {
    let test = std::env::current_exe().expect("this executable's path");
    let profile = test.parent().and_then(Path::parent).expect("<target>/<profile>/deps/<test>");
    let module = profile.join("examples/libfaulty_module.so");
    assert!(module.exists(), "{} is not there: cargo build -p cashgate-hsm --examples", module.display());
    module
}
