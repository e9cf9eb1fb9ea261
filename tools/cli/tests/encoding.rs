//! The bytes of stdout: UTF-8 by default, GBK or UTF-8 with a mark where they are asked for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::Place;

/// What a command writes to a pipe.
fn bytes(place: &Place, arguments: &[&str]) -> Vec<u8> {
    let output = place.command().args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn csv_is_written_in_the_encoding_that_was_asked_for() {
    let place = Place::new();
    place.done("init --account 国金");
    place.done("positions set 600000.SH --quantity 1000 --cost 6.30 --opened-on 2023-08-11");
    let csv = ["positions", "list", "--format", "csv", "--encoding"];
    let plain = bytes(&place, &csv[..4]);
    let text = String::from_utf8(plain.clone()).unwrap();
    assert!(text.contains("\n国金,main,600000.SH,"), "{text}");
    let asked = |encoding| bytes(&place, &[&csv[..], &[encoding]].concat());
    assert_eq!(asked("utf8"), plain);
    assert_eq!(asked("utf8-bom"), [b"\xef\xbb\xbf", plain.as_slice()].concat());
    let gbk = asked("gbk");
    assert!(gbk.windows(10).any(|part| part == b"\n\xb9\xfa\xbd\xf0,main"), "{gbk:?}");
    assert_eq!(gbk.len(), plain.len() - 2);
}

#[test]
fn a_character_that_gbk_lacks_is_an_error_and_no_question_mark() {
    let place = Place::new();
    place.done("init --account 🀄");
    place.done("positions set 600000.SH --quantity 1000 --cost 6.30 --opened-on 2023-08-11");
    let ran = place.run("positions list --format csv --encoding gbk");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("GBK has no '🀄' (U+1F004)"), "{}", ran.stderr);
}
