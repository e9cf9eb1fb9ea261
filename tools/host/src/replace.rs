//! Replacing a small file whole: a reader sees the old content or the new one, never half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use barkeeper_storage::while_held;

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
    while_held(path, || fs::rename(&new, path))?;
    // The name is gone already: there is nothing left to remove.
    drop(new.keep());
    sync_folder(folder)
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
