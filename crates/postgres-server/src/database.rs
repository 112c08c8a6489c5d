//! A database of a server, with the file that says how to reach it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Server, Session};

/// A database. Its files go with it; the database itself goes with its server.
pub struct Database<'server> {
    server: &'server Server,
    name: String,
    folder: TempDir,
}

impl<'server> Database<'server> {
    pub(crate) fn new(server: &'server Server, name: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Self { server, name, folder };
        database.reach(&database.server.dsn(&database.name));
        database
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that holds it.
    #[must_use]
    pub fn server(&self) -> &'server Server {
        self.server
    }

    /// A file that holds its connection string.
    #[must_use]
    pub fn dsn_file(&self) -> PathBuf {
        self.folder.path().join("dsn")
    }

    /// A folder beside that file.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Changes how it is reached: through a proxy, say, or on several hosts.
    pub fn reach(&self, dsn: &str) {
        fs::write(self.dsn_file(), dsn).expect("the connection string");
    }

    /// Removes it, whoever is still connected: many tests on one server would fill the disk.
    pub fn discard(&self) {
        let _ = self.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }

    /// Begins a transaction in it and leaves it open: what it has locked is locked until the session is dropped.
    #[must_use]
    pub fn session(&self, sql: &str) -> Session {
        self.server.session(&self.name, sql)
    }

    /// Runs SQL in it, past everything that the gateway's role may not do.
    #[must_use]
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}
