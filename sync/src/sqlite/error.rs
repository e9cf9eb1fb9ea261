//! `rusqlite::Error` to [`SinkError`], the only place where the driver's errors are read.

use rusqlite::ErrorCode;

use crate::error::SinkError;

/// Names what was being done, the lock's patience, and turns a driver's error into ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct During {
    pub(super) action: &'static str,
    pub(super) busy_ms: u64,
}

impl During {
    /// The error of a call that is not about one row.
    pub(super) fn error(self, error: rusqlite::Error) -> SinkError {
        let Self { action, busy_ms: waited_ms } = self;
        let source = Box::new(error);
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                SinkError::Busy { action, waited_ms }
            }
            Some(ErrorCode::DiskFull) => SinkError::Full { action, source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                SinkError::Damaged { action, source }
            }
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied,
            ) => SinkError::Denied { action, source },
            // A table that went away under the connection is found, and made again, by the handshake.
            _ => SinkError::Unreachable { action, source },
        }
    }

    /// The error of writing one row: constraints, triggers and sizes are the row's own fault.
    pub(super) fn row_error(self, change: usize, error: rusqlite::Error) -> SinkError {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                SinkError::Refused { change: Some(change), reason: error.to_string() }
            }
            _ => self.error(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;
    use crate::error::{ErrorClass, PermanentKind};

    #[test]
    fn each_code_has_its_class() {
        let during = During { action: "a test", busy_ms: 5 };
        let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        for (code, class) in [
            (ffi::SQLITE_BUSY, ErrorClass::Temporary),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorClass::Temporary),
            (ffi::SQLITE_FULL, ErrorClass::Temporary),
            (ffi::SQLITE_IOERR_FSYNC, ErrorClass::Temporary),
            (ffi::SQLITE_CANTOPEN, ErrorClass::Temporary),
            (ffi::SQLITE_ERROR, ErrorClass::Temporary),
            (ffi::SQLITE_CORRUPT, ErrorClass::Permanent(PermanentKind::Damaged)),
            (ffi::SQLITE_NOTADB, ErrorClass::Permanent(PermanentKind::Damaged)),
            (ffi::SQLITE_READONLY, ErrorClass::Permanent(PermanentKind::Authorisation)),
        ] {
            assert_eq!(during.error(error(code)).class(), class, "{code}");
        }
        for code in [ffi::SQLITE_CONSTRAINT_CHECK, ffi::SQLITE_CONSTRAINT_TRIGGER, ffi::SQLITE_TOOBIG] {
            assert_eq!(during.row_error(3, error(code)).class(), ErrorClass::Poison, "{code}");
        }
        assert_eq!(during.row_error(3, error(ffi::SQLITE_BUSY)).class(), ErrorClass::Temporary);
    }
}
