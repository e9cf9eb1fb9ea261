//! Relaxed price extremes: in memory, visible to readers at once, durable with the next commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use barkeeper_records::{Position, PositionKey, PositionStatus};

/// The extremes of one position since they were last written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extreme {
    pub(crate) high: f64,
    pub(crate) low: f64,
    /// The commit that opened the position to which they belong.
    pub(crate) entry: u64,
}

impl Extreme {
    /// Whether the extremes would change a position.
    pub(crate) fn changes(&self, position: &Position, entry: u64) -> bool {
        position.status == PositionStatus::Open
            && entry == self.entry
            && (position.highest.is_none_or(|highest| self.high > highest)
                || position.lowest.is_none_or(|lowest| self.low < lowest))
    }

    /// Lets a position show the extremes.
    pub(crate) fn show(&self, position: &mut Position, entry: u64) {
        if self.changes(position, entry) {
            position.highest = Some(position.highest.map_or(self.high, |highest| highest.max(self.high)));
            position.lowest = Some(position.lowest.map_or(self.low, |lowest| lowest.min(self.low)));
        }
    }
}

pub(crate) type Extremes = HashMap<PositionKey, Extreme>;

#[derive(Debug, Default)]
pub(crate) struct Overlay(RwLock<Arc<Extremes>>);

impl Overlay {
    /// What readers see now.
    pub(crate) fn now(&self) -> Arc<Extremes> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Widens the extremes of positions.
    pub(crate) fn widen(&self, updates: Vec<(PositionKey, Extreme)>) {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = Arc::make_mut(&mut slot);
        for (key, update) in updates {
            let held = all.entry(key).or_insert(update);
            if held.entry == update.entry {
                held.high = held.high.max(update.high);
                held.low = held.low.min(update.low);
            } else {
                *held = update;
            }
        }
    }

    /// Forgets what has become durable and was not widened since.
    pub(crate) fn forget(&self, written: &Extremes) {
        if written.is_empty() {
            return;
        }
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut slot).retain(|key, held| written.get(key) != Some(held));
    }
}
