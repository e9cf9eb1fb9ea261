//! `barkeeper sql`: what it answers, what it refuses, and what it says where it was not built in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::{Place, Ran, ran};

fn sql(place: &Place, arguments: &[&str]) -> Ran {
    ran(&place.command().arg("sql").args(arguments).output().unwrap())
}

#[cfg(not(feature = "polars"))]
#[test]
fn a_program_without_it_names_the_one_that_has_it() {
    let place = Place::with_store();
    let ran = sql(&place, &["select 1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(
        ran.stderr.contains("released programs have it") && ran.stderr.contains("--features polars"),
        "{ran:?}"
    );
}

#[cfg(feature = "polars")]
mod with_polars {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;
    use std::process::Stdio;

    use super::{Place, sql, support};

    #[test]
    fn queries_print_what_the_page_says() {
        support::run_page(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/polars/sql.trycmd"));
    }

    #[test]
    fn no_query_reaches_a_file_or_an_address() {
        let place = Place::with_store();
        let secret = place.path().join("secret.csv");
        fs::write(&secret, "word\nxyzzy\n").unwrap();
        let path = secret.display().to_string();
        let before: Vec<_> = listing(place.path());
        for query in [
            format!("select * from read_csv('{path}')"),
            "select * from read_csv('secret.csv')".to_owned(),
            format!("select * from READ_CSV('{path}') where 1 = 1"),
            format!("select * from read_parquet('{path}')"),
            format!("select * from read_ipc('{path}')"),
            format!("select * from read_json('{path}')"),
            format!("select * from read_ndjson('{path}')"),
            format!("select * from scan_csv('{path}')"),
            format!("select * from parquet_scan('{path}')"),
            format!("select * from glob('{path}')"),
            format!("select * from '{path}'"),
            format!("select * from \"{path}\""),
            format!("select * from `{path}`"),
            format!("from '{path}'"),
            format!("table '{path}'"),
            format!("select read_csv('{path}')"),
            format!("select * from bars where instrument in (select word from read_csv('{path}'))"),
            format!("with t as (select * from read_csv('{path}')) select * from t"),
            format!("select * from bars union all select * from read_csv('{path}')"),
            format!("select * from bars join read_csv('{path}') using (instrument)"),
            format!("explain select * from read_csv('{path}')"),
            format!("create table t as select * from read_csv('{path}')"),
            format!("copy bars to '{path}'"),
            format!("copy (select 1) to '{path}'"),
            format!("insert into bars select * from read_csv('{path}')"),
            format!("attach '{path}' as x"),
            format!("load data infile '{path}' into table bars"),
            format!("install '{path}'"),
            "select * from read_csv('https://example.org/x.csv')".to_owned(),
            "select * from read_parquet('s3://bucket/x.parquet')".to_owned(),
            "select * from 'https://example.org/x.csv'".to_owned(),
        ] {
            let ran = sql(&place, &[&query]);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{query}: {ran:?}");
            assert!(ran.stderr.starts_with("error: ") && !ran.stderr.contains("xyzzy"), "{query}: {ran:?}");
            assert!(!ran.stderr.contains("panicked"), "{query}: {ran:?}");
        }
        assert_eq!(listing(place.path()), before);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "word\nxyzzy\n");
    }

    fn listing(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_changed_by_a_statement() {
        let place = Place::with_store();
        let count = || sql(&place, &["select count(*) as n from bars", "--format", "csv"]).stdout;
        let before = count();
        for statement in [
            "drop table bars",
            "delete from bars",
            "delete from bars where close > 1",
            "truncate table bars",
            "update bars set close = 1",
            "create table bars as select 1",
            "insert into bars values (1)",
            "alter table bars drop column close",
            "select 1; drop table bars",
            "with gone as (delete from bars returning *) select * from gone",
        ] {
            let ran = sql(&place, &[statement]);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{statement}: {ran:?}");
        }
        assert_eq!(count(), before);
        assert_ne!(before, "n\n0\n");
    }

    #[test]
    fn an_empty_answer_says_what_there_is_none_of_and_polars_keeps_its_notes() {
        let place = Place::with_store();
        for (query, says) in [
            (
                "select * from bars where instrument = '600009.SH'",
                "no bars, ticks, market trades or positions of 600009.SH",
            ),
            (
                "select * from bars b where b.instrument in ('sh600000')",
                "tables name it '600000.SH', not 'sh600000'",
            ),
            ("select * from bars where instrument = 'moon'", "note: "),
            ("select * from bars where interval = '5m'", "the store has no bars of 5m"),
            ("select * from bars where 'daily' = interval", "note: "),
        ] {
            let ran = sql(&place, &[query]);
            assert!(
                ran.code == 0 && ran.stderr.contains(says) && ran.stderr.contains("0 rows"),
                "{query}: {ran:?}"
            );
        }
        let sum =
            sql(&place, &["select sum(close) from bars where instrument in ('600000.SH', '60O000.SH')"]);
        assert!(sum.code == 0 && sum.stderr.contains("note: "), "{sum:?}");
        let none = sql(&place, &["select * from bars where instrument = '600000.SH' and close < 0"]);
        assert!(none.code == 0 && !none.stderr.contains("note"), "{none:?}");
        let list = "select count(*) as n from bars where instrument in (select instrument from bars)";
        let ran = sql(&place, &[list]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, "1 row.\n"), "{ran:?}");
    }

    #[test]
    fn a_query_may_come_from_standard_input() {
        let place = Place::with_store();
        let mut child = place
            .command()
            .args(["sql", "-", "--format", "csv", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"select 1 + 1 as two\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "two\n2\n");
    }

    #[test]
    fn damaged_segments_are_7() {
        let place = Place::with_store();
        place.done("seal");
        for segment in place.segments() {
            let mut bytes = fs::read(&segment).unwrap();
            let middle = bytes.len() / 4;
            bytes[middle] ^= 0xff;
            fs::write(&segment, bytes).unwrap();
        }
        let ran = sql(
            &place,
            &["select sum(close), sum(high), sum(low), sum(open), sum(volume), sum(turnover) from bars"],
        );
        assert_eq!((ran.code, ran.stdout.as_str()), (7, ""), "{ran:?}");
        assert!(ran.stderr.contains("barkeeper verify"), "{ran:?}");
    }
}
