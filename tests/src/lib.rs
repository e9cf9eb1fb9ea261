//! Shared pieces of the tests that no crate can run alone.
