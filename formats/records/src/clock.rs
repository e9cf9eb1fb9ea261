//! `Clock`: the time, passed in.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::Timestamp;

/// Where the engine and the sources get the time from; nothing else in the project asks the machine.
pub trait Clock: Send + Sync {
    /// The present instant. May go backwards: whoever needs order uses versions or LSNs.
    fn now(&self) -> Timestamp;

    /// Nanoseconds since any fixed moment, for durations. A clock of a machine gives one that does not
    /// jump when the time is set; without one of its own a clock gives [`Self::now`].
    fn steady(&self) -> i64 {
        self.now().nanos()
    }
}

/// A clock that shows what it was set to, for tests and generated data.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that shows this instant until it is set.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.nanos()))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.nanos(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}
