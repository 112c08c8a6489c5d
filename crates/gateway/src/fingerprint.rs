//! Whether files are as they were: a digest over their names and contents.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

/// A digest over files, in the order in which they are added. What cannot be read is different from what could.
pub(crate) struct Fingerprint(Context);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// A file with its name.
    pub(crate) fn add(&mut self, file: &Path) {
        self.0.update(file.as_os_str().as_encoded_bytes());
        match fs::read(file) {
            Ok(bytes) => {
                self.0.update(&(bytes.len() as u64).to_be_bytes());
                self.0.update(&bytes);
            }
            Err(error) => self.add_error(&error),
        }
    }

    /// Why something could not be read.
    pub(crate) fn add_error(&mut self, error: &std::io::Error) {
        self.0.update(error.to_string().as_bytes());
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        let mut found = [0; 32];
        found.copy_from_slice(self.0.finish().as_ref());
        found
    }
}
