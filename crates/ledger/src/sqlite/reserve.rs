//! A reserve of disk space: a file that is given up when the disk is full, so that what still must be recorded finds room.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The file `<ledger>.reserve`.
pub(crate) struct Reserve {
    path: PathBuf,
    /// How long it is to be; 0: none is wanted.
    bytes: u64,
}

impl Reserve {
    /// The reserve of the ledger at `path`, as it was left; nothing is done yet.
    pub(crate) fn beside(path: &Path, bytes: u64) -> Self {
        let mut name = OsString::from(path);
        name.push(".reserve");
        Self { path: name.into(), bytes }
    }

    /// Gives the space back to the disk. `false` if there was none to give.
    ///
    /// # Errors
    ///
    /// The file is there and stays, or its folder could not be synced. The sync makes file systems with a journal of their own hand
    /// the blocks out at once.
    pub(crate) fn release(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        if cfg!(unix)
            && let Some(folder) = self.path.parent()
        {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()?;
        }
        Ok(true)
    }

    /// Sees to it that the space is taken: keeps a file of the right size, and writes one otherwise. `false` if the disk has no room for
    /// it; what was written of it is given back at once.
    ///
    /// No failure here is one of the ledger. A failed sync neither: the file holds nothing, so nothing can be lost with it.
    pub(crate) fn restore(&self) -> bool {
        if self.bytes == 0 || self.is_whole() {
            return true;
        }
        match self.write() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the reserve of disk space could not be made");
                let _ = self.release();
                false
            }
        }
    }

    fn is_whole(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes && blocks_of(&found) >= self.bytes)
    }

    fn write(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let mut written = 0;
        while written < self.bytes {
            let block = noise.block();
            let left = usize::try_from(self.bytes - written).unwrap_or(usize::MAX).min(block.len());
            file.write_all(block.get(..left).unwrap_or(&block))?;
            written += left as u64;
        }
        file.sync_all()
    }
}

/// How many bytes a file really takes. A copy (a restored backup, say) may have the length without the blocks.
#[cfg(unix)]
fn blocks_of(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    file.blocks().saturating_mul(512) // The unit of `st_blocks`, whatever the file system's own is.
}

#[cfg(not(unix))]
fn blocks_of(file: &fs::Metadata) -> u64 {
    file.len()
}

/// Bytes without a pattern: a file system that compresses would keep next to nothing of a file of zeros. (xorshift64)
struct Noise(u64);

impl Noise {
    fn block(&mut self) -> [u8; 64 * 1024] {
        let mut block = [0; 64 * 1024];
        for word in block.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_takes_real_blocks_is_kept_and_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("ledger.db"), 100_000);
        let file = folder.path().join("ledger.db.reserve");
        assert!(reserve.restore());
        let made = fs::metadata(&file).unwrap();
        assert!(made.len() == 100_000 && blocks_of(&made) >= 100_000, "{made:?}");
        assert!(reserve.restore());
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), made.modified().unwrap(), "it was written again");
        assert!(reserve.release().unwrap());
        assert!(!file.exists());
        assert!(!reserve.release().unwrap(), "there was nothing to give");
    }

    #[test]
    fn a_file_of_another_size_or_without_blocks_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("ledger.db"), 100_000);
        let file = folder.path().join("ledger.db.reserve");
        for length in [7, 100_000, 200_000] {
            File::create(&file).unwrap().set_len(length).unwrap(); // sparse
            assert!(!reserve.is_whole());
            assert!(reserve.restore());
            assert!(reserve.is_whole());
        }
    }
}
