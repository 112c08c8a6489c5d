//! The software HSM's token, which does not survive what a gateway does.
//!
//! SoftHSM2 rewrites its token file at every login: it truncates, then writes. A process that is killed in between leaves an empty file,
//! and the token with its keys is gone. That was found here, at the 704th kill. A real HSM keeps its token where no client's death
//! reaches it, so the file is put back as a real HSM would have kept it; what this run is about is the gateway.

use std::fs;
use std::path::{Path, PathBuf};

use crate::site::Site;

/// The files of a token as they were when all was well.
pub(super) struct Token {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Token {
    /// Remembers the token that `cashgate init` made.
    pub(super) fn of(site: &Site) -> Result<Self, String> {
        Self::under(&site.dir().join("softhsm-tokens"))
    }

    fn under(folder: &Path) -> Result<Self, String> {
        let cannot = |error| format!("cannot read {}: {error}", folder.display());
        let mut files = Vec::new();
        for token in fs::read_dir(folder).map_err(cannot)? {
            for file in fs::read_dir(token.map_err(cannot)?.path()).map_err(cannot)? {
                let path = file.map_err(cannot)?.path();
                let content = fs::read(&path).map_err(cannot)?;
                files.push((path, content));
            }
        }
        if files.is_empty() { Err(format!("there is no token in {}", folder.display())) } else { Ok(Self { files }) }
    }

    /// Puts back every file that was left shorter or longer than it was. Whether there was any. No gateway may run.
    pub(super) fn mend(&self) -> Result<bool, String> {
        let mut mended = false;
        for (path, content) in &self.files {
            let length = fs::metadata(path).map(|found| found.len());
            if !length.is_ok_and(|length| length == content.len() as u64) {
                fs::write(path, content).map_err(|error| format!("cannot mend {}: {error}", path.display()))?;
                mended = true;
            }
        }
        Ok(mended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_was_cut_off_is_put_back() {
        let folder = std::env::temp_dir().join(format!("xtask-token-{}", std::process::id()));
        let file = folder.join("a-token").join("token.object");
        fs::create_dir_all(folder.join("a-token")).unwrap();
        fs::write(&file, "whole").unwrap();
        let token = Token::under(&folder).unwrap();
        assert!(!token.mend().unwrap(), "nothing to mend");
        fs::write(&file, "").unwrap();
        assert!(token.mend().unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"whole");
        fs::remove_dir_all(&folder).unwrap();
        assert!(Token::under(&folder).is_err());
    }
}
