//! Replacing a small file whole: a reader sees the old content or the new one, never half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Attempts at a rename that another program's open handle forbids.
const ATTEMPTS: u32 = 20;
/// Between two attempts; virus scanners hold a new file for about a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes beside the file, syncs, renames over it, syncs the folder.
///
/// # Errors
/// Whatever the operating system says; the old content then stands.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".barkeeper-").suffix(".tmp").tempfile_in(folder)?;
    if let Ok(old) = fs::metadata(path) {
        new.as_file().set_permissions(old.permissions())?;
    }
    new.write_all(content)?;
    new.as_file().sync_all()?;
    let new = new.into_temp_path();
    rename(&new, path)?;
    // The name is gone already: there is nothing left to remove.
    drop(new.keep());
    sync_folder(folder)
}

/// Renames over a file, waiting a moment for programs that hold it.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 1..ATTEMPTS {
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && cfg!(windows) => {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
    fs::rename(from, to)
}

/// Makes a rename last. Windows keeps folder entries in its own journal and opens no folder as a file.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("none/a.toml"), b"x").is_err());
    }
}
