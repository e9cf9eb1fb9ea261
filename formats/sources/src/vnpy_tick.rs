//! `vnpy-tick`: ticks of vn.py, the columns of its table `dbtickdata` as CSV with a header.
//!
//! `symbol, exchange, datetime, name, volume, turnover, open_interest, last_price, last_volume, limit_up,
//! limit_down, open_price, high_price, low_price, pre_close, bid_price_1..5, ask_price_1..5,
//! bid_volume_1..5, ask_volume_1..5, localtime`, in any order; of the levels the first must be there.
//! Times are those of the venue's clock. vn.py keeps one tick an instant; rows of one instant are numbered
//! in the order of the file.

use std::collections::HashMap;

use barkeeper_records::{
    Calendar, CalendarKind, InstrumentId, LEVELS, MarketEvent as _, Tick, Timestamp, TradingDay,
};
use csv::StringRecord;

use crate::decode::{decode, first_line};
use crate::error::SourceError;
use crate::parsed::{Parsed, RejectedRow};
use crate::sheet::{Columns, Sheet, number};
use crate::source::{ImportOptions, Source, SourceFile};

const NAME: &str = "vnpy-tick";
const HEADER: &str = "symbol,exchange,datetime,volume,last_price,bid_price_1,ask_price_1,bid_volume_1,...";
/// What a missing price is in ticks that come from CTP.
const NONE: f64 = f64::MAX;

/// Ticks of vn.py.
pub(crate) struct VnpyTick;

const REQUIRED: [&str; 8] =
    ["symbol", "exchange", "datetime", "volume", "last_price", "bid_price_1", "ask_price_1", "bid_volume_1"];
const NAMES: [&str; 29] = [
    "symbol",
    "exchange",
    "datetime",
    "volume",
    "turnover",
    "open_interest",
    "last_price",
    "limit_up",
    "limit_down",
    "bid_price_1",
    "bid_price_2",
    "bid_price_3",
    "bid_price_4",
    "bid_price_5",
    "bid_volume_1",
    "bid_volume_2",
    "bid_volume_3",
    "bid_volume_4",
    "bid_volume_5",
    "ask_price_1",
    "ask_price_2",
    "ask_price_3",
    "ask_price_4",
    "ask_price_5",
    "ask_volume_1",
    "ask_volume_2",
    "ask_volume_3",
    "ask_volume_4",
    "ask_volume_5",
];
/// Where bid prices, bid volumes, ask prices and ask volumes begin among the names.
const SIDES: [usize; 4] = [9, 14, 19, 24];

impl Source for VnpyTick {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "ticks of vn.py: a CSV with the columns of its table dbtickdata"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        let line = first_line(file.bytes).to_ascii_lowercase();
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        file.stem("csv").is_some() && REQUIRED.iter().all(|name| cells.contains(name))
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        parse(file, options)
    }
}

fn parse(file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
    let text = decode(file)?;
    let mut sheet = Sheet::new(file.name, &text)?;
    let Some((_, header)) = sheet.next()? else {
        return Err(SourceError::Empty { file: file.name.to_owned() });
    };
    let columns = Columns::find((file.name, text.encoding), header, &NAMES, &REQUIRED, HEADER)?;
    let mut parsed = Parsed::new(NAME, format!("{NAME}: times on the venue's clock, {}", text.encoding));
    let mut ordinals: HashMap<(InstrumentId, Timestamp), u64> = HashMap::new();
    while let Some((line, record)) = sheet.next()? {
        match row(record, &columns, options) {
            Ok((instrument, mut tick)) => {
                let next = ordinals.entry((instrument, tick.ts)).or_default();
                tick.sequence = *next;
                *next += 1;
                parsed.ticks.push((instrument, tick));
            }
            Err((field, value, reason)) => {
                parsed.rejected.push(RejectedRow::new(file.name, line, field, &value, reason));
            }
        }
    }
    if parsed.ticks.is_empty() {
        parsed.notes.push("the file holds no ticks".to_owned());
    }
    Ok(parsed)
}

type Wrong = (&'static str, String, String);

fn row(
    record: &StringRecord,
    columns: &Columns,
    options: &ImportOptions,
) -> Result<(InstrumentId, Tick), Wrong> {
    let cell = |place: usize| columns.cell(record, place);
    let wrong = |field: &'static str, value: &str, reason: &dyn std::fmt::Display| {
        (field, value.to_owned(), reason.to_string())
    };
    let spelled = format!("{}.{}", cell(0), cell(1));
    let instrument = match options.instrument {
        Some(instrument) => instrument,
        None => InstrumentId::parse(&spelled).map_err(|error| wrong("symbol", &spelled, &error))?,
    };
    let (ts, trading_day) =
        moment(cell(2), &instrument).map_err(|reason| wrong("datetime", cell(2), &reason))?;
    let value = |place: usize| -> Result<f64, Wrong> {
        let field = NAMES.get(place).copied().unwrap_or("row");
        match cell(place) {
            // A level that nobody offers, a price before the first trade.
            "" | "None" | "nan" | "NaN" => Ok(0.0),
            text => number(text)
                .map(|value| if value >= NONE { 0.0 } else { value })
                .map_err(|reason| wrong(field, text, &reason)),
        }
    };
    let from_0 = |place: usize| -> Result<f64, Wrong> {
        let field = NAMES.get(place).copied().unwrap_or("row");
        let value = value(place)?;
        if value < 0.0 { Err(wrong(field, cell(place), &"expected a number from 0")) } else { Ok(value) }
    };
    // A spread of futures may cost less than nothing, a share may not.
    let share = matches!(instrument.venue(), "SH" | "SZ" | "BJ");
    let price = |place: usize| if share { from_0(place) } else { value(place) };
    let levels = |start: usize| -> Result<[f64; LEVELS], Wrong> {
        let mut levels = [0.0; LEVELS];
        for (slot, place) in levels.iter_mut().zip(start..) {
            *slot = if start == SIDES[0] || start == SIDES[2] { price(place) } else { from_0(place) }?;
        }
        Ok(levels)
    };
    let [bid_prices, bid_volumes, ask_prices, ask_volumes] = SIDES.map(levels);
    let tick = Tick {
        ts,
        sequence: 0,
        trading_day,
        volume: from_0(3)?,
        turnover: price(4)?,
        open_interest: from_0(5)?,
        last: price(6)?,
        upper_limit: price(7)?,
        lower_limit: price(8)?,
        bid_prices: bid_prices?,
        bid_volumes: bid_volumes?,
        ask_prices: ask_prices?,
        ask_volumes: ask_volumes?,
    };
    let tick = tick.born().map_err(|error| wrong("row", cell(2), &error))?;
    Ok((instrument, tick))
}

/// The instant of a local or an absolute time, and the trading day that it belongs to.
fn moment(text: &str, instrument: &InstrumentId) -> Result<(Timestamp, TradingDay), String> {
    let expected = || "expected a time such as 2024-01-02 09:31:00.500".to_owned();
    let instant: Timestamp = if let Ok(instant) = text.parse() {
        instant
    } else {
        let local: Timestamp = format!("{}Z", text.replacen(' ', "T", 1)).parse().map_err(|_| expected())?;
        let civil = local.in_zone("UTC").map_err(|error| error.to_string())?;
        Timestamp::from_civil(civil, instrument.zone()).map_err(|error| error.to_string())?
    };
    let kind = match instrument.venue() {
        "SHFE" | "INE" | "DCE" | "CZCE" | "GFEX" | "CFFEX" => CalendarKind::CnFutures,
        "SH" | "SZ" | "BJ" => CalendarKind::CnA,
        _ => CalendarKind::Utc,
    };
    let day = Calendar::new(kind).trading_day_of(instant).map_err(|error| error.to_string())?;
    Ok((instant, day.ok_or_else(|| "lies on no trading day of its venue".to_owned())?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::detect;
    use crate::testing::no_panic;

    const HEADER: &str = "id,symbol,exchange,datetime,name,volume,turnover,open_interest,last_price,limit_up,limit_down,\
        bid_price_1,bid_price_2,ask_price_1,ask_price_2,bid_volume_1,bid_volume_2,ask_volume_1,ask_volume_2\n";

    fn read(rows: &str) -> Parsed {
        let text = format!("{HEADER}{rows}");
        let file = SourceFile { name: "ticks.csv", folder: None, bytes: text.as_bytes() };
        let source = detect(&file, &ImportOptions::default()).unwrap();
        assert_eq!(source.name(), NAME);
        source.parse(&file, &ImportOptions::default()).unwrap()
    }

    #[test]
    fn a_night_tick_belongs_to_the_next_trading_day() {
        let parsed = read(
            "1,rb2410,SHFE,2024-03-01 21:05:00.500,x,10,400,7,3795,4000,3600,3794,3793,3795,1.7976931348623157e308,5,6,7,0\n\
             2,rb2410,SHFE,2024-03-01 21:05:00.500,x,11,440,7,3796,4000,3600,3794,,3795,,5,,7,\n",
        );
        assert_eq!(parsed.rejected, []);
        let [(instrument, first), (_, second)] = parsed.ticks.as_slice() else { panic!("{parsed:?}") };
        assert_eq!(instrument.as_str(), "rb2410.SHFE");
        assert_eq!(first.ts.to_string(), "2024-03-01T13:05:00.5Z");
        assert_eq!(first.trading_day.to_string(), "2024-03-04");
        assert_eq!((first.last, first.bid_prices[1], first.ask_prices[1]), (3795.0, 3793.0, 0.0));
        assert_eq!((first.sequence, second.sequence, second.bid_prices[1]), (0, 1, 0.0));
    }

    #[test]
    fn bad_rows_are_named() {
        let parsed = read(
            "1,600000,SSE,2024-01-02 09:31:00,x,10,400,0,8.1,9,7,8.1,8,8.2,8.3,5,6,7,0\n\
             2,600000,SSE,2024-01-02 9:31,x,10,400,0,8.1,9,7,8.1,8,8.2,8.3,5,6,7,0\n\
             3,600000,MOON,2024-01-02 09:31:00,x,10,400,0,8.1,9,7,8.1,8,8.2,8.3,5,6,7,0\n\
             4,600000,SSE,2024-01-02 09:31:00,x,-10,400,0,8.1,9,7,8.1,8,8.2,8.3,5,6,7,0\n\
             5,600000,SSE,2024-01-02 09:31:00,x,10,400,0,eight,9,7,8.1,8,8.2,8.3,5,6,7,0\n\
             6,600000,SSE,2024-01-06 09:31:00,x,10,400,0,8.1,9,7,8.1,8,8.2,8.3,5,6,7,0\n",
        );
        let fields: Vec<(u64, &str)> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str())).collect();
        assert_eq!(parsed.ticks.len() + fields.len(), 6, "{fields:?}");
        assert!(
            fields.contains(&(3, "datetime"))
                && fields.contains(&(5, "volume"))
                && fields.contains(&(6, "last_price"))
        );
        assert!(fields.contains(&(7, "datetime")), "a Saturday is no trading day");
        assert_eq!(parsed.ticks[0].0.as_str(), "600000.SH");
    }

    #[test]
    fn a_share_costs_no_less_than_nothing_and_a_spread_may() {
        let parsed = read(
            "1,600000,SSE,2024-01-02 09:31:00,x,10,400,0,-8.1,9,7,8.1,8,8.2,8.3,5,6,7,0\n\
             2,600000,SSE,2024-01-02 09:31:00,x,10,400,0,8.1,9,7,-8.1,8,8.2,8.3,5,6,7,0\n\
             3,600000,SSE,2024-01-02 09:31:00,x,10,400,0,8.1,9,7,8.1,8,8.2,8.3,-5,6,7,0\n\
             4,rb2410,SHFE,2024-03-01 21:05:00,x,10,400,0,-8.1,9,7,-8.2,-9,-8.1,-8,5,6,7,0\n",
        );
        let fields: Vec<(u64, &str)> =
            parsed.rejected.iter().map(|row| (row.line, row.field.as_str())).collect();
        assert_eq!(fields, [(2, "last_price"), (3, "bid_price_1"), (4, "bid_volume_1")]);
        assert_eq!(parsed.ticks[0].1.bid_prices[..2], [-8.2, -9.0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_ticks_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = HEADER.as_bytes().to_vec();
            text.extend_from_slice(&bytes);
            no_panic(&VnpyTick, &["ticks.csv"], &text);
            no_panic(&VnpyTick, &["ticks.csv"], &bytes);
        }
    }
}
