//! The machine around the store: the program, its clock, and who has the store.

use std::path::Path;
use std::time::Instant;

use barkeeper::Owner;
use barkeeper_records::{Clock as _, Timestamp};

use super::{Check, DoctorSettings, second};
use crate::clock::SystemClock;

const SECOND: i64 = 1_000_000_000;
/// How far the newest stored time may lie ahead of the clock.
const AHEAD: i64 = 5 * 60 * SECOND;
/// How much the wall clock may lose or gain against the steady one while the doctor looks.
const DRIFT: i64 = SECOND / 2;

pub(super) fn program(settings: &DoctorSettings) -> Check {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let detail = format!("barkeeper {} on {system} {processor}", settings.version);
    Check::ok("program", detail).value("version", settings.version.as_str())
}

/// The wall clock and the steady one at the same moment.
pub(super) struct Drift {
    wall: Timestamp,
    steady: Instant,
}

impl Drift {
    pub(super) fn begin() -> Self {
        Self { wall: SystemClock.now(), steady: Instant::now() }
    }

    /// By how much the wall clock has gained on the steady one.
    fn gained(&self, wall: Timestamp) -> i64 {
        let steady = i64::try_from(self.steady.elapsed().as_nanos()).unwrap_or(i64::MAX);
        wall.nanos().saturating_sub(self.wall.nanos()).saturating_sub(steady)
    }
}

pub(super) fn clock(drift: &Drift, newest: Option<Timestamp>) -> Check {
    let now = SystemClock.now();
    judge_clock(now, drift.gained(now), newest)
}

fn judge_clock(now: Timestamp, gained: i64, newest: Option<Timestamp>) -> Check {
    const NAME: &str = "clock";
    const HINT: &str = "set the clock, and let it be set by a time server";
    let shown = second(now);
    let ahead = newest.map_or(0, |newest| newest.nanos().saturating_sub(now.nanos()));
    let check = if now.nanos() < 1_704_067_200 * SECOND {
        Check::failed(NAME, format!("it shows {shown}, before this program was made")).hint(HINT)
    } else if ahead > AHEAD {
        let detail =
            format!("it shows {shown}; something is stored that was written {} s later", ahead / SECOND);
        Check::warning(NAME, detail).hint(HINT)
    } else if gained.abs() > DRIFT {
        let detail = format!("it moved by {} ms against the steady clock meanwhile", gained / 1_000_000);
        Check::warning(NAME, detail).hint(HINT)
    } else {
        Check::ok(NAME, format!("it shows {shown}, and nothing stored is later"))
    };
    check.value("gained_ms", gained / 1_000_000).value("newest_ahead_s", ahead.max(0) / SECOND)
}

/// Whether another process has the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    /// No.
    Free,
    /// The one of the note.
    By(Owner),
    /// One that left no note.
    Unnamed,
}

/// Who has the store, and whether that process still lives.
pub(super) fn owner(folder: &Path, held: &Held, exists: bool) -> Check {
    const NAME: &str = "owner";
    let owner = match held {
        Held::Free if exists => return Check::ok(NAME, "nobody else has the store open"),
        Held::Free => return Check::skipped(NAME, "there is no store"),
        Held::Unnamed => {
            return Check::warning(
                NAME,
                format!("another process has the store in {} open", folder.display()),
            )
            .hint("find out which one: it left no note");
        }
        Held::By(owner) => owner,
    };
    let who = format!("{} (process {}, since {})", owner.program, owner.pid, second(owner.since));
    let check = match is_alive(owner.pid) {
        Some(false) => {
            Check::warning(NAME, format!("the note names {who}, which is gone; another one has it"))
                .hint("find out which process has the store open")
        }
        _ => Check::ok(NAME, format!("{who} has the store open")),
    };
    check.value("pid", owner.pid).value("program", owner.program.as_str())
}

/// Whether a process lives; `None` where the system does not tell those who may not touch it.
fn is_alive(pid: u32) -> Option<bool> {
    let processes = Path::new("/proc");
    // A folder of that name on another system says nothing of processes.
    (cfg!(target_os = "linux") && processes.join("self").exists())
        .then(|| processes.join(pid.to_string()).exists())
}

#[cfg(test)]
mod tests {
    use super::super::CheckState;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_behind_what_is_stored_or_running_away_is_told() {
        let now = at("2026-11-21T00:00:00Z");
        assert_eq!(judge_clock(now, 0, None).state, CheckState::Ok);
        assert_eq!(judge_clock(now, 0, Some(at("2026-11-21T00:04:00Z"))).state, CheckState::Ok);
        let behind = judge_clock(now, 0, Some(at("2026-11-21T01:00:00Z")));
        assert_eq!((behind.state, &behind.values["newest_ahead_s"]), (CheckState::Warning, &3_600.into()));
        assert_eq!(judge_clock(now, -2 * SECOND, None).state, CheckState::Warning);
        assert_eq!(judge_clock(at("1999-01-01T00:00:00Z"), 0, None).state, CheckState::Failed);
        assert!(Drift::begin().gained(SystemClock.now()).abs() < 3_600 * SECOND);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_owner_is_named_and_a_dead_one_is_told_from_a_living_one() {
        let owner =
            |pid| Held::By(Owner { pid, program: "desk".to_owned(), since: at("2026-11-21T00:00:00Z") });
        let folder = Path::new("store");
        assert_eq!(super::owner(folder, &Held::Free, true).state, CheckState::Ok);
        assert_eq!(super::owner(folder, &Held::Free, false).state, CheckState::Skipped);
        let living = super::owner(folder, &owner(std::process::id()), true);
        assert_eq!(living.state, CheckState::Ok);
        assert!(living.detail.starts_with("desk (process "), "{}", living.detail);
        if is_alive(1).is_some() {
            // No system gives out a number as high as this one.
            assert_eq!(super::owner(folder, &owner(u32::MAX), true).state, CheckState::Warning);
        }
        assert_eq!(super::owner(folder, &Held::Unnamed, true).state, CheckState::Warning);
    }
}
