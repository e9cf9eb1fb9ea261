//! SilverQuant's state folders as files: positions, extremes, and the trade log in GBK or UTF-8.

use std::fmt::Display;

use encoding_rs::GBK;

use super::ledger::{Fill, Ledger};
use super::market::{ListingKind, Market};
use super::market_files::push;

/// How one account's program wrote its files.
pub(crate) struct Shape {
    pub(crate) account: &'static str,
    /// The folder's name.
    pub(crate) book: &'static str,
    /// Chinese Windows, else Linux.
    gbk: bool,
    /// `positions.json` of version 4, else `held_days.json` of version 3.
    version_4: bool,
}

/// The accounts of every market.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { account: "demo-1", book: "prod_pwc", gbk: true, version_4: true },
    Shape { account: "demo-2", book: "test_pwc", gbk: false, version_4: true },
    Shape { account: "demo-3", book: "staging_pwc", gbk: true, version_4: false },
];

/// The files of one folder.
pub(crate) fn files(market: &Market, ledger: &Ledger, shape: &Shape) -> Vec<(&'static str, Vec<u8>)> {
    let held = if shape.version_4 { positions(market, ledger) } else { held_days(market, ledger) };
    let name = if shape.version_4 { "positions.json" } else { "held_days.json" };
    let extremes = |pick: fn(&super::ledger::Holding) -> f64| {
        let prices = ledger.open().map(|(place, held)| (code(market, place), pick(held)));
        object(prices.map(|(code, price)| (code, format!("{price:?}"))))
    };
    let log = deal_hist(market, ledger);
    let log = if shape.gbk { GBK.encode(&log).0.into_owned() } else { log.into_bytes() };
    vec![
        (name, held.into_bytes()),
        ("max_price.json", extremes(|held| held.highest).into_bytes()),
        ("min_price.json", extremes(|held| held.lowest).into_bytes()),
        ("deal_hist.csv", log),
    ]
}

fn code(market: &Market, place: usize) -> String {
    market.listings().get(place).map(|listing| listing.instrument.to_string()).unwrap_or_default()
}

/// A JSON object in the form of Python's `json.dumps(indent=4)`.
fn object<V: Display>(fields: impl Iterator<Item = (String, V)>) -> String {
    let lines: Vec<String> = fields.map(|(key, value)| format!("    \"{key}\": {value}")).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

fn positions(market: &Market, ledger: &Ledger) -> String {
    let held = ledger.holdings.iter().map(|(place, held)| {
        let days = held.days.map_or_else(|| "null".to_owned(), |days| days.to_string());
        (code(market, *place), format!("{{\n        \"day_count\": {days}\n    }}"))
    });
    object(held.chain([("_inc_date".to_owned(), format!("\"{}\"", ledger.incremented_on))]))
}

fn held_days(market: &Market, ledger: &Ledger) -> String {
    let marker = [("_inc_date".to_owned(), format!("\"{}\"", ledger.incremented_on))];
    let held = ledger.open().map(|(place, held)| (code(market, place), held.days.unwrap_or(0).to_string()));
    object(marker.into_iter().chain(held))
}

/// The header ends with LF and rows with CRLF, as Python's `csv` writes behind a plain header.
fn deal_hist(market: &Market, ledger: &Ledger) -> String {
    let mut text = "日期,时间,代码,名称,类型,注释,成交价,成交量\n".to_owned();
    for fill in &ledger.fills {
        let (order, done) =
            if fill.buys { ("限买委托", "买入成交") } else { ("限卖委托", "卖出成交") };
        let why = if fill.buys { "选股买入" } else { "\"止盈, 卖出\"" };
        for (second, kind, remark) in [(fill.second, order, why), (fill.second + 2, done, "")] {
            line(&mut text, market, fill, second, kind, remark);
        }
    }
    text
}

fn line(text: &mut String, market: &Market, fill: &Fill, second: u32, kind: &str, remark: &str) {
    let Some(listing) = market.listings().get(fill.place) else { return };
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let price = match listing.kind {
        ListingKind::Fund => f64::from(fill.steps) / 1000.0,
        ListingKind::Stock | ListingKind::Index => f64::from(fill.steps) / 100.0,
    };
    let (day, instrument, name, quantity) = (fill.day, listing.instrument, &listing.name, fill.quantity);
    push(
        text,
        format_args!(
            "{day},{hours:02}:{minutes:02}:{seconds:02},{instrument},{name},{kind},{remark},{price:?},{quantity}\r\n"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::MarketSpec;

    #[test]
    fn the_files_of_a_folder_read_as_silverquant_wrote_them() {
        let market = Market::new(MarketSpec { instruments: 60, days: 40, live_days: 0, seed: 1 });
        let ledger = Ledger::new(&market, 0);
        for shape in &SHAPES {
            let files = files(&market, &ledger, shape);
            let find = |name: &str| files.iter().find(|(found, _)| *found == name).map(|(_, bytes)| bytes);
            let held = find(if shape.version_4 { "positions.json" } else { "held_days.json" }).unwrap();
            let held: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(held).unwrap();
            assert_eq!(held.get("_inc_date").unwrap(), &ledger.incremented_on.to_string());
            let expected = if shape.version_4 { ledger.holdings.len() } else { ledger.open().count() };
            assert_eq!(held.len(), 1 + expected);
            let log = find("deal_hist.csv").unwrap();
            assert_eq!(std::str::from_utf8(log).is_err(), shape.gbk);
            let (log, _, wrong) = if shape.gbk { GBK.decode(log) } else { encoding_rs::UTF_8.decode(log) };
            assert!(!wrong && log.lines().count() == 1 + ledger.lines());
        }
    }
}
