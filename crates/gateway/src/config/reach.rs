//! What an operator's command needs of a configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::reader::{NamedFiles, opened};

/// Where a gateway is, and whose certificate it has. Nothing else of the configuration is looked at: somebody may be writing it just now, or the
/// variable of a PIN may be set for the gateway alone, and the kill switch has to work all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The port for operators.
    pub api: SocketAddr,
    /// The authority that signed the gateway's certificate, PEM.
    pub ca: PathBuf,
}

impl Reach {
    /// Reads these two out of a file, and the variables that win over it.
    ///
    /// # Errors
    /// One of them is missing or wrong, or the file is no TOML.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let reader = opened(file, NamedFiles::Here)?;
        let api = reader.table("listen").parsed("api");
        let ca = reader.table("tls").existing_file("ca", "put the PEM file there, or correct the name");
        match (api, ca) {
            (Some(api), Some(ca)) => Ok(Self { api, ca }),
            _ => Err(ConfigError { file: file.to_owned(), problems: reader.errors() }),
        }
    }
}
