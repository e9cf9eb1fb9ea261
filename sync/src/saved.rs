//! The file that keeps what a repair takes away from a target.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use barkeeper_records::Timestamp;
use serde_json::json;

use crate::report::Difference;

/// JSON, one row a line: table, kind of difference, key, the store's row and the target's row. Made when
/// the first row comes; a file that is there already is never touched.
#[derive(Debug)]
pub(crate) struct SavedRows {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    rows: u64,
}

impl SavedRows {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, rows: 0 }
    }

    /// Keeps rows; they are on the disk when it answers.
    pub(crate) fn keep(&mut self, differences: &[&Difference], at: Timestamp) -> io::Result<()> {
        if differences.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = OpenOptions::new().write(true).create_new(true).open(&self.path)?;
                none.insert(BufWriter::new(file))
            }
        };
        for difference in differences {
            let line = json!({ "saved_at": at, "difference": difference });
            serde_json::to_writer(&mut *file, &line)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        file.get_ref().sync_all()?;
        self.rows += differences.len() as u64;
        Ok(())
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
