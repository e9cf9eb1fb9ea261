//! Connecting, the handshake, and what follows from where the target stands.

use barkeeper_records::{Cursor, LogBounds, Lsn};

use super::{Replicator, Step, Trouble};
use crate::memory::MemoryError;
use crate::sink::{Access, Hello, RemoteState};
use crate::state::{Fork, Mode, QuarantineReason, State};

impl Replicator {
    pub(super) fn connect(&mut self) -> Result<Step, Trouble> {
        if self.options.mode == Mode::VerifyOnly {
            self.sink.connect(Access::Read)?;
            self.go(State::Verify, "connected, to compare only");
            return Ok(Step::Connected);
        }
        self.feed.register_target(&self.options.target)?;
        self.sink.connect(Access::Write)?;
        self.go(State::Handshake, "connected");
        Ok(Step::Connected)
    }

    pub(super) fn greet(&mut self) -> Result<Step, Trouble> {
        let identity = self.feed.identity()?;
        // A restored store looks before it takes the stream: where the target holds what the store has
        // lost, a person decides first, and whoever wrote there until then goes on.
        if identity.epoch > 1
            && !self.takeover
            && let Some(remote) = self.sink.observe(identity.store_id)?
        {
            self.must_be_kept(remote.cursor.lsn)?;
        }
        let mut memory = self.memory.load(identity.store_id)?;
        let claim = if let Some(claim) = self.claim.filter(|claim| claim.epoch == identity.epoch) {
            claim
        } else {
            let owner = self.random.wide();
            let claim = memory.ask(identity.epoch, owner);
            // Written down before asking: if the answer gets lost, the claim is known to be ours.
            self.memory.save(&memory)?;
            self.claim = Some(claim);
            claim
        };
        let mut hello = Hello {
            store_id: identity.store_id,
            device: identity.device,
            claim,
            previous: memory.confirmed,
            unanswered: memory.asked.clone(),
            takeover: self.takeover,
            incarnation: memory.incarnation.clone(),
            at: self.clock.now(),
        };
        hello.unanswered.retain(|asked| *asked != claim);
        let remote = self.sink.handshake(&hello)?;
        if memory.confirmed != Some(remote.claim)
            || memory.incarnation.as_deref() != Some(&remote.incarnation)
        {
            memory.confirm(remote.claim, &remote.incarnation);
            self.memory.save(&memory)?;
        }
        self.takeover = false;
        self.poisoned = remote.poisoned;
        self.place(remote)
    }

    /// Makes sure that no restore has lost the commit at which a target stands.
    fn must_be_kept(&self, there: Lsn) -> Result<(), Trouble> {
        let Some(kept) = self.feed.kept_before(there)? else { return Ok(()) };
        let why = format!(
            "the store was restored from a backup that ends at LSN {kept}, and the target holds commits up to \
             LSN {there} that the backup does not have"
        );
        Err(Trouble::Quarantine { reason: QuarantineReason::Forked(Fork::Restored { there, kept }), why })
    }

    /// Compares where the target stands with what the log knows.
    fn place(&mut self, mut remote: RemoteState) -> Result<Step, Trouble> {
        if self.copy_everything {
            remote.cursor = Cursor::default();
            remote.chain = 0;
            self.sink.rewind(&remote.cursor, 0, self.clock.now())?;
            self.copy_everything = false;
        }
        let bounds = self.feed.bounds()?;
        self.head = bounds.head;
        let lsn = remote.cursor.lsn;
        self.at = remote.cursor;
        self.must_be_kept(lsn)?;
        if lsn > bounds.head {
            let fork = Fork::Ahead { there: lsn, head: bounds.head };
            let why = format!("the target stands at LSN {lsn}, the store's last commit is {}", bounds.head);
            return Err(Trouble::Quarantine { reason: QuarantineReason::Forked(fork), why });
        }
        let known = self.chain_here(lsn, &bounds)?;
        if known.is_some_and(|chain| chain != remote.chain) {
            let why = format!("the target has another history up to LSN {lsn}");
            let reason = QuarantineReason::Forked(Fork::OtherHistory { at: lsn });
            return Err(Trouble::Quarantine { reason, why });
        }
        let acknowledged = self.feed.register_target(&self.options.target)?;
        self.feed.acknowledge(&self.options.target, lsn);
        if known.is_some() && lsn.0 + 1 >= bounds.tail.0 {
            self.plan = None;
            let why = match lsn.cmp(&acknowledged) {
                std::cmp::Ordering::Greater => "the target is ahead of what it acknowledged, its word counts",
                std::cmp::Ordering::Equal => "the target stands where it was left",
                std::cmp::Ordering::Less => "the target has lost its newest part, the log still has it",
            };
            self.go(State::CatchUp, why);
        } else {
            self.plan_copy(lsn, &bounds);
            let why = if lsn == Lsn(0) {
                "the target is empty and the log does not reach back to the start"
            } else {
                "the log no longer reaches back to where the target stands"
            };
            self.go(State::Bootstrap, why);
        }
        Ok(Step::Greeted { at: lsn })
    }

    fn chain_here(&self, lsn: Lsn, bounds: &LogBounds) -> Result<Option<u64>, Trouble> {
        Ok(if lsn == Lsn(0) {
            Some(0)
        } else if lsn == bounds.head {
            Some(bounds.head_chain)
        } else {
            self.feed.chain_at(lsn)?
        })
    }

    /// Forgets which database the target was.
    pub(super) fn forget_target(&self) -> Result<(), MemoryError> {
        // Another store's memory reads as an empty one, and so does a damaged file once it is replaced.
        let store_id = self.feed.identity().map_or(0, |identity| identity.store_id);
        self.memory.forget(store_id)
    }
}
