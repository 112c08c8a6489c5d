//! Virtual environments under the target folder, made again only when their requirements change.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{command, packages};

/// A virtual environment with pinned packages.
pub(crate) struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The environment `name` with `requirements`, in the format of pip's requirements files.
    pub(crate) fn with(name: &str, requirements: &str) -> Result<Self, String> {
        let folder = command::root().join("target/venv").join(name);
        let stamp = folder.join("requirements.txt");
        if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
            return Ok(Self { folder });
        }
        packages::ensure(&[packages::PYTHON_VENV])?;
        let cannot = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(cannot)?;
        }
        command::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let wanted = folder.join("wanted.txt");
        std::fs::write(&wanted, requirements).map_err(cannot)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        command::run(Command::new(folder.join("bin/python")).args(pip).arg(&wanted))?;
        // Last: an environment without it is half made and will be made again.
        std::fs::rename(&wanted, &stamp).map_err(cannot)?;
        Ok(Self { folder })
    }

    /// As [`Self::with`], out of a requirements file.
    pub(crate) fn from_file(name: &str, requirements: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(requirements)
            .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
        Self::with(name, &text)
    }

    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join("bin").join(name))
    }
}
