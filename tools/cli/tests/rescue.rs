//! What a person meets when files are damaged or gone: it is named, the way back is told, nothing is taken
//! away unasked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use support::Place;

/// A store with sealed prices and a backup.
fn backed_up() -> Place {
    let place = Place::with_store();
    place.done("seal");
    place.done("backup create");
    place
}

#[test]
fn a_lost_database_is_damage_and_backups_are_the_way_back() {
    let place = backed_up();
    fs::remove_file(place.store().join("store.redb")).unwrap();
    for arguments in ["stats", "verify", "bars get 000001.SZ", "doctor", "backup create"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 7, "{arguments}: {ran:?}");
        let told = ran.stdout + &ran.stderr;
        assert!(told.contains("store.redb is missing"), "{arguments}: {told}");
        assert!(told.contains("barkeeper backup restore latest"), "{arguments}: {told}");
        assert!(!told.contains("init"), "{arguments}: {told}");
    }
    let plan = place.run("backup restore latest --dry-run");
    assert!(plan.code == 0 && plan.stderr.contains("store.redb is missing"), "{plan:?}");
    let restored = place.run("backup restore latest --force");
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(restored.stderr.contains("There was no store.redb"), "{}", restored.stderr);
    assert!(!restored.stderr.contains("--undo"), "{}", restored.stderr);
    place.done("verify");
    let undo = place.run("backup restore --undo");
    assert_eq!(undo.code, 3, "{undo:?}");
    assert!(undo.stderr.contains("no store to go back to"), "{undo:?}");
}

#[test]
fn a_missing_segment_is_damage_with_the_way_back() {
    let place = backed_up();
    for segment in place.segments() {
        fs::remove_file(segment).unwrap();
    }
    for arguments in ["bars get 000001.SZ --all", "bars day 2023-07-20", "doctor", "verify"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 7, "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("backup restore latest --dry-run"), "{arguments}: {}", ran.stderr);
    }
    let made = place.run("backup create");
    assert_eq!(made.code, 7, "{made:?}");
    assert!(made.stderr.contains("the store is damaged: bars/"), "{made:?}");
    assert_eq!(place.run("backup create --quick").code, 0);
    let plan = place.run("backup restore 2 --dry-run --format csv");
    assert!(plan.stdout.contains("bars 1d/raw,") && plan.stdout.contains(",false"), "{plan:?}");
    assert!(plan.stderr.contains("does not verify"), "{plan:?}");
    place.done("backup restore 2 --force");
    place.done("verify");
}

#[test]
fn a_damaged_file_of_the_backups_is_written_anew_as_the_failed_test_says() {
    let place = backed_up();
    let sound = fs::read(place.segments().remove(0)).unwrap();
    let contents = fs::read_dir(place.store().join("backups/files")).unwrap();
    let content = contents.map(|entry| entry.unwrap().path()).find(|path| fs::read(path).unwrap() == sound);
    let content = content.unwrap();
    let mut bytes = sound;
    bytes[40] ^= 1;
    fs::write(&content, bytes).unwrap();
    let failed = place.run("backup verify");
    assert_eq!(failed.code, 7, "{failed:?}");
    let file = format!("files/{}", content.file_name().unwrap().to_str().unwrap());
    for told in
        [&file, "`barkeeper backup create --store store` writes that file anew", "backup list", "--to DIR"]
    {
        assert!(failed.stderr.contains(told), "{told}: {}", failed.stderr);
    }
    let dry = place.run("backup restore 1 --dry-run");
    assert!(dry.code == 7 && dry.stderr.contains("was found bad") && dry.stderr.contains(&file), "{dry:?}");
    let made = place.run("backup create");
    assert_eq!(made.code, 0, "{made:?}");
    let told =
        format!("1 damaged or missing file of earlier backups was written anew from the store: {file}");
    assert!(made.stderr.contains(&told), "{}", made.stderr);
    place.done("backup verify 1");
    place.done("backup verify 2");
}

#[test]
fn the_way_back_leads_past_a_backup_that_a_test_found_bad() {
    let place = backed_up();
    let databases = || -> Vec<_> {
        let files = fs::read_dir(place.store().join("backups/files")).unwrap().map(|one| one.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "redb")).collect()
    };
    let first = databases();
    place.done("positions set 000001.SZ --cost 6.30 --opened-on 2023-08-11 --account desk --quantity 100");
    place.done("backup create");
    let second = databases().into_iter().find(|path| !first.contains(path)).unwrap();
    let mut bytes = fs::read(&second).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&second, bytes).unwrap();
    assert_eq!(place.run("backup verify latest").code, 7);
    assert_eq!(place.json("backup info")["failed"], 1);
    fs::remove_file(place.store().join("store.redb")).unwrap();
    let lost = place.run("stats");
    assert!(lost.stderr.contains("backup restore 000001-"), "{}", lost.stderr);
    // A bad one is still better than none.
    fs::remove_file(&first[0]).unwrap();
    assert_eq!(place.run("backup verify 1").code, 7);
    assert!(place.run("stats").stderr.contains("backup restore latest"));
}

#[test]
fn damage_of_unused_pages_is_left_behind_by_the_command_that_verify_names() {
    const PAGE: usize = 4_096;
    let place = backed_up();
    let file = place.store().join("store.redb");
    let sound = fs::read(&file).unwrap();
    let full = |page: &usize| sound[page * PAGE..(page + 1) * PAGE].iter().any(|byte| *byte != 0);
    let hint = |page: usize| {
        let mut bytes = sound.clone();
        bytes[page * PAGE + 9] ^= 1;
        fs::write(&file, bytes).unwrap();
        let ran = place.run("verify");
        assert_eq!(ran.code, 7, "page {page}: {ran:?}");
        ran.stderr
    };
    let named =
        (1..sound.len() / PAGE).filter(full).map(hint).find(|told| told.contains("barkeeper compact"));
    assert!(named.is_some_and(|told| told.contains("all that is stored was read all the same")));
    place.done("compact");
    place.done("verify");
}

#[test]
fn an_undo_asks_before_it_takes_commits_away() {
    let place = backed_up();
    let positions = "positions set 000001.SZ --cost 6.30 --opened-on 2023-08-11 --account desk --quantity";
    place.done(&format!("{positions} 100"));
    place.done("sync add replica --sqlite replica.sqlite");
    let restored = place.run("backup restore latest --force");
    assert!(restored.stderr.contains("Commits go on at LSN 1000000001"), "{restored:?}");
    place.done(&format!("{positions} 200"));
    let plan = place.run("backup restore --undo --dry-run --format csv");
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.stdout.contains("positions,1,1,false"), "{}", plan.stdout);
    assert!(plan.stderr.contains("1 commit made since the restore"), "{}", plan.stderr);
    let asked = place.run("backup restore --undo");
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("1 commit made since the restore") && asked.stderr.contains("--yes"));
    assert_eq!(place.json("positions list --account desk")[0]["quantity"], 200);
    let undone = place.run("backup restore --undo --yes");
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(undone.stderr.contains("Targets that hold newer commits"), "{}", undone.stderr);
    assert_eq!(place.json("positions list --account desk")[0]["quantity"], 100);
}

#[test]
fn what_restores_keep_is_counted_and_removed_on_demand() {
    let place = backed_up();
    assert_eq!(place.json("stats")["space"]["former_states"], 0);
    place.done("backup restore latest --force");
    assert_eq!(place.json("stats")["space"]["former_states"], 1);
    assert!(place.json("stats")["space"]["former_bytes"].as_u64().unwrap() > 0);
    for arguments in ["trash", "doctor"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!((ran.stdout + &ran.stderr).contains("--empty --former-states"), "{arguments}");
    }
    let dry = place.run("trash --empty --former-states --dry-run");
    assert!(dry.code == 0 && dry.stdout.contains("before-restore-0001"), "{dry:?}");
    assert_eq!(place.run("trash --empty --former-states").code, 2);
    assert_eq!(place.json("stats")["space"]["former_states"], 1);
    place.done("trash --empty --former-states --yes");
    assert_eq!(place.json("stats")["space"]["former_states"], 0);
    assert_eq!(place.run("backup restore --undo").code, 3);
}

#[test]
fn hinted_rehearsals_exist_and_change_nothing() {
    let place = backed_up();
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("sync run");
    let asked = place.run("sync remove replica");
    assert!(asked.code == 2 && asked.stderr.contains("--dry-run"), "{asked:?}");
    let dry = place.run("sync remove replica --dry-run");
    assert!(dry.code == 0 && dry.stderr.contains("Nothing was changed"), "{dry:?}");
    assert!(place.done("sync status").contains("replica"));
    let dry = place.run("trash --empty --all --dry-run");
    assert!(dry.code == 0 && dry.stderr.contains("0 items would be deleted"), "{dry:?}");
    let nobody = place.run("snapshots prune nobody --keep 1");
    assert!(nobody.code == 3 && nobody.stderr.contains("nobody has saved no state"), "{nobody:?}");
    let one = place.json("backup info latest");
    assert!(one["name"].as_str().unwrap().starts_with("000001-") && one["lsn"].as_u64().unwrap() > 0);
    assert_eq!(place.run("backup info 9").code, 3);
}

#[test]
fn what_only_the_target_has_after_a_restore_is_pointed_to() {
    let place = backed_up();
    place.done("sync add replica --sqlite replica.sqlite");
    place.done("positions set 000001.SZ --quantity 100 --cost 6.30 --opened-on 2023-08-11 --account desk");
    place.done("sync run");
    place.done("backup restore latest --force");
    let run = place.run("sync run");
    assert!(run.code != 0 && run.stderr.contains("a person has to decide"), "{run:?}");
    let kept = place.run("sync resolve replica --keep-local");
    assert_eq!(kept.code, 0, "{kept:?}");
    assert!(kept.stderr.contains("barkeeper sync repair replica --dry-run"), "{}", kept.stderr);
    let listed = place.run("sync repair replica --dry-run --format json");
    assert!(listed.code == 1 && listed.stdout.contains("\"extra_there\": 1"), "{listed:?}");
    fs::remove_file(place.store().join("store.redb")).unwrap();
    assert_eq!(place.run("sync status").code, 7);
}

#[test]
fn a_lost_store_is_named_by_every_command_and_the_hint_names_what_works() {
    let place = Place::with_store();
    place.done("seal");
    fs::remove_file(place.store().join("store.redb")).unwrap();
    let settings = fs::read_to_string(place.store().join("barkeeper.toml")).unwrap();
    let none = format!("there is no backup in {}", Path::new("store").join("backups").display());
    for arguments in ["init", "stats", "sync add replica --sqlite replica.sqlite"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 7, "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("store.redb is missing"), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(&none), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("--from DIR"), "{arguments}: {ran:?}");
    }
    for arguments in ["backup list", "backup verify"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 3, "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(&format!("{none}: if there are some")), "{arguments}: {ran:?}");
        assert!(!ran.stderr.contains("backup create"), "{arguments}: {ran:?}");
    }
    assert_eq!(fs::read_to_string(place.store().join("barkeeper.toml")).unwrap(), settings);
    // With a backup, that is the way back.
    let place = backed_up();
    fs::remove_file(place.store().join("store.redb")).unwrap();
    for arguments in ["backup list", "backup verify"] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 0, "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("store.redb is missing"), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("barkeeper backup restore latest --dry-run"), "{arguments}: {ran:?}");
    }
    let init = place.run("init");
    assert!(init.code == 7 && init.stderr.contains("backup restore latest --dry-run"), "{init:?}");
}

#[test]
fn an_undo_tells_again_what_damage_it_brings_back() {
    let place = backed_up();
    let segment = place.segments().remove(0);
    let sound = fs::read(&segment).unwrap();
    let mut bytes = sound.clone();
    bytes[40] ^= 1;
    // A file of its own: the backup may share the former one's bytes.
    fs::remove_file(&segment).unwrap();
    fs::write(&segment, bytes).unwrap();
    place.done("backup restore latest --force");
    for more in [" --dry-run", ""] {
        let ran = place.run(&format!("backup restore --undo{more}"));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("warning: what would come back does not verify"), "{more}: {ran:?}");
    }
    assert_eq!(place.run("verify").code, 7);
}

#[test]
fn an_undo_does_not_warn_of_files_that_stay() {
    let place = backed_up();
    fs::remove_file(place.segments().remove(0)).unwrap();
    assert_eq!(place.run("verify").code, 7);
    place.done("backup restore latest --force");
    for more in [" --dry-run", ""] {
        let ran = place.run(&format!("backup restore --undo{more}"));
        assert!(ran.code == 0 && !ran.stderr.contains("warning"), "{more}: {ran:?}");
    }
    place.done("verify");
}

#[test]
fn an_older_former_state_can_be_gone_back_to() {
    let place = backed_up();
    place.done("positions set 000001.SZ --quantity 100 --cost 6.30 --opened-on 2023-08-11 --account desk");
    place.done("backup restore latest --force");
    assert_eq!(place.run("positions get 000001.SZ --account desk").code, 3);
    fs::remove_file(place.store().join("store.redb")).unwrap();
    let restored = place.run("backup restore latest --force");
    assert!(restored.stderr.contains("barkeeper backup restore --undo before-restore-0001"), "{restored:?}");
    let last = place.run("backup restore --undo");
    assert!(last.code == 3 && last.stderr.contains("backup list"), "{last:?}");
    let listed = place.run("backup list");
    assert!(
        listed.stderr.contains("--undo before-restore-0001") && !listed.stderr.contains("0002"),
        "{listed:?}"
    );
    let none = place.run("backup restore --undo before-restore-0009");
    assert!(none.code == 3 && none.stderr.contains("no former state 'before-restore-0009'"), "{none:?}");
    let plan = place.run("backup restore --undo before-restore-0001 --dry-run --format csv");
    assert!(plan.stdout.contains("positions,0,1,false"), "{plan:?}");
    place.done("backup restore --undo before-restore-0001");
    assert_eq!(place.json("positions get 000001.SZ --account desk")["quantity"], 100);
    place.done("verify");
}
