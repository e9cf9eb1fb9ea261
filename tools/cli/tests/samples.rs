//! Real files of other programs, from the folder that `BARKEEPER_SAMPLES` names or beside the workspace.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is said")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::Place;

/// The samples' folder; tests that need it say so and pass without it.
fn samples() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("BARKEEPER_SAMPLES")
        .map_or_else(|| root.join("../shared/samples"), |set| root.join(set));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no folder {}", folder.display());
    None
}

fn import(place: &Place, file: &Path, more: &str) -> Value {
    let mut command = place.command();
    command.arg("import").arg(file).args(more.split_whitespace()).args(["--format", "json"]);
    let ran = support::ran(&command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The last records of a TDX file, as the command line has to print them.
fn records(file: &Path, count: usize) -> Vec<Value> {
    let bytes = fs::read(file).unwrap();
    let mut records = bytes.chunks_exact(32).rev().take(count).map(record).collect::<Vec<_>>();
    records.reverse();
    records
}

fn record(bytes: &[u8]) -> Value {
    let word = |place: usize| <[u8; 4]>::try_from(&bytes[place * 4..place * 4 + 4]).unwrap();
    let number = |place: usize| u32::from_le_bytes(word(place));
    let price = |place: usize| f64::from(number(place)) / 100.0;
    let date = number(0).to_string();
    let day = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    json!({
        "ts": format!("{day}T00:00:00Z"),
        "trading_day": day,
        "open": price(1),
        "high": price(2),
        "low": price(3),
        "close": price(4),
        "volume": f64::from(number(6)),
        "turnover": f64::from(f32::from_le_bytes(word(5))),
    })
}

/// Numbers as numbers: `1` and `1.0` are one.
fn as_f64(mut rows: Value) -> Value {
    for row in rows.as_array_mut().unwrap() {
        for value in row.as_object_mut().unwrap().values_mut() {
            if let Some(number) = value.as_f64() {
                *value = json!(number);
            }
        }
    }
    rows
}

#[test]
fn a_real_tdx_file_is_printed_as_it_was_written() {
    let Some(samples) = samples() else { return };
    let place = Place::new();
    place.done("init");
    let file = samples.join("tdx/sz000001.day");
    let report = import(&place, &file, "");
    assert_eq!(report["bars"]["inserted"], 4995);
    let printed = place.done("bars get 000001.SZ --last 3 --format json");
    let fields: Vec<&str> = printed.lines().nth(1).unwrap().split('"').skip(1).step_by(2).collect();
    // Names and texts in turn: exactly these columns, in this order.
    let names = ["ts", "trading_day", "open", "high", "low", "close", "volume", "turnover"];
    assert!(names.iter().all(|name| fields.contains(name)), "{fields:?}");
    let rows = as_f64(serde_json::from_str(&printed).unwrap());
    assert_eq!(rows, Value::Array(records(&file, 3)));
    assert!(rows[0].as_object().unwrap().len() == 8);
    let all = as_f64(place.json("bars get 000001.SZ --all"));
    assert_eq!(all, Value::Array(records(&file, usize::MAX)));
    // Again: nothing changes.
    let again = import(&place, &file, "");
    assert_eq!((&again["bars"]["unchanged"], &again["commits"]), (&json!(4995), &json!(0)));
}

#[test]
fn an_adjusted_kline_file_leaves_the_raw_bars_alone_in_either_order() {
    let Some(samples) = samples() else { return };
    let tdx = samples.join("tdx/sz000001.day");
    let expected = Value::Array(records(&tdx, usize::MAX));
    for kline_first in [true, false] {
        let place = Place::new();
        place.done("init");
        let folder = place.path().join("_daily_mootdx");
        fs::create_dir(&folder).unwrap();
        let kline = folder.join("000001.SZ.csv");
        fs::copy(samples.join("silverquant/_daily_mootdx__000001.SZ.csv"), &kline).unwrap();
        let order = if kline_first { [&kline, &tdx] } else { [&tdx, &kline] };
        for file in order {
            import(&place, file, "");
        }
        assert_eq!(as_f64(place.json("bars get 000001.SZ --all")), expected);
        let series = place.json("bars stats 000001.SZ");
        let shown: Vec<String> = series
            .as_array()
            .unwrap()
            .iter()
            .map(|s| format!("{} {}", s["adjustment"], s["count"]))
            .collect();
        assert_eq!(shown, ["\"raw\" 4995", "\"qfq\" 300"]);
    }
}

#[test]
fn binance_files_without_a_telling_name_need_to_be_told() {
    let Some(samples) = samples() else { return };
    let place = Place::new();
    place.done("init");
    let milliseconds = samples.join("binance/spot_klines_1h_ms_noheader.csv");
    let mut untold = place.command();
    let ran = support::ran(&untold.arg("import").arg(&milliseconds).output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("hint: give --in"), "{}", ran.stderr);
    import(&place, &milliseconds, "--instrument BTCUSDT.BINANCE --interval 1h");
    let microseconds = samples.join("binance/spot_klines_1s_us_noheader.csv");
    import(&place, &microseconds, "--instrument XRPUSDT.BINANCE --interval 1s");
    let hour = place.json("bars get BTCUSDT.BINANCE --interval 1h");
    assert_eq!(hour[0]["ts"], "2023-10-27T00:00:00Z");
    assert_eq!((&hour[0]["close"], &hour[0]["turnover"]), (&json!(34015.27), &json!(30_937_869.623_026)));
    let second = place.json("bars get XRPUSDT.BINANCE --interval 1s");
    assert_eq!((&second[0]["ts"], &second[0]["volume"]), (&json!("2025-01-01T00:00:00Z"), &json!(27)));
}

#[test]
fn a_log_in_gbk_and_in_utf_8_is_one_log() {
    let Some(samples) = samples() else { return };
    let place = Place::new();
    place.done("init");
    let folder = place.path().join("prod_pwc");
    fs::create_dir(&folder).unwrap();
    let mut recorded = Vec::new();
    for encoding in ["gbk", "utf8"] {
        let log = folder.join("deal_hist.csv");
        fs::copy(samples.join(format!("silverquant/deal_hist.{encoding}.csv")), &log).unwrap();
        let report = import(&place, &log, "--account acc");
        recorded.push(report["trades"]["recorded"].as_u64().unwrap());
    }
    assert!(recorded[0] > 0 && recorded[1] == 0, "{recorded:?}");
    let trades = place.json("trades list --account acc --all");
    assert_eq!(trades.as_array().unwrap().len() as u64, recorded[0]);
    assert!(trades.as_array().unwrap().iter().any(|trade| trade["name"] == "平安银行"));
}
