//! Pages of the log on their way, and the search for rows that a target refuses.

use std::sync::atomic::AtomicBool;

use barkeeper_records::{Change, Cursor, FeedError};

use super::{POISON_LIMIT, Replicator, Step, Trouble};
use crate::error::SinkError;
use crate::sink::{Applied, Poisoned, Shipment};
use crate::state::{QuarantineReason, State};

impl Replicator {
    pub(super) fn ship_page(&mut self, stop: &AtomicBool) -> Result<Step, Trouble> {
        let page = match self.feed.read(&self.at, self.options.page_bytes) {
            // A mark inside a commit that this log does not know: the commit is sent again as a whole.
            Err(FeedError::Cursor { .. }) if !self.at.within.is_empty() => {
                let start = Cursor { lsn: self.at.lsn, within: Vec::new() };
                self.feed.read(&start, self.options.page_bytes)?
            }
            page => page?,
        };
        if page.changes.is_empty() && page.next == self.at {
            if self.state == State::CatchUp {
                self.went_well();
                self.go(State::Live, "the target is current");
            }
            if self.is_verify_due() {
                self.go(State::Verify, "it is time to compare");
                return self.verify(stop);
            }
            return Ok(Step::Idle);
        }
        if page.more && self.state == State::Live {
            self.go(State::CatchUp, "more than a page is waiting");
        }
        let changes = page.changes.len();
        self.ship(&page.changes, &page.next, page.chain)?;
        self.head = self.head.max(self.at.lsn);
        Ok(Step::Shipped { changes, at: self.at.lsn })
    }

    /// Brings changes and watermark to the target; rows that it refuses are noted there and left out.
    pub(super) fn ship(&mut self, changes: &[Change], next: &Cursor, chain: u64) -> Result<(), Trouble> {
        let mut poison = Vec::new();
        match self.apply(changes, &poison, next, chain) {
            Err(SinkError::Refused { change, reason }) => {
                self.ship_around(changes, change, reason, &mut poison)?;
                self.apply(&[], &poison, next, chain)?;
            }
            done => done?,
        }
        self.at = next.clone();
        self.went_well();
        self.feed.acknowledge(&self.options.target, self.at.lsn);
        self.poisoned += poison.len() as u64;
        if let Some(first) = poison.first() {
            let why = format!("the target refused {} rows, the first one: {}", poison.len(), first.reason);
            self.note_error(&why);
            if self.poisoned > POISON_LIMIT {
                let reason = QuarantineReason::Poison { rows: self.poisoned };
                return Err(Trouble::Quarantine { reason, why });
            }
        }
        Ok(())
    }

    fn note_error(&mut self, text: &str) {
        self.last_error = Some(crate::state::ErrorNote {
            at: self.clock.now(),
            class: Some(crate::error::ErrorClass::Poison),
            text: text.to_owned(),
        });
    }

    fn apply(
        &mut self,
        changes: &[Change],
        poison: &[Poisoned],
        next: &Cursor,
        chain: u64,
    ) -> Result<(), SinkError> {
        let shipment = Shipment { expected: &self.at, changes, poison, next, chain, at: self.clock.now() };
        match self.sink.apply(&shipment)? {
            Applied::AlreadyThere { stands } if stands != *next => {
                Err(SinkError::Elsewhere { expected: self.at.clone(), stands: Some(stands) })
            }
            Applied::Now | Applied::AlreadyThere { .. } => Ok(()),
        }
    }

    /// Applies everything but the refused rows, in order, while the watermark stays: the stretch before a
    /// refused row, then what follows. Where the target does not say which row it is, stretches are halved.
    fn ship_around(
        &mut self,
        changes: &[Change],
        refused: Option<usize>,
        reason: String,
        poison: &mut Vec<Poisoned>,
    ) -> Result<(), Trouble> {
        // Stretches still to be applied, the next one last.
        let mut waiting: Vec<&[Change]> = Vec::new();
        split(changes, refused, reason, poison, &mut waiting);
        while let Some(stretch) = waiting.pop() {
            let standing = self.at.clone();
            match self.apply(stretch, &[], &standing, 0) {
                Err(SinkError::Refused { change, reason }) => {
                    split(stretch, change, reason, poison, &mut waiting);
                }
                done => done?,
            }
        }
        Ok(())
    }
}

/// Takes the refused row out of a stretch, or halves the stretch where it is not known.
fn split<'a>(
    stretch: &'a [Change],
    refused: Option<usize>,
    reason: String,
    poison: &mut Vec<Poisoned>,
    waiting: &mut Vec<&'a [Change]>,
) {
    let known = if stretch.len() == 1 { Some(0) } else { refused };
    let known = known.and_then(|at| Some((at, stretch.get(at)?)));
    let (before, behind) = if let Some((at, change)) = known {
        poison.push(Poisoned { change: change.clone(), reason });
        (stretch.get(..at), stretch.get(at + 1..))
    } else {
        let (before, behind) = stretch.split_at(stretch.len() / 2);
        (Some(before), Some(behind))
    };
    waiting.extend([behind, before].into_iter().flatten().filter(|part| !part.is_empty()));
}
