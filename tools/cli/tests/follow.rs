//! Following the log: settings are taken over while it runs, and Ctrl-C ends it in good order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use support::Place;

/// Longer than anybody would wait; the promise is 3 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of the follower, as they come.
fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn wait_for(lines: &Receiver<String>, part: &str) {
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        if line.contains(part) {
            return;
        }
        seen.push(line);
    }
    panic!("'{part}' did not come: {seen:?}");
}

#[test]
fn a_mode_that_is_changed_in_the_file_takes_effect_without_a_restart() {
    let place = Place::with_store();
    place.done("sync add replica --sqlite replica.sqlite");
    let mut follower =
        place.command().args(["sync", "run", "--follow"]).stderr(Stdio::piped()).spawn().unwrap();
    let lines = lines(follower.stderr.take().unwrap());
    wait_for(&lines, "replica: live");
    place.done("sync mode replica local-only");
    wait_for(&lines, "replica: local_only");
    assert!(place.done("sync status").contains("local-only"));
    place.done("sync mode replica replicate");
    wait_for(&lines, "replica: live");
    if cfg!(unix) {
        let id = follower.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert_eq!(follower.wait().unwrap().code(), Some(0));
    } else {
        follower.kill().unwrap();
        follower.wait().unwrap();
    }
    place.done("sync check replica");
}
