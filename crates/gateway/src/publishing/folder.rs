//! The folder that is published, and the one that a publication is written to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cashgate_wire::publications::Files;

use super::LIMITS;

/// Why a folder is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system.
    #[error("{}: {source}", path.display())]
    System {
        /// What of.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Files would be mixed with others.
    #[error("{} is not empty: name a folder that is, or one that is not there yet", .0.display())]
    NotEmpty(PathBuf),
}

/// What is published of a folder: rules, cases and limits that lie directly in it. Other files are left where they are.
///
/// # Errors
/// It cannot be read.
pub fn read_folder(folder: &Path) -> Result<Files, FolderError> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(|source| system(folder, source))? {
        let path = entry.map_err(|source| system(folder, source))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_part = name.ends_with(".cedar") || name.ends_with(".cases.toml") || name == LIMITS;
        if is_part && !name.starts_with('.') {
            files.insert(name, fs::read(&path).map_err(|source| system(&path, source))?);
        }
    }
    Ok(files)
}

/// Writes files into a folder that is empty, or is made. Their names come from a gateway: each is checked to be one.
///
/// # Errors
/// It is not empty, or cannot be written.
pub fn write_folder<'a>(
    folder: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), FolderError> {
    fs::create_dir_all(folder).map_err(|source| system(folder, source))?;
    if fs::read_dir(folder).map_err(|source| system(folder, source))?.next().is_some() {
        return Err(FolderError::NotEmpty(folder.to_owned()));
    }
    for (name, content) in files {
        let path = folder.join(name);
        if path.parent() != Some(folder) {
            return Err(system(&path, io::Error::from(io::ErrorKind::InvalidFilename)));
        }
        fs::write(&path, content).map_err(|source| system(&path, source))?;
    }
    Ok(())
}

fn system(path: &Path, source: io::Error) -> FolderError {
    FolderError::System { path: path.to_owned(), source }
}
