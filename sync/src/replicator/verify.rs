//! Comparing and mending a target from within its replicator, which alone writes to it.

use std::sync::atomic::AtomicBool;

use barkeeper_records::Change;

use super::{Reached, Replicator, Resolution, Step, Trouble};
use crate::check::{CheckError, CheckOptions, Checker};
use crate::compare::compare;
use crate::memory::MemoryError;
use crate::repair::{RepairError, RepairOptions, RepairReport, repair};
use crate::report::{BucketDifference, CheckReport, Difference, DifferenceKind, Verdict};
use crate::sink::Access;
use crate::state::{Mode, QuarantineReason, State};

/// How often a bucket is looked at that is being written.
const ROUNDS: u32 = 3;
/// Rows that are mended in one transaction.
const MEND_ROWS: usize = 5_000;

/// Why a target could not be compared or mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicatorError {
    /// Store and target could not be compared.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The target could not be mended.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// The target is not being replicated to, so that nothing may be written there.
    #[error("the target's mode is {mode}; only a target in mode replicate can be repaired")]
    Mode {
        /// What it is.
        mode: Mode,
    },
    /// The target could not be brought up to the log first.
    #[error("the target is {state} and not current: {why}")]
    NotCurrent {
        /// What it is doing.
        state: Box<State>,
        /// Since when or why.
        why: String,
    },
    /// What the store remembers of the target could not be kept.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Replicator {
    pub(super) fn is_verify_due(&self) -> bool {
        let Some(every) = self.options.verify_every else { return false };
        let every = i64::try_from(every.as_nanos()).unwrap_or(i64::MAX);
        self.last_check.is_none_or(|(at, _)| {
            let since = self.clock.now().nanos().saturating_sub(at.nanos());
            // A clock that was set back says nothing about the time that passed.
            since >= every || since < 0
        })
    }

    /// Compares digests; while replicating, ships again what is missing or older there. What a person
    /// edited is left for a person, and a large difference asks one.
    pub(super) fn verify(&mut self, stop: &AtomicBool) -> Result<Step, Trouble> {
        let is_replicating = self.options.mode == Mode::Replicate;
        if !is_replicating && !self.is_verify_due() && self.last_check.is_some() {
            return Ok(Step::Idle);
        }
        let mut report = self.compare_digests(stop)?;
        let worst = report.differing.iter().filter(|bucket| bucket.is_large());
        if let Some(worst) = worst.max_by_key(|bucket| bucket.kinds.total()).filter(|_| is_replicating) {
            let (differences, rows) = (worst.kinds.total(), worst.size());
            let why = format!("{differences} of {rows} rows differ in bucket {}", worst.bucket);
            self.note_check(Verdict::Differ);
            return Err(Trouble::Quarantine {
                reason: QuarantineReason::Divergence { differences, rows },
                why,
            });
        }
        if is_replicating && self.ship_again(&report.differing, stop)? {
            report = self.compare_digests(stop)?;
        }
        self.note_check(report.verdict);
        if is_replicating {
            let kinds = report.kinds;
            let why = match report.verdict {
                Verdict::Agree => "compared: every bucket agrees".to_owned(),
                Verdict::CouldNotTell => "compared: some buckets were being written".to_owned(),
                Verdict::Differ => format!("compared: {} rows differ, repair lists them", kinds.total()),
            };
            self.go(State::Live, &why);
        }
        Ok(Step::Verified { verdict: report.verdict })
    }

    fn compare_digests(&mut self, stop: &AtomicBool) -> Result<CheckReport, Trouble> {
        self.look()?;
        let mut checker = Checker::new(CheckOptions { deep: false, list: 0 });
        checker.round(self.feed.as_ref(), self.sink.as_mut(), stop)?;
        Ok(checker.report())
    }

    /// Takes from the target what the status says of it.
    fn look(&mut self) -> Result<(), Trouble> {
        let identity = self.feed.identity()?;
        if let Some(state) = self.sink.observe(identity.store_id)? {
            self.poisoned = state.poisoned;
            if self.options.mode == Mode::VerifyOnly {
                self.at = state.cursor;
            }
        }
        Ok(())
    }

    fn note_check(&mut self, verdict: Verdict) {
        let now = self.clock.now();
        self.last_check = Some((now, verdict));
        if verdict == Verdict::Agree {
            self.last_agreement = Some(now);
        }
    }

    /// Ships the rows that are missing or older at the target, under the usual guard of versions.
    fn ship_again(&mut self, differing: &[BucketDifference], stop: &AtomicBool) -> Result<bool, Trouble> {
        let is_plain = |kind| matches!(kind, DifferenceKind::MissingThere | DifferenceKind::OlderThere);
        let mut shipped = false;
        for one in differing {
            let mut rows = Vec::new();
            let feed = std::sync::Arc::clone(&self.feed);
            let keep = &mut |_: &mut dyn crate::sink::Sink, difference: Difference| {
                if is_plain(difference.kind) {
                    rows.extend(difference.here.map(Change::Put));
                }
                Ok::<(), CheckError>(())
            };
            compare(feed.as_ref(), self.sink.as_mut(), &one.bucket, &[], stop, keep)?;
            for rows in rows.chunks(MEND_ROWS) {
                let standing = self.at.clone();
                self.ship(rows, &standing, 0)?;
                shipped = true;
            }
        }
        Ok(shipped)
    }

    /// Compares store and target, and reads every row with `deep`. While replicating, the target is brought
    /// up to the log first, and again between rounds; in the other modes it is looked at as it stands.
    ///
    /// # Errors
    /// `Check`, `NotCurrent`.
    pub fn check(
        &mut self,
        options: &CheckOptions,
        stop: &AtomicBool,
    ) -> Result<CheckReport, ReplicatorError> {
        let mut checker = Checker::new(options.clone());
        let is_blocked = matches!(self.state, State::LocalOnly | State::Quarantine(_));
        if self.options.mode != Mode::Replicate || is_blocked {
            self.sink.connect(Access::Read).map_err(CheckError::Sink)?;
            let done = self.rounds(&mut checker, stop, false);
            self.sink.close();
            if !is_blocked {
                self.go(State::Connecting, "a comparison used the connection");
            }
            done?;
        } else {
            self.rounds(&mut checker, stop, true)?;
        }
        let report = checker.report();
        self.note_check(report.verdict);
        Ok(report)
    }

    fn rounds(
        &mut self,
        checker: &mut Checker,
        stop: &AtomicBool,
        ship: bool,
    ) -> Result<(), ReplicatorError> {
        for _ in 0..ROUNDS {
            if ship {
                self.make_current(stop)?;
            }
            if checker.round(self.feed.as_ref(), self.sink.as_mut(), stop)? {
                break;
            }
        }
        Ok(())
    }

    fn make_current(&mut self, stop: &AtomicBool) -> Result<(), ReplicatorError> {
        match self.run_until_current(stop, &mut |_, _| {}) {
            Reached::Current => Ok(()),
            Reached::Stopped => Err(CheckError::Stopped.into()),
            Reached::Waiting { .. } | Reached::Blocked => {
                let why = self.history.back().map_or_else(String::new, |last| last.why.clone());
                Err(ReplicatorError::NotCurrent { state: Box::new(self.state.clone()), why })
            }
        }
    }

    /// Compares deeply, mends what differs and compares again; answers what was done and the last
    /// comparison. A target in quarantine for too much divergence or poison is taken out of it.
    ///
    /// # Errors
    /// Every variant of [`ReplicatorError`].
    pub fn repair(
        &mut self,
        options: &RepairOptions,
        stop: &AtomicBool,
    ) -> Result<(RepairReport, CheckReport), ReplicatorError> {
        if self.options.mode != Mode::Replicate {
            return Err(ReplicatorError::Mode { mode: self.options.mode });
        }
        let mendable = |reason: &QuarantineReason| {
            matches!(reason, QuarantineReason::Divergence { .. } | QuarantineReason::Poison { .. })
        };
        if matches!(&self.state, State::Quarantine(reason) if mendable(reason)) {
            self.resolve(Resolution::Retry)?;
        }
        let before = self.check(&CheckOptions { deep: true, list: 0 }, stop)?;
        self.make_current(stop)?;
        let now = self.clock.now();
        let done = repair(self.feed.as_ref(), self.sink.as_mut(), now, &before, options, stop)?;
        if options.dry_run {
            return Ok((done, before));
        }
        let after = self.check(&CheckOptions::default(), stop)?;
        if let Err(trouble) = self.look() {
            self.fail(trouble);
        }
        Ok((done, after))
    }
}
