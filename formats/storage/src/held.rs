//! Patience with files that another program holds. Virus scanners, indexers and copying programs open a new
//! file without sharing it, and Windows then refuses to open, rename or remove it for a moment.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The first pause; each next one is 1.6 times as long.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);
/// All pauses together.
const TOTAL: Duration = Duration::from_secs(10);
/// A wait that people notice, and are told about.
const NOTICED: Duration = Duration::from_secs(1);

/// Whether an error says that another program holds the file: access denied, sharing or lock violation, a
/// mapped section, and the three failures of a replacement. It is never so where Unix says it.
pub fn is_held(error: &io::Error) -> bool {
    cfg!(windows) && is_held_code(error.raw_os_error())
}

const fn is_held_code(code: Option<i32>) -> bool {
    matches!(code, Some(5 | 32 | 33 | 1175..=1177 | 1224))
}

/// Opens, renames, replaces or removes a file; while another program holds it, again after a pause, for 10
/// seconds in all. Says so once, as a warning of the crate `log`, where it takes longer than a second.
///
/// # Errors
/// The last error of the operation. A full or protected disk and a missing file are not waited for.
pub fn while_held<T>(path: &Path, operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    while_held_in(path, is_held, operation)
}

/// As [`while_held`] for an operation whose error is not the system's; `holds` tells which ones to wait for.
///
/// # Errors
/// The last error of the operation.
pub fn while_held_in<T, E>(
    path: &Path,
    holds: impl Fn(&E) -> bool,
    operation: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut waited = Duration::ZERO;
    again(holds, operation, |pause| {
        if waited < NOTICED && waited + pause >= NOTICED {
            let most = TOTAL.as_secs();
            log::warn!("{}: another program holds it; waiting for up to {most} s", path.display());
        }
        waited += pause;
        std::thread::sleep(pause);
    })
}

/// Whether an error says that a folder cannot be removed yet: another program holds something in it, or has
/// a file open whose name stays until it is closed.
pub fn is_held_folder(error: &io::Error) -> bool {
    cfg!(windows) && is_held_folder_code(error.raw_os_error())
}

const fn is_held_folder_code(code: Option<i32>) -> bool {
    is_held_code(code) || matches!(code, Some(145))
}

/// Removes a folder with everything in it, with the patience of [`while_held`].
///
/// # Errors
/// The last error of the operation; `NotFound` where there was no such folder to begin with.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let mut tried = false;
    while_held_in(path, is_held_folder, || match fs::remove_dir_all(path) {
        Err(error) if tried && error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => {
            tried = true;
            done
        }
    })
}

fn again<T, E>(
    holds: impl Fn(&E) -> bool,
    mut operation: impl FnMut() -> Result<T, E>,
    mut wait: impl FnMut(Duration),
) -> Result<T, E> {
    let (mut pause, mut waited) = (FIRST, Duration::ZERO);
    loop {
        match operation() {
            Err(error) if waited < TOTAL && holds(&error) => {
                wait(pause);
                waited += pause;
                pause = pause.mul_f64(1.6).min(LONGEST);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often an operation was tried that fails `times` times with an error, how long was waited, and
    /// whether it went well.
    fn tried(code: i32, times: usize) -> (usize, Duration, bool) {
        let (mut count, mut waited) = (0, Duration::ZERO);
        let operation = || {
            count += 1;
            if count <= times { Err(io::Error::from_raw_os_error(code)) } else { Ok(()) }
        };
        let holds = |error: &io::Error| is_held_code(error.raw_os_error());
        let done = again(holds, operation, |pause| waited += pause);
        (count, waited, done.is_ok())
    }

    #[test]
    fn a_held_file_is_waited_for() {
        for code in [5, 32, 33, 1175, 1176, 1177, 1224] {
            assert_eq!(tried(code, 0), (1, Duration::ZERO, true));
            assert_eq!(tried(code, 3), (4, Duration::from_micros(10_000 + 16_000 + 25_600), true));
        }
    }

    #[test]
    fn patience_ends_after_ten_seconds() {
        let (count, waited, well) = tried(32, usize::MAX);
        assert!(!well && count > 20, "{count}");
        assert!(waited >= TOTAL && waited < TOTAL + LONGEST, "{waited:?}");
    }

    #[test]
    fn a_folder_whose_entries_are_still_going_is_waited_for() {
        assert!(is_held_folder_code(Some(145)) && is_held_folder_code(Some(32)));
        assert!(!is_held_folder_code(Some(2)) && !is_held_folder_code(None));
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir_all(folder.join("in it")).unwrap();
        fs::write(folder.join("in it/file"), "x").unwrap();
        remove_folder(&folder).unwrap();
        assert!(!folder.exists());
        assert_eq!(remove_folder(&folder).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[cfg(windows)]
    fn a_folder_with_an_open_file_is_removed_when_that_is_closed() {
        use std::fs::OpenOptions;
        use std::os::windows::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        let file = OpenOptions::new().read(true).share_mode(0).open(folder.join("file")).unwrap();
        let holder = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(file);
        });
        remove_folder(&folder).unwrap();
        holder.join().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn nothing_else_is_waited_for() {
        // Not found, protected, disk full, a folder that is not empty, already exists.
        for code in [2, 19, 112, 145, 183] {
            assert_eq!(tried(code, 1), (1, Duration::ZERO, false));
        }
    }

    #[test]
    #[cfg(windows)]
    fn a_file_held_without_sharing_is_opened_renamed_and_removed_when_it_is_let_go() {
        use std::fs::{File, OpenOptions};
        use std::os::windows::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "x").unwrap();
        let held_for_a_moment = |path: &Path| {
            let file = OpenOptions::new().read(true).share_mode(0).open(path).unwrap();
            assert!(is_held(&File::open(path).unwrap_err()));
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                drop(file);
            })
        };
        let holder = held_for_a_moment(&a);
        while_held(&a, || File::open(&a)).unwrap();
        holder.join().unwrap();
        let holder = held_for_a_moment(&a);
        while_held(&a, || fs::rename(&a, &b)).unwrap();
        holder.join().unwrap();
        fs::write(&a, "y").unwrap();
        let holder = held_for_a_moment(&b);
        while_held(&b, || fs::rename(&a, &b)).unwrap();
        holder.join().unwrap();
        assert_eq!(fs::read_to_string(&b).unwrap(), "y");
        let holder = held_for_a_moment(&b);
        while_held(&b, || fs::remove_file(&b)).unwrap();
        holder.join().unwrap();
        assert!(!b.exists());
    }
}
