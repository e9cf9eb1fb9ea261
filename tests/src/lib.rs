//! Shared pieces of the tests that no crate can run alone: a disk that forgets, a model of the store,
//! and the comparison of both.

pub mod backups;
pub mod digests;
pub mod disk;
pub mod examine;
pub mod fixture;
pub mod folder;
pub mod guard;
mod ledger;
pub mod market;
pub mod model;
pub mod past;
pub mod recovered;
pub mod rng;
pub mod scene;
pub mod seed;
pub mod streams;
pub mod workload;
