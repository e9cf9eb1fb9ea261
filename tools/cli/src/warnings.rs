//! Warnings of the libraries, on stderr: where a read or write waits for another program, people are told.

use log::{LevelFilter, Log, Metadata, Record};

use crate::context::Context;

struct Warnings(Context);

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("barkeeper")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.warn(record.args());
        }
    }

    fn flush(&self) {}
}

/// Shows warnings from here on.
pub(crate) fn show(context: Context) {
    if log::set_boxed_logger(Box::new(Warnings(context))).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
