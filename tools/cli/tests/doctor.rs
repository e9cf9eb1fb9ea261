//! The doctor: what it says about a good store, a damaged one, one in use, and what it hands to others.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::Read as _;

use serde_json::Value;
use support::Place;

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

fn examined(place: &Place, arguments: &str) -> (i32, Value) {
    let ran = place.run(format!("doctor --json {arguments}").trim_end());
    (ran.code, serde_json::from_str(&ran.stdout).unwrap())
}

#[test]
fn a_good_store_passes_every_check_and_is_told_to_make_backups() {
    let place = Place::with_store();
    let (code, report) = examined(&place, "--full");
    assert_eq!((code, report["schema_version"].as_u64()), (0, Some(1)), "{report}");
    for name in [
        "program",
        "folder",
        "place",
        "rename",
        "fsync",
        "clock",
        "owner",
        "settings",
        "integrity",
        "segments",
    ] {
        let check = check(&report, name);
        // A slow or a small disk is the machine's, not the store's.
        assert!(["ok", "warning"].contains(&check["state"].as_str().unwrap()), "{check}");
    }
    assert!(check(&report, "fsync")["values"]["median_ms"].is_number());
    let backups = check(&report, "backups");
    assert_eq!(backups["state"], "warning");
    assert!(backups["hint"].as_str().unwrap().starts_with("barkeeper backup create"));
    place.done("backup create");
    assert!(check(&examined(&place, "").1, "backups")["hint"].as_str().unwrap().contains("backup verify"));
    place.done("backup verify");
    assert_eq!(check(&examined(&place, "").1, "backups")["state"], "ok");
    // Nothing of the probes is left.
    let left: Vec<_> = fs::read_dir(place.store()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("probe")), "{left:?}");
}

#[test]
fn damage_is_named_with_the_way_back_and_ends_with_7() {
    let place = Place::with_store();
    place.done("seal");
    place.done("backup create");
    // The files of both axes, one after the other.
    let segments = place.segments();
    for segment in &segments {
        let sound = fs::read(segment).unwrap();
        let mut bytes = sound.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(segment, &bytes).unwrap();
        // A flipped bit is seen by those who read, a missing file by everybody.
        assert_eq!(examined(&place, "").0, 0);
        let (code, report) = examined(&place, "--full");
        let integrity = check(&report, "integrity");
        assert_eq!((code, integrity["state"].as_str()), (7, Some("failed")));
        let name = segment.file_name().unwrap().to_str().unwrap();
        assert!(integrity["detail"].as_str().unwrap().contains(name), "{integrity}");
        let hint = integrity["hint"].as_str().unwrap();
        for told in ["barkeeper backup create", "barkeeper backup restore latest --dry-run"] {
            assert!(hint.contains(told), "{hint}");
        }
        fs::write(segment, &sound).unwrap();
    }
    let segment = &segments[0];
    fs::remove_file(segment).unwrap();
    let (code, report) = examined(&place, "");
    assert_eq!((code, check(&report, "segments")["state"].as_str()), (7, Some("failed")));
    // The hint works.
    place.done("backup restore latest --dry-run");
    place.done("backup restore latest --force");
    assert_eq!(examined(&place, "--full").0, 0);
}

#[test]
fn a_store_in_use_is_looked_at_from_outside() {
    let place = Place::with_store();
    let held = barkeeper_host::open(&place.store(), "desk").unwrap();
    let (code, report) = examined(&place, "");
    assert_eq!(code, 0, "{report}");
    assert_eq!(check(&report, "integrity")["state"], "skipped");
    let owner = check(&report, "owner");
    assert_eq!(
        (owner["state"].as_str(), owner["values"]["pid"].as_u64()),
        (Some("ok"), Some(u64::from(std::process::id())))
    );
    assert!(owner["detail"].as_str().unwrap().starts_with("desk (process "), "{owner}");
    drop(held);
}

#[test]
fn without_a_store_it_fails_and_says_how_to_make_one() {
    let place = Place::new();
    let (code, report) = examined(&place, "");
    assert_eq!(code, 1);
    assert_eq!(check(&report, "folder")["hint"], "barkeeper init --store store");
    assert_eq!(check(&report, "integrity")["state"], "skipped");
}

#[test]
fn a_store_in_a_cloud_folder_is_refused_unless_it_is_allowed() {
    let place = Place::new();
    let refused = place.run("init --store OneDrive/store");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("a cloud service copies") && refused.stderr.contains("hint: "),
        "{refused:?}"
    );
    assert!(!place.path().join("OneDrive/store/store.redb").exists());
    place.done("init --store OneDrive/store --allow-shared-folder");
    place.done("stats --store OneDrive/store");
    let ran = place.run("doctor --store OneDrive/store --json");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, check(&report, "place")["state"].as_str()), (0, Some("warning")), "{report}");
    // Moved there later, a store is refused as well; its backups may lie there.
    place.done("init");
    place.done("backup create --to OneDrive/backups");
    place.done("backup verify --from OneDrive/backups");
    fs::create_dir_all(place.path().join("Dropbox")).unwrap();
    fs::rename(place.store(), place.path().join("Dropbox/store")).unwrap();
    let refused = place.run("stats --store Dropbox/store");
    assert!(refused.code == 1 && refused.stderr.contains("a cloud service copies"), "{refused:?}");
    let mut command = place.command();
    let set = command
        .args(["init", "--store", "synced/store"])
        .env("OneDriveCommercial", place.path().join("synced"));
    assert_eq!(support::ran(&set.output().unwrap()).code, 1);
}

#[test]
fn a_bundle_holds_what_was_seen_and_nothing_of_what_is_traded() {
    let place = Place::with_store();
    place.done(
        "positions set 600000.SH --quantity 471108152342 --cost 8.15 --opened-on 2023-08-11 --account secret-account",
    );
    place.done("sync add replica --sqlite hidden-place/replica.sqlite");
    let settings = place.store().join("barkeeper.toml");
    let text =
        fs::read_to_string(&settings).unwrap().replace("account = \"main\"", "account = \"secret-account\"");
    fs::write(&settings, text).unwrap();
    place.done("doctor --full --bundle seen.zip");
    let again = place.run("doctor --bundle seen.zip");
    assert_eq!(again.code, 1, "a file that is there is not replaced: {again:?}");
    let mut zip = zip::ZipArchive::new(fs::File::open(place.path().join("seen.zip")).unwrap()).unwrap();
    let mut all = String::new();
    let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in &names {
        zip.by_name(name).unwrap().read_to_string(&mut all).unwrap();
    }
    assert!(all.contains("\"integrity\"") && all.contains("store.redb") && all.contains("replicate"));
    let place_name = place.path().display().to_string();
    for secret in ["secret-account", "hidden-place", "600000.SH", "471108152342", place_name.as_str()] {
        assert!(!all.contains(secret), "'{secret}' is in the bundle");
    }
}

#[test]
fn damage_of_the_database_is_told_in_words_and_not_as_a_panic() {
    let place = Place::with_store();
    place.done("import files/accounts");
    place.done("backup create");
    let database = place.store().join("store.redb");
    let whole = fs::read(&database).unwrap();
    let mut named = 0;
    // Pages behind the header, each with a few bytes of nonsense.
    for page in (4..whole.len() / 4_096).step_by(whole.len() / 4_096 / 24 + 1) {
        let mut bytes = whole.clone();
        bytes[page * 4_096..page * 4_096 + 16].copy_from_slice(&[b'Y'; 16]);
        fs::write(&database, &bytes).unwrap();
        let ran = place.run("verify");
        assert!(!ran.stderr.contains("panicked"), "page {page}: {ran:?}");
        named += usize::from(ran.code == 7);
        assert!([0, 7].contains(&ran.code), "page {page}: {ran:?}");
        fs::remove_file(place.store().join("store.sums")).unwrap_or_default();
    }
    assert!(named > 2, "{named} of the pages are in use");
    // Nothing of the last one matters to a backup.
    place.done("backup restore latest --force");
    place.done("verify");
}
