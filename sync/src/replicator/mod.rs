//! `Replicator`: brings one target up to the change log and keeps it there.
//!
//! A plain sequential loop, one small unit of work a step: a handshake, a page of the log, a page of
//! buckets. It never waits by itself; a step answers when the next one makes sense, and whoever owns the
//! thread sleeps. Everything it needs to know is at the target; what it keeps in memory may be lost.

mod bootstrap;
mod handshake;
mod ship;
mod verify;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use barkeeper_records::{ChangeFeed, Clock, Cursor, FeedError, Lsn, Timestamp, limits};

use self::bootstrap::Plan;
pub use self::verify::ReplicatorError;
use crate::backoff::{Backoff, Random};
use crate::check::CheckError;
use crate::claim::Claim;
use crate::error::{ErrorClass, PermanentKind, SinkError};
use crate::memory::{MemoryError, MemoryFile};
use crate::report::Verdict;
use crate::sink::Sink;
use crate::state::{ErrorNote, Fork, Mode, QuarantineReason, State, TargetStatus, Transition};

/// Changes of state that are remembered.
const HISTORY: usize = 32;
/// Rows that a target may refuse before a person has to look.
const POISON_LIMIT: u64 = 100;
/// A target that is not where it said so often in a row is left alone for a while.
const ELSEWHERE_LIMIT: u32 = 3;

/// How to replicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The target's name in the configuration; the store keeps a cursor under it.
    pub target: String,
    /// What to do.
    pub mode: Mode,
    /// For pauses and the owner's number. Random in every process, or two of them take themselves for one.
    pub seed: u64,
    /// Bytes of rows in one page; default [`limits::FEED_PAGE_BYTES`].
    pub page_bytes: usize,
    /// How often to compare digests while there is nothing to ship; the first time on becoming current.
    /// Default 6 h; `None` never.
    pub verify_every: Option<Duration>,
}

impl Options {
    /// The defaults for a target.
    pub fn of(target: &str, seed: u64) -> Self {
        Self {
            target: target.to_owned(),
            mode: Mode::Replicate,
            seed,
            page_bytes: limits::FEED_PAGE_BYTES,
            verify_every: Some(Duration::from_secs(6 * 3_600)),
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Nothing: the target is switched off, or a person has to decide.
    Stopped,
    /// Nothing: the target is current.
    Idle,
    /// Nothing: the target is left alone after an error.
    Waiting {
        /// When to try again.
        until: Timestamp,
    },
    /// Opened a connection.
    Connected,
    /// Took the stream.
    Greeted {
        /// Where the target stands.
        at: Lsn,
    },
    /// Shipped a page of the log.
    Shipped {
        /// How many changes.
        changes: usize,
        /// Where the target stands now.
        at: Lsn,
    },
    /// Copied a page of buckets.
    Copied {
        /// How many rows.
        rows: usize,
        /// How many buckets are left.
        buckets_left: usize,
    },
    /// Compared digests.
    Verified {
        /// What came out.
        verdict: Verdict,
    },
    /// Failed; the state says what happens next and why.
    Failed,
}

/// Where a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reached {
    /// The target has everything that is committed.
    Current,
    /// It was told to stop.
    Stopped,
    /// The target is left alone after an error.
    Waiting {
        /// When to try again.
        until: Timestamp,
    },
    /// The target is switched off, or a person has to decide: the state says so.
    Blocked,
}

/// What a person decides about a target in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The cause was removed (rights, settings, tables, divergence): try again as before.
    Retry,
    /// This copy of the store goes on, whoever wrote before: takes the stream and copies every bucket. Rows
    /// that are newer at the target stay until a repair.
    KeepLocal,
    /// The target is a new database: forgets the old one and begins anew.
    NewDatabase,
}

/// What can go wrong in a step, whosever fault it is.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error("{why}")]
    Quarantine { reason: QuarantineReason, why: String },
    #[error("the comparison failed: {0}")]
    Order(CheckError),
    #[error("stopped")]
    Stopped,
}

impl From<CheckError> for Trouble {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Sink(error) => Self::Sink(error),
            CheckError::Feed(error) => Self::Feed(error),
            CheckError::Stopped => Self::Stopped,
            other @ CheckError::Order { .. } => Self::Order(other),
        }
    }
}

/// Replicates a store to one target.
pub struct Replicator {
    feed: Arc<dyn ChangeFeed>,
    sink: Box<dyn Sink>,
    clock: Arc<dyn Clock>,
    memory: MemoryFile,
    options: Options,
    random: Random,
    backoff: Backoff,
    state: State,
    history: VecDeque<Transition>,
    /// The claim that this process asked for; kept over reconnects.
    claim: Option<Claim>,
    takeover: bool,
    /// Where the target stands.
    at: Cursor,
    /// Whether the target stands at LSN 0 because a person wants everything copied.
    copy_everything: bool,
    plan: Option<Plan>,
    retry_at: Option<Timestamp>,
    elsewhere: u32,
    head: Lsn,
    poisoned: u64,
    last_error: Option<ErrorNote>,
    last_check: Option<(Timestamp, Verdict)>,
    last_agreement: Option<Timestamp>,
}

impl std::fmt::Debug for Replicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicator")
            .field("target", &self.options.target)
            .field("state", &self.state)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Replicator {
    /// A replicator that has not done anything yet. Its memory has to be the file that it used before.
    pub fn new(
        feed: Arc<dyn ChangeFeed>,
        sink: Box<dyn Sink>,
        clock: Arc<dyn Clock>,
        memory: MemoryFile,
        options: Options,
    ) -> Self {
        let mut random = Random::new(options.seed);
        let backoff = Backoff::new(random.next());
        let mut replicator = Self {
            feed,
            sink,
            clock,
            memory,
            random,
            backoff,
            state: State::LocalOnly,
            history: VecDeque::new(),
            claim: None,
            takeover: false,
            at: Cursor::default(),
            copy_everything: false,
            plan: None,
            retry_at: None,
            elsewhere: 0,
            head: Lsn(0),
            poisoned: 0,
            last_error: None,
            last_check: None,
            last_agreement: None,
            options,
        };
        if replicator.options.mode != Mode::LocalOnly {
            replicator.go(State::Connecting, "started");
        }
        replicator
    }

    /// What the target is doing.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Everything that can be said of the target.
    pub fn status(&self) -> TargetStatus {
        let head = self.feed.bounds().map_or(self.head, |bounds| bounds.head);
        TargetStatus {
            target: self.options.target.clone(),
            kind: self.sink.kind(),
            mode: self.options.mode,
            state: self.state.clone(),
            head,
            acknowledged: self.at.lsn,
            lag: head.0.saturating_sub(self.at.lsn.0),
            poisoned: self.poisoned,
            retry_at: self.retry_at,
            last_error: self.last_error.clone(),
            last_check: self.last_check,
            last_agreement: self.last_agreement,
            history: self.history.iter().cloned().collect(),
        }
    }

    /// Does what a person wants from now on. Nothing has to be migrated in either direction: switched on
    /// again, the target says where it stands.
    pub fn set_mode(&mut self, mode: Mode) {
        if mode == self.options.mode {
            return;
        }
        self.options.mode = mode;
        self.sink.close();
        self.retry_at = None;
        let to = if mode == Mode::LocalOnly { State::LocalOnly } else { State::Connecting };
        self.go(to, "the mode was changed");
    }

    /// Carries out a person's decision about a target in quarantine; elsewhere it changes nothing.
    ///
    /// # Errors
    /// `Memory` where the decision could not be written down.
    pub fn resolve(&mut self, resolution: Resolution) -> Result<(), ReplicatorError> {
        if !matches!(self.state, State::Quarantine(_)) {
            return Ok(());
        }
        match resolution {
            Resolution::Retry => {}
            Resolution::KeepLocal => {
                if self.state == State::Quarantine(QuarantineReason::Memory) {
                    self.forget_target()?;
                }
                self.takeover = true;
                self.copy_everything = true;
            }
            Resolution::NewDatabase => {
                self.forget_target()?;
                self.claim = None;
            }
        }
        self.plan = None;
        self.poisoned = 0;
        // A divergence that a person has seen is not asked about again at once.
        self.last_check = Some((self.clock.now(), Verdict::Differ));
        self.go(State::Connecting, "a person decided");
        Ok(())
    }

    /// Ends replication for this process: acknowledges what is known and closes the connection. At most
    /// the page that is under way is waited for, by the caller.
    pub fn drain(&mut self) {
        if self.state == State::LocalOnly {
            return;
        }
        self.go(State::Draining, "the process ends");
        self.feed.acknowledge(&self.options.target, self.at.lsn);
        self.sink.close();
        self.go(State::LocalOnly, "drained");
    }

    /// Does one unit of work.
    pub fn step(&mut self) -> Step {
        self.step_until(&AtomicBool::new(false))
    }

    /// Works until the target is current, `stop` is set, or nothing can be done; calls `progress` after
    /// each unit of work. `stop` takes effect between two units, within 3 s.
    pub fn run_until_current(
        &mut self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Step, &Self),
    ) -> Reached {
        loop {
            if stop.load(Relaxed) {
                return Reached::Stopped;
            }
            let step = self.step_until(stop);
            progress(&step, self);
            match step {
                Step::Idle => return Reached::Current,
                Step::Stopped if stop.load(Relaxed) => return Reached::Stopped,
                Step::Stopped => return Reached::Blocked,
                Step::Waiting { until } => return Reached::Waiting { until },
                _ => {}
            }
        }
    }

    fn step_until(&mut self, stop: &AtomicBool) -> Step {
        let done = match &self.state {
            State::LocalOnly | State::Quarantine(_) | State::Draining => return Step::Stopped,
            State::Degraded => match self.wait() {
                Some(until) => return Step::Waiting { until },
                None => self.connect(),
            },
            State::Connecting => self.connect(),
            State::Handshake => self.greet(),
            State::Bootstrap => self.copy_page(),
            State::CatchUp | State::Live => self.ship_page(stop),
            State::Verify => self.verify(stop),
        };
        match done {
            Ok(step) => step,
            Err(Trouble::Stopped) => Step::Stopped,
            Err(trouble) => {
                self.fail(trouble);
                Step::Failed
            }
        }
    }

    /// When to try again; `None` once that time has come, or the clock was set back beyond the failure.
    fn wait(&mut self) -> Option<Timestamp> {
        let now = self.clock.now();
        let until = self.retry_at.filter(|until| now < *until);
        let until = until.filter(|until| until.nanos().saturating_sub(now.nanos()) <= Backoff::longest());
        if until.is_none() {
            self.retry_at = None;
            self.go(State::Connecting, "trying again");
        }
        until
    }

    fn go(&mut self, to: State, why: &str) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let at = self.clock.now();
        self.history.push_back(Transition { at, to: to.clone(), why: why.to_owned() });
        self.state = to;
    }

    /// Something went well: the next error is the first again.
    const fn went_well(&mut self) {
        self.backoff.succeeded();
        self.elsewhere = 0;
    }

    fn fail(&mut self, trouble: Trouble) {
        let text = trouble.to_string();
        let class = match &trouble {
            Trouble::Sink(error) => Some(error.class()),
            _ => None,
        };
        self.last_error = Some(ErrorNote { at: self.clock.now(), class, text: text.clone() });
        match trouble {
            Trouble::Sink(error) => self.fail_at_target(&error, &text),
            Trouble::Quarantine { reason, .. } => self.quarantine(reason, &text),
            Trouble::Feed(FeedError::Trimmed { .. }) => {
                self.plan = None;
                self.greet_again(&text);
            }
            Trouble::Feed(FeedError::Ahead { head, .. }) => {
                let there = self.at.lsn;
                self.quarantine(QuarantineReason::Forked(Fork::Ahead { there, head }), &text);
            }
            Trouble::Feed(FeedError::TooManyTargets) => {
                self.quarantine(QuarantineReason::Configuration, &text);
            }
            Trouble::Memory(MemoryError::Content { .. } | MemoryError::Format { .. }) => {
                self.quarantine(QuarantineReason::Memory, &text);
            }
            Trouble::Feed(_) | Trouble::Memory(_) | Trouble::Order(_) | Trouble::Stopped => {
                self.degrade(&text);
            }
        }
    }

    fn fail_at_target(&mut self, error: &SinkError, text: &str) {
        match error.class() {
            ErrorClass::Temporary | ErrorClass::Poison => self.degrade(text),
            ErrorClass::Elsewhere => self.greet_again(text),
            ErrorClass::Fenced => {
                if let SinkError::Fenced { held } = error {
                    self.quarantine(QuarantineReason::Forked(Fork::OtherCopy { held: *held }), text);
                }
            }
            ErrorClass::Permanent(kind) => {
                let reason = match kind {
                    PermanentKind::Configuration => QuarantineReason::Configuration,
                    PermanentKind::Authorisation => QuarantineReason::Authorisation,
                    PermanentKind::Schema => QuarantineReason::Schema,
                    PermanentKind::NewDatabase => QuarantineReason::NewDatabase,
                    PermanentKind::Device => QuarantineReason::Device,
                    PermanentKind::Damaged => QuarantineReason::Damaged,
                };
                self.quarantine(reason, text);
            }
        }
    }

    /// The handshake finds out where the target stands; if that does not help, it is left alone.
    fn greet_again(&mut self, why: &str) {
        self.elsewhere += 1;
        if self.elsewhere >= ELSEWHERE_LIMIT {
            self.degrade(why);
        } else {
            self.go(State::Connecting, why);
        }
    }

    fn degrade(&mut self, why: &str) {
        self.sink.close();
        self.retry_at = Some(self.backoff.failed(self.clock.now()));
        self.go(State::Degraded, why);
    }

    fn quarantine(&mut self, reason: QuarantineReason, why: &str) {
        self.sink.close();
        self.go(State::Quarantine(reason), why);
    }
}
