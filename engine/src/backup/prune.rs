//! Retention: which backups go, and how they go.

use std::collections::HashSet;
use std::fs;
use std::io;

use barkeeper_records::Timestamp;
use serde::Serialize;

use crate::backup::error::{BackupError, at};
use crate::backup::manifest::{BackupFile, BackupManifest};
use crate::backup::repository::{BackupRepository, FILES, Listed, MANIFESTS, TESTS};
use crate::backup::test::{BackupTest, Outcome};
use crate::folder;

/// Days that backups are kept where nothing is said.
const DEFAULT_DAYS: u32 = 30;
/// The most that may lie between two backups as far as their ages are concerned: a clock that jumps ten
/// years ahead ages those before it by a week.
const LONGEST_GAP: i64 = 7 * DAY;
const DAY: i64 = 86_400_000_000_000;

/// Which backups are kept. The newest one, the newest one that is not known to be bad, the last one that was tested
/// and found good, those whose manifest or test cannot be read, and those that were found good before a content of
/// theirs was found damaged are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Those that are not older than so many days; `None` for no rule about age.
    pub days: Option<u32>,
    /// So many of the newest, however old.
    pub last: u32,
}

impl Default for Retention {
    /// 30 days.
    fn default() -> Self {
        Self { days: Some(DEFAULT_DAYS), last: 1 }
    }
}

/// How backups are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneOptions {
    /// Changes nothing, and only says what would be removed.
    pub dry_run: bool,
    /// Removes backups whose manifest is damaged as well, however young: no restore can use them, and as long as one
    /// is there no content is removed. Kept are all of them where no other backup that stays is whole, as far as is
    /// known, and those that cannot be read for other reasons: a disk that fails, a newer program's format, another
    /// name.
    pub damaged: bool,
}

/// A backup that is kept or goes, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Its name.
    pub name: String,
    /// Whether it is kept.
    pub kept: bool,
    /// Why.
    pub why: &'static str,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PruneReport {
    /// Every backup, oldest first.
    pub backups: Vec<Pruned>,
    /// How many were removed.
    pub removed: u64,
    /// Contents that no backup needs any more.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Manifests that cannot be read and stay: as long as one is there, no contents are removed, because it may
    /// need them.
    pub unreadable: Vec<String>,
}

/// What the rules look at.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// When it was made; `None` where that cannot be read.
    at: Option<Timestamp>,
    verified: bool,
    /// Whether it is known to be bad.
    bad: bool,
    /// Why nobody knows whether it is good.
    doubt: Option<&'static str>,
}

/// The ages of backups in nanoseconds, oldest first. Time passes from one to the next as far as their
/// clocks say, but never backwards and never by more than [`LONGEST_GAP`].
fn ages(all: &[Seen], now: Timestamp) -> Vec<i64> {
    let mut ages = Vec::with_capacity(all.len());
    let (mut next, mut age) = (now, 0_i64);
    for seen in all.iter().rev() {
        if let Some(at) = seen.at {
            age = age.saturating_add(next.nanos().saturating_sub(at.nanos()).clamp(0, LONGEST_GAP));
            next = at;
        }
        ages.push(age);
    }
    ages.reverse();
    ages
}

/// Why each backup is kept; `None` for those that go. They stand oldest first.
fn kept(all: &[Seen], rules: &Retention, now: Timestamp) -> Vec<Option<&'static str>> {
    let last_verified = all.iter().rposition(|seen| seen.verified);
    let last_sound = all.iter().rposition(|seen| seen.at.is_some() && !seen.bad);
    let ages = ages(all, now);
    let reason = |(place, seen): (usize, &Seen)| {
        let age = ages.get(place).copied().unwrap_or_default();
        let newest_first = all.len() - place;
        if newest_first == 1 {
            Some("it is the newest")
        } else if Some(place) == last_verified {
            Some("it is the last one that was found good")
        } else if Some(place) == last_sound {
            Some("it is the newest that is not known to be bad")
        } else if seen.doubt.is_some() {
            seen.doubt
        } else if seen.at.is_none() {
            Some("its manifest cannot be read")
        } else if newest_first <= rules.last as usize {
            Some("it is one of the last")
        } else if rules.days.is_some_and(|days| age <= i64::from(days).saturating_mul(DAY)) {
            Some("it is young enough")
        } else {
            None
        }
    };
    all.iter().enumerate().map(reason).collect()
}

/// Why each backup is kept, where those whose manifest is broken may go; and whether they do. They stay where no other
/// that is kept is whole, as far as is known.
fn reasons(
    all: &[Seen],
    broken: Vec<bool>,
    rules: &Retention,
    now: Timestamp,
) -> (Vec<Option<&'static str>>, Vec<bool>) {
    // One that is no backup any more must not take the place of the newest, or of one of the last.
    let others: Vec<Seen> =
        all.iter().zip(&broken).filter(|(_, broken)| !**broken).map(|(seen, _)| seen.clone()).collect();
    let why = kept(&others, rules, now);
    let is_whole = |(seen, why): (&Seen, &Option<_>)| why.is_some() && seen.at.is_some() && !seen.bad;
    if others.iter().zip(&why).any(is_whole) {
        let mut why = why.into_iter();
        let why = broken.iter().map(|broken| if *broken { None } else { why.next().flatten() }).collect();
        (why, broken)
    } else {
        (kept(all, rules, now), vec![false; broken.len()])
    }
}

impl BackupRepository {
    /// Removes the backups that no rule keeps, and the contents that no backup needs any more.
    ///
    /// A backup's manifest goes first, its contents after: cut off at any moment, every backup that is
    /// left is whole.
    ///
    /// # Errors
    /// `NoRepository`, `Busy`, `Io`.
    pub fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        options: PruneOptions,
    ) -> Result<PruneReport, BackupError> {
        let dry_run = options.dry_run;
        self.must_exist()?;
        let _lock = if dry_run { self.lock_shared()? } else { Some(self.lock_alone()?) };
        let manifests = self.manifests()?;
        let look = |((name, read), test): (&Listed, Option<BackupTest>)| {
            let verified = test.as_ref().is_some_and(|test| test.verified_at.is_some());
            let bad = test.is_some_and(|test| matches!(test.outcome, Outcome::Failed { .. }))
                || read.as_ref().is_ok_and(|manifest| self.present(manifest).is_err());
            Seen {
                at: read.as_ref().ok().map(|manifest| manifest.at),
                verified: verified && !bad,
                bad,
                doubt: self.doubt_of(name, bad || !verified),
            }
        };
        let seen: Vec<Seen> = manifests.iter().zip(self.tests_of(&manifests)?).map(look).collect();
        let broken = |(name, read): &Listed| options.damaged && read.is_err() && self.is_broken(name);
        let broken: Vec<bool> = manifests.iter().map(broken).collect();
        let (reasons, broken) = reasons(&seen, broken, rules, now);
        let mut report = PruneReport::default();
        let mut needed: HashSet<String> = HashSet::new();
        for (((name, read), why), broken) in manifests.iter().zip(reasons).zip(broken) {
            let name = name.clone();
            let gone = if broken { "its manifest is damaged" } else { "no rule keeps it" };
            report.backups.push(Pruned { name: name.clone(), kept: why.is_some(), why: why.unwrap_or(gone) });
            match (why, read) {
                (Some(_), Ok(manifest)) => needed.extend(manifest.files.iter().map(BackupFile::object)),
                (Some(_), Err(_)) => report.unreadable.push(name),
                (None, _) => {
                    report.removed += 1;
                    if !dry_run {
                        self.remove_manifest(&name)?;
                    }
                }
            }
        }
        if report.unreadable.is_empty() {
            self.sweep(&needed, dry_run, &mut report)?;
        }
        if !dry_run {
            self.clean_partial()?;
        }
        Ok(report)
    }

    /// Why nobody knows whether a backup is good. One that was found good itself and has since been found bad in
    /// what it shares is in doubt: the content may have been written anew by a later backup.
    fn doubt_of(&self, name: &str, bad: bool) -> Option<&'static str> {
        if self.is_test_lost(name) {
            Some("what its test found cannot be read")
        } else if bad && self.test_of(name).is_some_and(|own| own.verified_at.is_some()) {
            Some("it was found good, and a content that it shares was found damaged")
        } else {
            None
        }
    }

    /// Whether a manifest's bytes are not those that were written, read once more.
    fn is_broken(&self, name: &str) -> bool {
        let bytes = fs::read(self.path(MANIFESTS, &format!("{name}.json")));
        bytes.is_ok_and(|bytes| !BackupManifest::is_as_written(&bytes))
    }

    fn remove_manifest(&self, name: &str) -> Result<(), BackupError> {
        let path = self.path(MANIFESTS, &format!("{name}.json"));
        self.step("a backup goes")?;
        fs::remove_file(&path).map_err(at(&path))?;
        let dir = self.folder().join(MANIFESTS);
        folder::sync_dir(&dir).map_err(at(&dir))?;
        self.step("a backup is gone")?;
        let test = self.path(TESTS, &format!("{name}.json"));
        match fs::remove_file(&test) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&test)(error)),
            _ => Ok(()),
        }
    }

    /// Removes the contents that nobody needs.
    fn sweep(
        &self,
        needed: &HashSet<String>,
        dry_run: bool,
        report: &mut PruneReport,
    ) -> Result<(), BackupError> {
        let dir = self.folder().join(FILES);
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let entry = entry.map_err(at(&dir))?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| needed.contains(name)) {
                continue;
            }
            report.files += 1;
            report.bytes += entry.metadata().map_err(at(&dir))?.len();
            if !dry_run {
                self.step("a content goes")?;
                fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        if !dry_run {
            for object in self.bad_contents()?.keys().filter(|object| !needed.contains(*object)) {
                self.clear_bad(object)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at_day(day: i64) -> Timestamp {
        Timestamp::from_nanos(1_700_000_000_000_000_000 + day * DAY)
    }

    fn seen(days: &[i64]) -> Vec<Seen> {
        days.iter().map(|day| Seen { at: Some(at_day(*day)), ..Seen::default() }).collect()
    }

    fn places(kept: &[Option<&str>]) -> Vec<usize> {
        kept.iter().enumerate().filter(|(_, why)| why.is_some()).map(|(place, _)| place).collect()
    }

    #[test]
    fn thirty_days_are_kept_by_a_clock_that_goes_right() {
        let daily: Vec<i64> = (0..100).collect();
        let kept = kept(&seen(&daily), &Retention::default(), at_day(100));
        assert_eq!(places(&kept), (70..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_count_keeps_the_newest_however_old() {
        let rules = Retention { days: None, last: 3 };
        assert_eq!(places(&kept(&seen(&[0, 1, 2, 3, 4]), &rules, at_day(4_000))), [2, 3, 4]);
        let none = Retention { days: Some(0), last: 0 };
        assert_eq!(places(&kept(&seen(&[0, 1, 2]), &none, at_day(3))), [2], "the newest one stays");
        assert_eq!(places(&kept(&seen(&[0]), &none, at_day(3_000))), [0], "the only one stays");
    }

    #[test]
    fn a_jump_of_ten_years_removes_next_to_nothing() {
        let mut days: Vec<i64> = (0..30).collect();
        days.extend([3_650, 3_651]);
        let after = kept(&seen(&days), &Retention::default(), at_day(3_651));
        assert_eq!(places(&after), (7..32).collect::<Vec<_>>());
        let back = kept(&seen(&[3_650, 3_651, 0, 1, 2]), &Retention::default(), at_day(2));
        assert_eq!(places(&back).len(), 5);
    }

    #[test]
    fn one_whose_test_cannot_be_read_stays_beside_the_last_good_one() {
        let mut all = seen(&[0, 50, 100, 200]);
        (all[0].verified, all[1].doubt) = (true, Some("unreadable"));
        let rules = Retention { days: Some(1), last: 1 };
        assert_eq!(places(&kept(&all, &rules, at_day(200))), [0, 1, 3]);
    }

    #[test]
    fn one_whose_manifest_cannot_be_read_stays() {
        let mut all = seen(&[0, 100, 200]);
        all[0].at = None;
        let rules = Retention { days: Some(1), last: 1 };
        assert_eq!(places(&kept(&all, &rules, at_day(200))), [0, 2]);
    }

    #[test]
    fn the_newest_that_is_not_known_to_be_bad_stays_beside_a_bad_newest_one() {
        let mut all = seen(&[0, 40, 80]);
        all[2].bad = true;
        let rules = Retention { days: Some(1), last: 1 };
        assert_eq!(places(&kept(&all, &rules, at_day(80))), [1, 2]);
        // Nobody knows what is in one that cannot be read.
        all[1].at = None;
        assert_eq!(places(&kept(&all, &rules, at_day(80))), [0, 1, 2]);
    }

    #[test]
    fn the_last_good_one_is_one_that_is_not_known_to_be_bad_since() {
        let mut all = seen(&[0, 40, 80]);
        (all[0].verified, all[1].bad) = (true, true);
        let rules = Retention { days: Some(1), last: 1 };
        assert_eq!(places(&kept(&all, &rules, at_day(80))), [0, 2]);
    }

    #[test]
    fn broken_ones_go_only_beside_a_whole_one_that_stays() {
        let rules = Retention { days: Some(1), last: 1 };
        let mut all = seen(&[0, 40, 80]);
        all[2].at = None;
        let broken = vec![false, false, true];
        let (why, gone) = reasons(&all, broken.clone(), &rules, at_day(80));
        assert_eq!((places(&why), &gone), (vec![1], &broken));
        // The other one that is young is bad: an older one stays for it.
        all[1].bad = true;
        assert_eq!(places(&reasons(&all, broken.clone(), &rules, at_day(80)).0), [0, 1]);
        all[0].bad = true;
        let (why, gone) = reasons(&all, broken, &rules, at_day(80));
        assert_eq!((places(&why).contains(&2), gone), (true, vec![false; 3]));
    }

    proptest! {
        #[test]
        fn whatever_the_clocks_say_the_newest_and_the_last_good_one_stay(
            times in prop::collection::vec((any::<i64>(), any::<bool>(), any::<bool>()), 1..60),
            now in any::<i64>(),
            days in prop::option::of(0_u32..1_000),
            last in 0_u32..9,
        ) {
            let all: Vec<Seen> = times
                .iter()
                .map(|(at, verified, bad)| Seen {
                    at: Some(Timestamp::from_nanos(*at)),
                    verified: *verified,
                    bad: *bad,
                    doubt: None,
                })
                .collect();
            let kept = kept(&all, &Retention { days, last }, Timestamp::from_nanos(now));
            prop_assert!(kept.last().unwrap().is_some());
            if let Some(sound) = all.iter().rposition(|seen| !seen.bad) {
                prop_assert!(kept[sound].is_some());
            }
            if let Some(good) = all.iter().rposition(|seen| seen.verified) {
                prop_assert!(kept[good].is_some());
            }
            prop_assert!(kept.iter().filter(|why| why.is_some()).count() >= all.len().min(last as usize));
        }

        #[test]
        fn one_jump_of_any_size_ages_no_backup_by_more_than_a_week(
            gaps in prop::collection::vec(0_i64..=7 * DAY, 1..60),
            jump_at in 0_usize..60,
            jump in any::<i64>(),
        ) {
            let mut truth = Vec::new();
            let mut time = 1_700_000_000_000_000_000_i64;
            for gap in &gaps {
                truth.push(time);
                time += gap;
            }
            let shown: Vec<Seen> = truth
                .iter()
                .enumerate()
                .map(|(place, at)| {
                    let at = if place >= jump_at { at.saturating_add(jump) } else { *at };
                    Seen { at: Some(Timestamp::from_nanos(at)), ..Seen::default() }
                })
                .collect();
            let now = Timestamp::from_nanos(if jump_at < 60 { time.saturating_add(jump) } else { time });
            for (age, at) in ages(&shown, now).into_iter().zip(&truth) {
                prop_assert!(age <= (time - at).saturating_add(LONGEST_GAP));
            }
        }

        #[test]
        fn a_clock_that_goes_right_keeps_exactly_the_young(
            gaps in prop::collection::vec(0_i64..=7 * DAY, 1..60),
            days in 0_u32..100,
        ) {
            let mut times = Vec::new();
            let mut time = 1_700_000_000_000_000_000_i64;
            for gap in &gaps {
                times.push(time);
                time += gap;
            }
            let all: Vec<Seen> =
                times.iter().map(|at| Seen { at: Some(Timestamp::from_nanos(*at)), ..Seen::default() }).collect();
            let rules = Retention { days: Some(days), last: 0 };
            let kept = kept(&all, &rules, Timestamp::from_nanos(time));
            let young = |at: &i64| time - at <= i64::from(days) * DAY;
            let expected: Vec<usize> = (0..times.len()).filter(|place| young(&times[*place]) || place + 1 == times.len()).collect();
            prop_assert_eq!(places(&kept), expected);
        }
    }
}
