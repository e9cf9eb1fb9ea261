//! `OpenFiles`: segments that are open, of which those are closed again that nobody has used for longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::ReadResult;

/// Segments of one dataset that stay open where nobody reads them. A process may hold 1,024 files on most
/// systems, and a year of ticks alone is 250.
const MOST: usize = 192;
/// How many are closed at a time.
const CLOSED: usize = MOST / 4;

/// The open segments of one dataset.
#[derive(Debug)]
pub(crate) struct OpenFiles<S>(Mutex<Open<S>>);

#[derive(Debug)]
struct Open<S> {
    files: HashMap<u128, Used<S>>,
    uses: u64,
}

#[derive(Debug)]
struct Used<S> {
    file: Arc<S>,
    last: u64,
}

impl<S> Default for OpenFiles<S> {
    fn default() -> Self {
        Self(Mutex::new(Open { files: HashMap::new(), uses: 0 }))
    }
}

impl<S> OpenFiles<S> {
    /// A segment that is open, or that `open` opens.
    pub(crate) fn get(&self, id: u128, open: impl FnOnce() -> ReadResult<S>) -> ReadResult<Arc<S>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.uses += 1;
        let last = state.uses;
        if let Some(used) = state.files.get_mut(&id) {
            used.last = last;
            return Ok(used.file.clone());
        }
        if state.files.len() >= MOST {
            state.close_some();
        }
        let file = Arc::new(open()?);
        state.files.insert(id, Used { file: file.clone(), last });
        Ok(file)
    }

    /// Closes a segment; false where somebody reads it still.
    pub(crate) fn let_go(&self, id: u128) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_read = state.files.get(&id).is_some_and(|used| Arc::strong_count(&used.file) > 1);
        if !is_read {
            state.files.remove(&id);
        }
        !is_read
    }
}

impl<S> Open<S> {
    /// Closes those that were used least lately and that nobody reads.
    fn close_some(&mut self) {
        let unread = self.files.iter().filter(|(_, used)| Arc::strong_count(&used.file) == 1);
        let mut idle: Vec<(u64, u128)> = unread.map(|(id, used)| (used.last, *id)).collect();
        idle.sort_unstable();
        for (_, id) in idle.into_iter().take(CLOSED) {
            self.files.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(files: &OpenFiles<u128>, id: u128) -> Arc<u128> {
        files.get(id, || Ok(id)).unwrap()
    }

    fn is_open(files: &OpenFiles<u128>, id: u128) -> bool {
        files.0.lock().unwrap().files.contains_key(&id)
    }

    #[test]
    fn those_are_closed_that_nobody_uses_or_reads() {
        let files = OpenFiles::default();
        let read = open(&files, 0);
        for id in 1..MOST as u128 {
            open(&files, id);
        }
        // 1 is used once more, and 0 is being read: 2 is the first to go.
        open(&files, 1);
        open(&files, 1_000);
        assert!(is_open(&files, 0) && is_open(&files, 1) && is_open(&files, 1_000));
        assert!(!is_open(&files, 2));
        for id in 2_000..3_000 {
            open(&files, id);
            assert!(files.0.lock().unwrap().files.len() <= MOST);
        }
        assert!(is_open(&files, 0), "what is read stays open");
        assert!(!files.let_go(0) && is_open(&files, 0));
        drop(read);
        assert!(files.let_go(0) && !is_open(&files, 0));
    }

    #[test]
    fn more_are_open_than_stay_open_while_all_are_read() {
        let files = OpenFiles::default();
        let read: Vec<_> = (0..MOST as u128 + 50).map(|id| open(&files, id)).collect();
        assert_eq!(files.0.lock().unwrap().files.len(), MOST + 50);
        drop(read);
        open(&files, 10_000);
        assert!(files.0.lock().unwrap().files.len() <= MOST + 51 - CLOSED);
    }
}
