//! `Pool`: numbered pieces of work done by threads, their results in order, a bounded number ahead.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{ReadResult, scan_error};

type Work<T> = Arc<dyn Fn(usize) -> ReadResult<T> + Send + Sync>;

struct State<T> {
    /// The next number that a thread takes.
    next: usize,
    /// The number that is answered next.
    wanted: usize,
    done: BTreeMap<usize, ReadResult<T>>,
    stopped: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    work: Work<T>,
    count: usize,
    ahead: usize,
}

/// Results of pieces of work, in their order.
pub(crate) struct Pool<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= self.count {
                return;
            }
            if state.next >= state.wanted + self.ahead {
                state = self.wait(state);
                continue;
            }
            let number = state.next;
            state.next += 1;
            drop(state);
            let result = attempt(&self.work, number);
            state = self.lock();
            state.done.insert(number, result);
            self.changed.notify_all();
        }
    }
}

/// A decoder may panic on bytes that were damaged before they were written; a reader gets an error.
fn attempt<T>(work: &Work<T>, number: usize) -> ReadResult<T> {
    catch_unwind(AssertUnwindSafe(|| work(number)))
        .unwrap_or_else(|_| Err(scan_error("the decoder stopped in the middle")))
}

impl<T: Send + 'static> Pool<T> {
    /// Does `count` pieces of work on threads, at most `ahead` of what is asked for. Without threads, or
    /// where none can be had, the caller's does it.
    pub(crate) fn new(count: usize, threads: usize, ahead: usize, work: Work<T>) -> Self {
        let state = State { next: 0, wanted: 0, done: BTreeMap::new(), stopped: false };
        let ahead = ahead.max(1);
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), work, count, ahead });
        let mut pool = Self { shared, threads: Vec::new() };
        for _ in 0..threads.min(count) {
            let shared = pool.shared.clone();
            let spawned =
                std::thread::Builder::new().name("barkeeper-scan".to_owned()).spawn(move || shared.run());
            pool.threads.extend(spawned);
        }
        pool
    }
}

impl<T> Iterator for Pool<T> {
    type Item = ReadResult<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut state = self.shared.lock();
        if state.wanted >= self.shared.count {
            return None;
        }
        let number = state.wanted;
        let result = if self.threads.is_empty() {
            drop(state);
            let result = attempt(&self.shared.work, number);
            state = self.shared.lock();
            result
        } else {
            loop {
                if let Some(result) = state.done.remove(&number) {
                    break result;
                }
                state = self.shared.wait(state);
            }
        };
        state.wanted += 1;
        drop(state);
        self.shared.changed.notify_all();
        Some(result)
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Its panics were caught and answered.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_whoever_made_them() {
        for threads in [0, 1, 4] {
            let work: Work<usize> = Arc::new(|n| {
                std::thread::sleep(std::time::Duration::from_micros((n * 37 % 11) as u64 * 50));
                Ok(n)
            });
            let found: Vec<usize> = Pool::new(50, threads, 4, work).map(Result::unwrap).collect();
            assert_eq!(found, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn work_runs_ahead_only_so_far_and_stops_when_nobody_asks() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = begun.clone();
        let work: Work<()> = Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let mut pool = Pool::new(1_000, 2, 3, work);
        for asked in 1..=10 {
            assert!(pool.next().is_some());
            assert!(begun.load(Ordering::SeqCst) <= asked + 3);
        }
        drop(pool);
        assert!(begun.load(Ordering::SeqCst) <= 13);
    }

    #[test]
    fn a_panic_is_an_error_and_not_a_hang() {
        for threads in [0, 2] {
            let work: Work<usize> = Arc::new(|n| if n == 3 { panic!("bad bytes") } else { Ok(n) });
            let found: Vec<_> = Pool::new(5, threads, 2, work).map(|one| one.is_ok()).collect();
            assert_eq!(found, [true, true, true, false, true]);
        }
    }
}
