//! `binance-trades`: trade archives of Binance, unzipped: `BTCUSDT-trades-2024-01-01.csv` and
//! `BTCUSDT-aggTrades-2024-01.csv`, spot and futures.
//!
//! | file | columns |
//! |---|---|
//! | spot trades | id, price, qty, quoteQty, time, isBuyerMaker, isBestMatch; no header |
//! | futures trades | `id, price, qty, quote_qty` or `base_qty`, `time, is_buyer_maker` |
//! | spot aggTrades | id, price, qty, first id, last id, time, isBuyerMaker, isBestMatch; no header |
//! | futures aggTrades | `agg_trade_id, price, quantity, first_trade_id, last_trade_id, transact_time, is_buyer_maker` |
//!
//! Times are milliseconds or microseconds, told apart row by row. Where the buyer was the maker, the seller
//! took the price. The ids are the sequence. Coin-margined futures count contracts and state no turnover.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use barkeeper_records::{InstrumentId, MarketEvent as _, MarketTrade, Side, Timestamp, TradingDay};
use csv::StringRecord;

use crate::binance_kline::Moment;
use crate::decode::{decode, first_line};
use crate::error::SourceError;
use crate::parsed::{Parsed, RejectedRow};
use crate::sheet::{Sheet, positive, quantity};
use crate::source::{ImportOptions, Source, SourceFile, stem};
use crate::span::Span;

const NAME: &str = "binance-trades";

/// Trades and aggregated trades of Binance.
pub(crate) struct BinanceTrades;

impl Source for BinanceTrades {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "trades of Binance, such as BTCUSDT-trades-2024-01-01.csv and BTCUSDT-aggTrades-2024-01.csv"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        let line = first_line(file.bytes);
        // Twelve columns are a kline, whatever the name says.
        let named = archive(file.name).is_some() && line.split(',').count() != 12;
        file.stem("csv").is_some() && (named || Layout::of_header(&line).is_some())
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        parse(file, options)
    }
}

/// Instrument, kind and days in a name such as `BTCUSDT-aggTrades-2024-01-31.csv`; true for aggregated trades.
fn archive(name: &str) -> Option<(InstrumentId, bool, Span)> {
    let parts: Vec<&str> = stem(name, "csv")?.split('-').collect();
    let [symbol, kind, date @ ..] = parts.as_slice() else { return None };
    let span = Span::of(date)?;
    let aggregated = match *kind {
        "trades" => false,
        "aggTrades" => true,
        _ => return None,
    };
    Some((InstrumentId::parse(&format!("{symbol}.BINANCE")).ok()?, aggregated, span))
}

/// Where the columns stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    aggregated: bool,
    /// Where the turnover stands, if anywhere.
    turnover: Option<usize>,
    time: usize,
}

const TRADES: Layout = Layout { aggregated: false, turnover: Some(3), time: 4 };
const COIN_TRADES: Layout = Layout { turnover: None, ..TRADES };
const AGGREGATED: Layout = Layout { aggregated: true, turnover: None, time: 5 };

impl Layout {
    fn of_header(line: &str) -> Option<Self> {
        let plain: Vec<String> =
            line.split(',').map(|cell| cell.trim().to_ascii_lowercase().replace('_', "")).collect();
        let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
        match plain.as_slice() {
            ["id", "price", "qty", "quoteqty", "time", "isbuyermaker", ..] => Some(TRADES),
            ["id", "price", "qty", "baseqty", "time", "isbuyermaker", ..] => Some(COIN_TRADES),
            [
                "aggtradeid",
                "price",
                "quantity",
                "firsttradeid",
                "lasttradeid",
                "transacttime",
                "isbuyermaker",
                ..,
            ] => Some(AGGREGATED),
            _ => None,
        }
    }

    /// Columns of a row at the least.
    const fn columns(self) -> usize {
        self.time + 2
    }
}

fn parse(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
    let named = archive(file.name);
    let instrument = options.instrument.or(named.as_ref().map(|(instrument, ..)| *instrument));
    let hint =
        "the name is not like BTCUSDT-trades-2024-01-01.csv; give an instrument such as BTCUSDT.BINANCE";
    let instrument = instrument.ok_or_else(|| SourceError::missing(file, "instrument", hint))?;
    let text = decode(file)?;
    let mut sheet = Sheet::new(file.name, &text)?;
    let mut layout = named.as_ref().map(|(_, aggregated, _)| if *aggregated { AGGREGATED } else { TRADES });
    let mut span = named.map(|(.., span)| span);
    let mut parsed = Parsed::new(NAME, format!("{NAME}: instants in UTC, {}", text.encoding));
    let mut places: HashMap<(Timestamp, u64), usize> = HashMap::new();
    let mut first = true;
    while let Some((line, record)) = sheet.next()? {
        if std::mem::take(&mut first) {
            if let Some(found) = Layout::of_header(&record.iter().collect::<Vec<_>>().join(",")) {
                layout = Some(found);
                continue;
            }
            let hint = "without a header the name has to say trades or aggTrades, as the archives' names do";
            let known = layout.ok_or_else(|| SourceError::missing(file, "source", hint))?;
            if record.len() < known.columns() {
                let (file, found) = (file.name.to_owned(), record.len() as u64);
                return Err(SourceError::Columns { file, line, found, expected: known.columns() as u64 });
            }
        }
        let Some(layout) = layout else { continue };
        match row(record, layout) {
            Ok(trade) => {
                if let Some(span) = &mut span {
                    span.see(line, trade.trading_day);
                }
                match places.entry((trade.ts, trade.sequence)) {
                    Entry::Vacant(slot) => {
                        slot.insert(parsed.market_trades.len());
                        parsed.market_trades.push((instrument, trade));
                    }
                    Entry::Occupied(slot) => {
                        let before = parsed.market_trades.get(*slot.get());
                        if before.is_none_or(|(_, before)| !before.same_content(&trade)) {
                            let reason = "another row with this id and time has other values";
                            let id = trade.sequence.to_string();
                            parsed.rejected.push(RejectedRow::new(file.name, line, "id", &id, reason));
                        }
                    }
                }
            }
            Err((field, value, reason)) => {
                parsed.rejected.push(RejectedRow::new(file.name, line, field, value, reason));
            }
        }
    }
    if parsed.market_trades.is_empty() {
        parsed.notes.push("the file holds no trades".to_owned());
    }
    parsed.notes.extend(span.and_then(|span| span.note()));
    if layout == Some(COIN_TRADES) {
        parsed.notes.push("quantities are contracts, and there is no turnover".to_owned());
    }
    Ok(parsed)
}

fn row(record: &StringRecord, layout: Layout) -> Result<MarketTrade, (&'static str, &str, String)> {
    let cell = |place: usize| record.get(place).unwrap_or_default().trim();
    if record.len() < layout.columns() {
        return Err(("row", cell(0), format!("expected at least {} columns", layout.columns())));
    }
    let told = |field: &'static str, place: usize| {
        move |reason: &'static str| (field, record.get(place).unwrap_or_default().trim(), reason.to_owned())
    };
    let sequence = cell(0).parse::<i64>().ok().and_then(|id| u64::try_from(id).ok());
    let sequence = sequence.ok_or_else(|| told("id", 0)("expected a number from 0"))?;
    let moment = Moment::read(cell(layout.time)).map_err(told("time", layout.time))?;
    let ts = Timestamp::from_nanos(moment.nanos());
    let outside = "lies outside the years 1678 to 2261";
    let trading_day = TradingDay::of_utc(ts).ok_or_else(|| told("time", layout.time)(outside))?;
    let turnover = match layout.turnover {
        Some(place) => quantity(cell(place)).map_err(told("quote_qty", place))?,
        None => 0.0,
    };
    let maker = layout.time + 1;
    let side = match cell(maker) {
        "True" | "true" | "TRUE" => Side::Sell,
        "False" | "false" | "FALSE" => Side::Buy,
        _ => return Err(told("is_buyer_maker", maker)("expected true or false")),
    };
    let trade = MarketTrade {
        ts,
        sequence,
        trading_day,
        price: positive(cell(1)).map_err(told("price", 1))?,
        quantity: positive(cell(2)).map_err(told("quantity", 2))?,
        turnover,
        side,
        aggregated: layout.aggregated,
    };
    trade.born().map_err(|error| ("row", cell(0), error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::detect;
    use crate::testing::{no_panic, sample};

    fn read(name: &str, text: &str) -> Result<Parsed, SourceError> {
        let file = SourceFile { name, folder: None, bytes: text.as_bytes() };
        let options = ImportOptions::default();
        detect(&file, &options)?.parse(&file, &options)
    }

    #[test]
    fn the_four_layouts_are_read() {
        let spot =
            "1,4986.5,5.0,24932.5,1499040001000,True,True\n2,4986.1,2,9972.2,1735689600000001,False,True\n";
        let parsed = read("BTCUSDT-trades-2017-07-03.csv", spot).unwrap();
        let [(instrument, first), (_, second)] = parsed.market_trades.as_slice() else {
            panic!("{parsed:?}")
        };
        assert_eq!(instrument.as_str(), "BTCUSDT.BINANCE");
        assert_eq!((first.sequence, first.price, first.quantity, first.turnover), (1, 4986.5, 5.0, 24932.5));
        assert_eq!((first.side, second.side, first.aggregated), (Side::Sell, Side::Buy, false));
        assert_eq!(first.ts.to_string(), "2017-07-03T00:00:01Z");
        assert_eq!(second.ts.to_string(), "2025-01-01T00:00:00.000001Z");
        let futures = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n\
                       7,4261.48,0.051,1,3,1569109379925,false\n";
        let parsed = read("BTCUSDT-aggTrades-2019-09.csv", futures).unwrap();
        let (_, trade) = parsed.market_trades[0];
        assert!(trade.aggregated && trade.side == Side::Buy && trade.turnover == 0.0);
        let coin = "id,price,qty,base_qty,time,is_buyer_maker\n9,78526.1,83.0,0.1,1788220802731,true\n";
        let parsed = read("BTCUSD_PERP-trades-2026-09-01.csv", coin).unwrap();
        assert_eq!((parsed.market_trades[0].1.turnover, parsed.notes.len()), (0.0, 1));
    }

    #[test]
    fn bad_rows_are_named_and_repeated_ones_count_once() {
        let text = "1,1.5,5,7.5,1499040001000,True,True\nx,1.5,5,7.5,1499040001000,True,True\n\
                    2,nan,5,7.5,1499040001000,True,True\n3,1.5,-5,7.5,1499040001000,True,True\n\
                    4,1.5,5,7.5,1499040001000,yes,True\n1,1.5,5,7.5,1499040001000,True,True\n\
                    1,1.6,5,7.5,1499040001000,True,True\n";
        let parsed = read("BTCUSDT-trades-2017-07-03.csv", text).unwrap();
        assert_eq!(parsed.market_trades.len(), 1);
        let fields: Vec<(u64, &str)> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str())).collect();
        assert_eq!(fields, [(2, "id"), (3, "price"), (4, "quantity"), (5, "is_buyer_maker"), (7, "id")]);
    }

    #[test]
    fn trades_of_nothing_or_for_less_are_no_trades() {
        let text = "1,-1.5,5,7.5,1499040001000,True,True\n2,0,5,7.5,1499040001000,True,True\n\
                    3,1.5,0,7.5,1499040001000,True,True\n4,1.5,5,-7.5,1499040001000,True,True\n\
                    5,1.5,5,7.5,1499040001000,True,True\n";
        let parsed = read("BTCUSDT-trades-2017-07-03.csv", text).unwrap();
        assert_eq!((parsed.market_trades.len(), parsed.notes.len()), (1, 0), "{:?}", parsed.notes);
        let shown: Vec<String> = parsed.rejected.iter().map(ToString::to_string).collect();
        let fields = [(1, "price '-1.5'"), (2, "price '0'"), (3, "quantity '0'"), (4, "quote_qty '-7.5'")];
        for ((line, field), shown) in fields.into_iter().zip(&shown) {
            let start = format!("BTCUSDT-trades-2017-07-03.csv:{line}: {field}: expected a number");
            assert!(shown.starts_with(&start), "{shown}");
        }
        assert_eq!(shown.len(), 4, "{shown:?}");
    }

    #[test]
    fn trades_of_another_day_than_the_names_are_noted() {
        let text = "1,1.5,5,7.5,1499040001000,True,True\n2,1.5,5,7.5,1499212801000,True,True\n";
        let parsed = read("BTCUSDT-trades-2017-07-03.csv", text).unwrap();
        assert_eq!(parsed.market_trades.len(), 2);
        let [note] = parsed.notes.as_slice() else { panic!("{:?}", parsed.notes) };
        assert!(
            note.contains("1 row lies outside 2017-07-03") && note.contains("line 2: 2017-07-05"),
            "{note}"
        );
        assert!(read("BTCUSDT-trades-2017-07.csv", text).unwrap().notes.is_empty());
    }

    #[test]
    fn what_the_name_does_not_tell_is_asked_for() {
        let rows = "1,1.5,5,7.5,1499040001000,True,True\n";
        let bytes = rows.as_bytes();
        let file = SourceFile { name: "x.csv", folder: None, bytes };
        let options = ImportOptions {
            instrument: Some("BTCUSDT.BINANCE".parse().unwrap()),
            ..ImportOptions::default()
        };
        assert!(matches!(
            parse(&file, &ImportOptions::default()),
            Err(SourceError::Missing { option: "instrument", .. })
        ));
        assert!(matches!(parse(&file, &options), Err(SourceError::Missing { option: "source", .. })));
        let short = read("BTCUSDT-trades-2017-07-03.csv", "1,2,3\n");
        assert!(matches!(short, Err(SourceError::Columns { .. })));
    }

    #[test]
    fn real_archives_are_read() {
        for (path, name, aggregated) in [
            ("binance/spot_trades_noheader.csv", "BTCUSDT-trades-2017-07-03.csv", false),
            ("binance/spot_aggTrades_noheader.csv", "BTCUSDT-aggTrades-2017-06-25.csv", true),
            ("binance/um_trades_header.csv", "BTCUSDT-trades-2024-05-31.csv", false),
            ("binance/um_aggTrades_header.csv", "BTCUSDT-aggTrades-2019-09-21.csv", true),
            ("binance/cm_trades_header.csv", "BTCUSD_PERP-trades-2026-09-01.csv", false),
        ] {
            let Some(bytes) = sample(path) else { continue };
            let file = SourceFile { name, folder: None, bytes: &bytes };
            let parsed = parse(&file, &ImportOptions::default()).unwrap();
            assert!(
                !parsed.market_trades.is_empty() && parsed.rejected.is_empty(),
                "{path}: {:?}",
                parsed.rejected
            );
            assert!(parsed.market_trades.iter().all(|(_, trade)| trade.aggregated == aggregated), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_trades_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            no_panic(&BinanceTrades, &["BTCUSDT-trades-2024-01-01.csv", "BTCUSDT-aggTrades-2024-01.csv", "x.csv"], &bytes);
        }
    }
}
