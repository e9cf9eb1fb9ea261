//! The folder and its disk: may it be written to, is it one for a store, how much room, how fast.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Check, DoctorSettings};
use crate::config::Config;

/// Renames that are tried.
const RENAMES: usize = 20;
/// Flushes that are timed.
const FLUSHES: usize = 48;
/// Below this much free space a store may stop at any moment, and below the second one it will soon.
const LITTLE: u64 = 128 << 20;
const SCARCE: u64 = 2 << 30;

/// A name for a file of a probe, which no other process takes at the same time.
fn probe(folder: &Path, what: &str) -> PathBuf {
    folder.join(format!(".barkeeper-probe-{}-{what}", std::process::id()))
}

pub(super) fn folder(folder: &Path, with_store: &str) -> Check {
    const NAME: &str = "folder";
    if !folder.is_dir() {
        return Check::failed(NAME, format!("there is no folder {}", folder.display()))
            .hint(format!("barkeeper init{with_store}"));
    }
    let file = probe(folder, "write");
    let tried = File::create(&file).and_then(|mut file| file.write_all(b"probe"));
    drop(fs::remove_file(&file));
    match tried {
        Ok(()) => Check::ok(NAME, format!("{} can be written to", folder.display())),
        Err(error) => Check::failed(NAME, format!("{} cannot be written to: {error}", folder.display()))
            .hint("give your user the right to write there, or move the store"),
    }
}

pub(super) fn place(settings: &DoctorSettings, config: Option<&Config>) -> Check {
    const NAME: &str = "place";
    if !settings.folder.is_dir() {
        return Check::skipped(NAME, "there is no folder");
    }
    match barkeeper::shared_folder(&settings.folder, &settings.cloud_folders) {
        None => Check::ok(NAME, "a local folder"),
        Some(why) => {
            let allowed = config.is_some_and(|config| config.allow_shared_folder);
            let check = if allowed {
                Check::warning(NAME, format!("{why}; the settings allow it"))
            } else {
                Check::failed(NAME, why.to_string())
            };
            check.hint(
                "move the folder to a local disk, and keep backups there: barkeeper backup create --to DIR",
            )
        }
    }
}

pub(super) fn space(folder: &Path) -> Check {
    const NAME: &str = "space";
    // A folder that does not exist yet will lie on the disk of the one above it.
    let there = folder.ancestors().find(|path| path.is_dir()).unwrap_or(folder);
    let free = match fs4::available_space(there) {
        Ok(free) => free,
        Err(error) => return Check::skipped(NAME, error.to_string()),
    };
    let detail = format!("{} MiB are free", free >> 20);
    let check = match free {
        _ if free < LITTLE => Check::failed(NAME, detail).hint("free some space now"),
        _ if free < SCARCE => Check::warning(NAME, detail)
            .hint("free some space: barkeeper backup prune --dry-run shows what backups could give back"),
        _ => Check::ok(NAME, detail),
    };
    check.value("free_bytes", free)
}

/// Creates, renames over another file and deletes, again and again: what virus scanners hold is seen here.
pub(super) fn rename(folder: &Path) -> Check {
    const NAME: &str = "rename";
    let (from, to) = (probe(folder, "from"), probe(folder, "to"));
    let once = || {
        let begun = Instant::now();
        File::create(&from)?.write_all(b"probe")?;
        fs::rename(&from, &to)?;
        Ok(begun.elapsed())
    };
    let tried: io::Result<Vec<Duration>> = (0..RENAMES).map(|_| once()).collect();
    drop(fs::remove_file(&from));
    let removed = fs::remove_file(&to);
    match tried.and_then(|times| removed.map(|()| times)) {
        Ok(times) => timed(NAME, times, "to create a file and rename it over another", 200.0)
            .unwrap_or_else(|slow| slow.hint("tell the virus scanner to leave the store's folder alone")),
        Err(error) => {
            Check::failed(NAME, format!("a file could not be created, renamed and deleted: {error}"))
                .hint("tell the virus scanner to leave the store's folder alone, then try again")
        }
    }
}

/// How long it takes until a small write is on the disk: the price of a commit.
pub(super) fn fsync(folder: &Path) -> Check {
    const NAME: &str = "fsync";
    let path = probe(folder, "flush");
    let tried = || {
        let mut file = File::create(&path)?;
        let block = [1; 4_096];
        let mut times = Vec::with_capacity(FLUSHES);
        for _ in 0..FLUSHES {
            let begun = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        Ok::<_, io::Error>(times)
    };
    let tried = tried();
    drop(fs::remove_file(&path));
    match tried {
        Ok(times) => timed(NAME, times, "until a write is on the disk", 100.0).unwrap_or_else(|slow| {
            slow.hint(
                "every commit waits so long: a solid state disk is faster, and nothing else may keep it busy",
            )
        }),
        Err(error) => Check::failed(NAME, format!("a write could not be flushed: {error}"))
            .hint("do not trust this disk"),
    }
}

/// Median and maximum; an error where the median is above so many milliseconds.
fn timed(name: &'static str, mut times: Vec<Duration>, what: &str, limit_ms: f64) -> Result<Check, Check> {
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| (time.as_secs_f64() * 1e6).round() / 1e3);
    let (median, max) = (ms(times.get(times.len() / 2)), ms(times.last()));
    let detail = format!("{median:.2} ms {what} (median of {}), {max:.2} ms at the most", times.len());
    let slow = median > limit_ms;
    let check = if slow { Check::warning(name, detail) } else { Check::ok(name, detail) };
    let check = check.value("median_ms", median).value("max_ms", max);
    if slow { Err(check) } else { Ok(check) }
}

#[cfg(test)]
mod tests {
    use super::super::CheckState;
    use super::*;

    #[test]
    fn probes_leave_nothing_behind_and_measure_something() {
        let dir = tempfile::tempdir().unwrap();
        for check in [folder(dir.path(), ""), rename(dir.path()), fsync(dir.path()), space(dir.path())] {
            assert_ne!(check.state, CheckState::Skipped, "{check:?}");
            assert!(check.hint.is_some() || check.state == CheckState::Ok, "{check:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(fsync(dir.path()).values.contains_key("median_ms"));
    }

    #[test]
    fn a_folder_that_is_not_there_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert_eq!(folder(&none, " --store none").hint.as_deref(), Some("barkeeper init --store none"));
        assert_eq!(rename(&none).state, CheckState::Failed);
        assert_eq!(fsync(&none).state, CheckState::Failed);
        assert_eq!(space(&none).state, space(dir.path()).state);
    }

    #[test]
    fn slow_is_a_warning_with_its_numbers() {
        let times = vec![Duration::from_millis(300), Duration::from_millis(100), Duration::from_millis(200)];
        let slow = timed("fsync", times.clone(), "each", 150.0).unwrap_err();
        assert_eq!((slow.state, &slow.values["median_ms"]), (CheckState::Warning, &serde_json::json!(200.0)));
        assert_eq!(timed("fsync", times, "each", 250.0).unwrap().values["max_ms"], serde_json::json!(300.0));
    }
}
