//! `deal_hist.csv`: SilverQuant's log of orders, whatever its column 成交价 (fill price) seems to say.
//!
//! Header `日期,时间,代码,名称,类型,注释,成交价,成交量`, found by name; 名称 and 注释 may be missing. The log is in
//! the encoding of the machine that wrote it, its header may end in LF and its rows in CRLF. Times are of
//! Shanghai. A row is a fill only where its kind says so.

use std::collections::HashMap;
use std::fmt;

use barkeeper_records::{InstrumentId, Timestamp, TradeKind, TradeRecord, TradingDay};
use csv::StringRecord;
use jiff::civil;
use rust_decimal::Decimal;

use super::trade_id::{canonical_row, trade_id};
use super::{NAME, Owner};
use crate::decode::Text;
use crate::error::SourceError;
use crate::parsed::{Parsed, RejectedRow};
use crate::sheet::{Columns, Sheet, shown};

pub(super) const HEADER: &str = "日期,时间,代码,名称,类型,注释,成交价,成交量";
const COLUMNS: [&str; 8] = ["日期", "时间", "代码", "名称", "类型", "注释", "成交价", "成交量"];
const REQUIRED: [&str; 6] = ["日期", "时间", "代码", "类型", "成交价", "成交量"];
const ZONE: &str = "Asia/Shanghai";

/// Kinds as they are written; the English ones are those of the fork's store.
const KINDS: [(&str, TradeKind); 14] = [
    ("买入委托", TradeKind::BuyOrder),
    ("市买委托", TradeKind::BuyOrder),
    ("限买委托", TradeKind::BuyOrder),
    ("卖出委托", TradeKind::SellOrder),
    ("市卖委托", TradeKind::SellOrder),
    ("限卖委托", TradeKind::SellOrder),
    ("买入成交", TradeKind::BuyFill),
    ("卖出成交", TradeKind::SellFill),
    ("撤单", TradeKind::Cancel),
    ("buy_order", TradeKind::BuyOrder),
    ("sell_order", TradeKind::SellOrder),
    ("buy_trade", TradeKind::BuyFill),
    ("sell_trade", TradeKind::SellFill),
    ("cancel", TradeKind::Cancel),
];

/// Whether a first line is that of a log.
pub(super) fn is_header(line: &str) -> bool {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    REQUIRED.iter().all(|name| cells.contains(name))
}

pub(super) fn parse(file: &str, text: &Text<'_>, owner: &Owner) -> Result<Parsed, SourceError> {
    let mut sheet = Sheet::new(file, text)?;
    let (columns, width) = match sheet.next()? {
        Some((_, first)) => {
            let columns = Columns::find((file, text.encoding), first, &COLUMNS, &REQUIRED, HEADER)?;
            (columns, first.len())
        }
        None => return Err(SourceError::Empty { file: file.to_owned() }),
    };
    let mut parsed = Parsed::new(NAME, format!("{NAME}: log of orders, times of {ZONE}, {}", text.encoding));
    let mut occurrences: HashMap<Vec<u8>, u64> = HashMap::new();
    while let Some((line, record)) = sheet.next()? {
        match Line::read(record, &columns, width).and_then(|row| row.trade(owner, &mut occurrences)) {
            Ok(trade) => parsed.trades.push(trade),
            Err(Wrong { field, value, reason }) => {
                parsed.rejected.push(RejectedRow::new(file, line, field, &value, reason));
            }
        }
    }
    if !text.text.ends_with(['\n', '\r']) {
        let note =
            "the last line has no line end: where the file was cut off, its last number may be too short";
        parsed.notes.push(note.to_owned());
    }
    Ok(parsed)
}

/// Why a row is left out.
struct Wrong {
    field: &'static str,
    value: String,
    reason: String,
}

fn wrong(field: &'static str, value: &str, reason: impl fmt::Display) -> Wrong {
    Wrong { field, value: value.to_owned(), reason: reason.to_string() }
}

/// A row whose cells were understood.
struct Line {
    day: TradingDay,
    time: civil::Time,
    instrument: InstrumentId,
    name: String,
    kind: TradeKind,
    kind_text: String,
    remark: String,
    price: Decimal,
    quantity: Decimal,
}

impl Line {
    fn read(record: &StringRecord, columns: &Columns, width: usize) -> Result<Self, Wrong> {
        let extra = record.iter().skip(width).any(|cell| !cell.trim().is_empty());
        if record.len() < width || extra {
            let reason = format!("{} cells where the header has {width}", record.len());
            return Err(wrong("row", &shown(record), reason));
        }
        let cell = |index| columns.cell(record, index);
        let (date, time, code, kind_text) = (cell(0), cell(1), cell(2), cell(4));
        let (price, quantity) = (cell(6), cell(7));
        let kind = KINDS.iter().find(|(text, _)| *text == kind_text).map(|(_, kind)| *kind);
        let plain = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
        Ok(Self {
            day: day(date).ok_or_else(|| wrong("日期", date, "expected a date as YYYY-MM-DD"))?,
            time: clock(time).ok_or_else(|| wrong("时间", time, "expected a time as HH:MM:SS"))?,
            instrument: InstrumentId::parse(code).map_err(|error| wrong("代码", code, error))?,
            name: plain(cell(3)),
            kind: kind.ok_or_else(|| {
                wrong("类型", kind_text, "is no kind of order, fill or cancel that is known")
            })?,
            kind_text: kind_text.to_owned(),
            remark: plain(cell(5)),
            price: decimal(price).ok_or_else(|| wrong("成交价", price, "expected a decimal number"))?,
            quantity: decimal(quantity)
                .ok_or_else(|| wrong("成交量", quantity, "expected a decimal number"))?,
        })
    }

    fn trade(self, owner: &Owner, occurrences: &mut HashMap<Vec<u8>, u64>) -> Result<TradeRecord, Wrong> {
        let row = self.canonical();
        let whole = || format!("{} {} {} {}", self.day, self.time, self.instrument, self.kind_text);
        let ts = Timestamp::from_civil(self.day.date().to_datetime(self.time), ZONE)
            .map_err(|error| wrong("时间", &whole(), error))?;
        let mut trade = TradeRecord {
            trade_id: trade_id(&owner.account, &owner.book, &row, 0),
            account: owner.account.clone(),
            book: owner.book.clone(),
            instrument: self.instrument,
            strategy: None,
            kind: self.kind,
            ts,
            trading_day: self.day,
            price: self.price,
            quantity: self.quantity,
            amount: None,
            fee: None,
            name: self.name.clone(),
            remark: self.remark.clone(),
            source_text: self.kind_text.clone(),
            external_id: None,
            voids: None,
        }
        .born()
        .map_err(|error| wrong("row", &whole(), error))?;
        // Only rows that are taken count, so that the ids do not hang on what was rejected.
        let occurrence = occurrences.entry(row.clone()).or_default();
        *occurrence += 1;
        trade.trade_id = trade_id(&owner.account, &owner.book, &row, *occurrence);
        Ok(trade)
    }

    fn canonical(&self) -> Vec<u8> {
        let (day, time) = (self.day.to_string(), self.time.to_string());
        let (price, quantity) = (self.price.normalize().to_string(), self.quantity.normalize().to_string());
        canonical_row(&[
            &day,
            &time,
            self.instrument.as_str(),
            &self.name,
            &self.kind_text,
            &self.remark,
            &price,
            &quantity,
        ])
    }
}

/// `2025-01-02`, and `2025/1/2` as spreadsheets write it back.
fn day(text: &str) -> Option<TradingDay> {
    if let Ok(day) = text.parse() {
        return Some(day);
    }
    let mut parts = text.split(['-', '/']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    TradingDay::from_ymd(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// `09:31:05`, with a fraction or without, and `9:31:05` as spreadsheets write it back.
fn clock(text: &str) -> Option<civil::Time> {
    let (hour, rest) = text.split_once(':')?;
    if rest.len() < 5 || !hour.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{hour:0>2}:{rest}").parse().ok()
}

fn decimal(text: &str) -> Option<Decimal> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    plain.then(|| Decimal::from_str_exact(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use barkeeper_records::TradeId;
    use encoding_rs::GBK;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::decode;
    use crate::source::SourceFile;
    use crate::testing::sample;

    const ROW: &str = "2025-01-02,09:31:05,000001.SZ,平安银行,市买委托,放量突破,11.43,1000\r\n";

    fn read(bytes: &[u8]) -> Result<Parsed, SourceError> {
        let owner = Owner { account: "a".parse().unwrap(), book: "prod_pwc".parse().unwrap() };
        let text = decode(&SourceFile { name: "deal_hist.csv", folder: None, bytes })?;
        parse("deal_hist.csv", &text, &owner)
    }

    fn log(rows: &str) -> Parsed {
        read(format!("{HEADER}\n{rows}").as_bytes()).unwrap()
    }

    fn ids(parsed: &Parsed) -> Vec<TradeId> {
        parsed.trades.iter().map(|trade| trade.trade_id).collect()
    }

    #[test]
    fn a_row_is_an_order_unless_it_says_it_was_filled() {
        for (text, kind) in KINDS {
            let parsed = log(&ROW.replace("市买委托", text));
            let trade = &parsed.trades[0];
            assert_eq!((trade.kind, trade.source_text.as_str()), (kind, text));
        }
        let parsed = log(ROW);
        let trade = &parsed.trades[0];
        assert_eq!(trade.ts.to_string(), "2025-01-02T01:31:05Z");
        assert_eq!(trade.trading_day.to_string(), "2025-01-02");
        assert_eq!(
            (trade.price.to_string(), trade.quantity.to_string()),
            ("11.43".to_owned(), "1000".to_owned())
        );
        assert_eq!((trade.name.as_str(), trade.remark.as_str()), ("平安银行", "放量突破"));
        assert_eq!((trade.book.as_str(), trade.amount, parsed.notes.len()), ("prod_pwc", None, 0));
    }

    #[test]
    fn encoding_line_ends_and_order_of_columns_do_not_change_an_id() {
        let rows = format!("{ROW}{}", ROW.replace("放量突破", "\"带,逗号\"\"引号\r\n二\""));
        let utf8 = format!("{HEADER}\n{rows}");
        let expected = ids(&log(&rows));
        let gbk = GBK.encode(&utf8).0.into_owned();
        let marked = [b"\xef\xbb\xbf", utf8.as_bytes()].concat();
        let spreadsheet = utf8
            .replace("2025-01-02,09:31:05", "2025/1/2,9:31:05")
            .replace("1000", "1000.0")
            .replace("000001.SZ", "sz000001");
        let swapped = "成交量,日期,时间,代码,名称,类型,注释,成交价\n1000,2025-01-02,09:31:05,000001.SZ,平安银行,市买委托,放量突破,11.430\n";
        for bytes in [gbk, marked, utf8.replace("\r\n", "\n").into_bytes(), spreadsheet.into_bytes()] {
            assert_eq!(ids(&read(&bytes).unwrap()), expected);
        }
        assert_eq!(ids(&read(swapped.as_bytes()).unwrap()), expected[..1]);
        assert_eq!(log(&rows).trades[1].remark, "带,逗号\"引号\n二");
    }

    #[test]
    fn equal_rows_are_legal_and_an_overlapping_export_keeps_its_ids() {
        let other = ROW.replace("1000", "800");
        let first = ids(&log(&format!("{ROW}{ROW}{other}")));
        let second = ids(&log(&format!("{other}{ROW}{ROW}{ROW}")));
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3);
        let new: Vec<_> = second.iter().filter(|id| !first.contains(id)).collect();
        assert_eq!((second.len(), new), (4, vec![&second[3]]));
    }

    #[test]
    fn a_bad_row_is_named_and_the_rest_taken() {
        let wrong = [
            ("市买委托", "送股", "类型"),
            ("市买委托", "", "类型"),
            ("2025-01-02", "2025-02-30", "日期"),
            ("09:31:05", "25:00:00", "时间"),
            ("09:31:05", "09:31", "时间"),
            ("000001.SZ", "000001", "代码"),
            ("11.43", "--", "成交价"),
            ("11.43", "1_1", "成交价"),
            ("11.43", "1e3", "成交价"),
            ("11.43", "10.302000000000001", "row"),
            ("1000", "-1000", "row"),
            ("1000", "1000,x", "row"),
            (",1000", "", "row"),
        ];
        let rows: String = wrong.iter().map(|(from, to, _)| ROW.replace(from, to)).collect();
        let parsed = log(&format!("{rows}{ROW}"));
        assert_eq!(parsed.trades.len(), 1);
        let rejected: Vec<_> = parsed.rejected.iter().map(|row| (row.line, row.field.as_str())).collect();
        let expected: Vec<_> = (2..).zip(wrong).map(|(line, (_, _, field))| (line, field)).collect();
        assert_eq!(rejected, expected);
        assert_eq!(
            parsed.rejected[0].to_string(),
            "deal_hist.csv:2: 类型 '送股': is no kind of order, fill or cancel that is known"
        );
    }

    #[test]
    fn a_wrong_header_and_a_torn_quote_are_errors() {
        let error = read("日期,时间,代码,名称\n".as_bytes()).unwrap_err();
        let SourceError::Header { missing, .. } = &error else { panic!("{error}") };
        assert_eq!(missing, &["类型", "成交价", "成交量"]);
        let torn = format!("{HEADER}\n{ROW}2025-01-02,09:31:05,000001.SZ,平安银行,市买委托,\"放");
        assert!(matches!(read(torn.as_bytes()), Err(SourceError::OpenQuote { line: 3, .. })));
        assert!(log("").trades.is_empty());
        assert_eq!(log(ROW.trim_end()).notes.len(), 1);
    }

    #[test]
    fn both_samples_hold_the_same_records() {
        let Some(utf8) = sample("silverquant/deal_hist.utf8.csv") else { return };
        let Some(gbk) = sample("silverquant/deal_hist.gbk.csv") else { return };
        let (utf8, gbk) = (read(&utf8).unwrap(), read(&gbk).unwrap());
        assert_eq!(utf8.trades, gbk.trades);
        assert_eq!((utf8.trades.len(), utf8.rejected.len(), gbk.rejected.len()), (7, 0, 0));
        let kinds: Vec<_> = utf8.trades.iter().map(|trade| trade.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["buy_order", "buy_order", "sell_order", "buy_order", "buy_order", "buy_fill", "sell_fill"]
        );
        assert_eq!(utf8.trades[3].remark, "带,逗号\"引号");
        assert_eq!(utf8.trades[4].price.to_string(), "10.289");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in vec(
                (0_i32..20_000, 0_u32..86_400, 0_i64..100_000_000, 0_i64..1_000_000, "[a-z,\"一-龥]{0,12}"),
                0..20,
            ),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(COLUMNS).unwrap();
            let mut written = Vec::new();
            for (day, second, price, quantity, remark) in rows {
                let day = TradingDay::from_days(day).unwrap();
                let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
                let price = Decimal::new(price, 3).normalize();
                let (date, amount, shares) = (day.to_string(), price.to_string(), quantity.to_string());
                let cells = [&date, &time, "600000.SH", "名", "买入成交", &remark, &amount, &shares];
                writer.write_record(cells).unwrap();
                written.push((day, remark, price, Decimal::from(quantity)));
            }
            let parsed = read(&writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(&parsed.rejected, &[]);
            let fields = |t: &TradeRecord| (t.trading_day, t.remark.clone(), t.price, t.quantity);
            let read: Vec<_> = parsed.trades.iter().map(fields).collect();
            prop_assert_eq!(read, written);
            prop_assert_eq!(ids(&parsed).iter().collect::<HashSet<_>>().len(), parsed.trades.len());
        }
    }
}
