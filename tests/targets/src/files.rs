//! Files of other programs, under the names and with the options that matter to their parsers.

use barkeeper_records::Calendar;
use barkeeper_sources::{
    ImportOptions, PerShares, SourceFile, corporate_actions as actions_of, detect, merge_positions, sources,
};

/// Reads bytes as a source would; the first byte chooses the name and the options.
fn parse(source: &str, names: &[&str], bytes: &[u8]) -> bool {
    let Some((&choice, bytes)) = bytes.split_first() else { return false };
    let (choice, name) = (usize::from(choice), names[usize::from(choice) % names.len()]);
    let folder = [None, Some("_daily_mootdx"), Some("_daily_akshare"), Some("prod_pwc")][choice / 16 % 4];
    let named = ImportOptions { source: Some(source.to_owned()), ..ImportOptions::default() };
    let options = if choice < 128 {
        ImportOptions { account: "a".parse().ok(), ..named }
    } else {
        ImportOptions {
            instrument: "600000.SH".parse().ok(),
            interval: "1d".parse().ok(),
            account: "a".parse().ok(),
            book: "b".parse().ok(),
            unit: "lots".parse().ok(),
            ..named
        }
    };
    let file = SourceFile { name, folder, bytes };
    for source in sources() {
        source.recognises(&file);
    }
    let Ok(source) = detect(&file, &options) else { panic!("a source has gone") };
    match source.parse(&file, &options) {
        Ok(parsed) => {
            assert!(parsed.rows() <= bytes.len() as u64, "more rows than bytes");
            for row in &parsed.rejected {
                assert!(!row.reason.is_empty() && !row.to_string().is_empty());
            }
            let taken = parsed.rows() > 0;
            drop(merge_positions(&[parsed.clone(), parsed]));
            taken
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

pub(crate) fn tdx_day(bytes: &[u8]) -> bool {
    parse("tdx-day", &["sh600000.day", "sz000001.day", "sh000001.day", "sz128001.day", "x.day"], bytes)
}

pub(crate) fn silverquant_kline(bytes: &[u8]) -> bool {
    parse(
        "silverquant-kline",
        &["000001.SZ.csv", "600000.SH.csv", "_daily_mootdx__000001.SZ.csv", "x"],
        bytes,
    )
}

pub(crate) fn silverquant_state(bytes: &[u8]) -> bool {
    let names = [
        "held_days.json",
        "positions.json",
        "max_price.json",
        "min_price.json",
        "deal_hist.csv",
        "trades.csv",
    ];
    parse("silverquant-state", &names, bytes)
}

pub(crate) fn binance_kline(bytes: &[u8]) -> bool {
    let names = ["BTCUSDT-1h-2024-01.csv", "BTCUSDT-1d-2024-01.csv", "BTCUSDT-1mo-2024-01.csv", "x.csv"];
    parse("binance-kline", &names, bytes)
}

pub(crate) fn binance_trades(bytes: &[u8]) -> bool {
    let names = [
        "BTCUSDT-trades-2024-01-01.csv",
        "BTCUSDT-aggTrades-2024-01.csv",
        "BTCUSD_PERP-trades-2024-01.csv",
        "x.csv",
    ];
    parse("binance-trades", &names, bytes)
}

pub(crate) fn vnpy_tick(bytes: &[u8]) -> bool {
    parse("vnpy-tick", &["rb2405.csv", "x"], bytes)
}

pub(crate) fn bars_csv(bytes: &[u8]) -> bool {
    parse("bars-csv", &["bars.csv", "x"], bytes)
}

/// The first byte chooses for how many shares the terms are.
pub(crate) fn corporate_actions(bytes: &[u8]) -> bool {
    let Some((&choice, bytes)) = bytes.split_first() else { return false };
    let per = if choice % 2 == 0 { PerShares::One } else { PerShares::Ten };
    let file = SourceFile { name: "actions.csv", folder: None, bytes };
    match actions_of(&file, per, &Calendar::default()) {
        Ok(events) => {
            let keys: Vec<_> = events.iter().map(|(_, event)| (event.instrument, event.ex_day)).collect();
            assert!(keys.is_sorted_by(|one, next| one < next), "an instrument has two actions on a day");
            assert!(events.iter().all(|(_, event)| event.plausible().is_ok()));
            !events.is_empty()
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}
