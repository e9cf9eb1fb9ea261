//! Writes a generated market as the files that other programs would have left: TDX, SilverQuant, Binance.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barkeeper_records::AccountId;
use bytes::BufMut as _;

use super::ledger::Ledger;
use super::market::{HOUR_NS, Listing, ListingKind, Market, PAIRS, Steps, pair_hours};
use super::state_files;

/// Stocks that also stand in SilverQuant's folder, adjusted forward.
const KLINES: usize = 6;
/// What happened before the last quarter of the days: a dividend of 2 %.
const ADJUSTMENT: f64 = 0.98;
/// Hours of a pair of currencies: ninety days.
const HOURS: usize = 90 * 24;

/// One account's folder.
#[derive(Debug, Clone)]
pub struct AccountFiles {
    /// Whose.
    pub account: AccountId,
    /// Where its files lie; the folder's name is the book.
    pub folder: PathBuf,
    /// What stands in them.
    pub ledger: Ledger,
}

/// What was written, and what an import of it must find.
#[derive(Debug, Clone)]
pub struct MarketFiles {
    /// The folder with everything about prices.
    pub prices: PathBuf,
    /// The list of open days.
    pub open_days: PathBuf,
    /// The accounts.
    pub accounts: Vec<AccountFiles>,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Daily bars as traded.
    pub daily: u64,
    /// Daily bars that were adjusted forward.
    pub adjusted: u64,
    /// Bars of an hour.
    pub hourly: u64,
}

struct Writer {
    files: u64,
    bytes: u64,
}

impl Writer {
    fn write(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        fs::write(path, content)?;
        self.files += 1;
        self.bytes += content.len() as u64;
        Ok(())
    }
}

/// Writes a market and its accounts below a folder, which is made where there is none.
///
/// # Errors
/// Whatever the operating system says.
pub fn write_market(market: &Market, folder: &Path) -> io::Result<MarketFiles> {
    let mut writer = Writer { files: 0, bytes: 0 };
    let prices = folder.join("prices");
    for sub in ["vipdoc/sh/lday", "vipdoc/sz/lday", "vipdoc/bj/lday", "_daily_mootdx", "binance"] {
        fs::create_dir_all(prices.join(sub))?;
    }
    let days = market.file_days().len();
    for (place, listing) in market.listings().iter().enumerate() {
        let steps = market.steps(place);
        writer.write(&prices.join(tdx_path(listing)), &tdx_day(market, listing, &steps))?;
    }
    let mut adjusted = 0;
    let stocks = market.listings().iter().enumerate().filter(|(_, l)| l.kind == ListingKind::Stock);
    for (place, listing) in stocks.take(KLINES) {
        let path = prices.join("_daily_mootdx").join(format!("{}.csv", listing.instrument));
        writer.write(&path, kline(market, &market.steps(place)).as_bytes())?;
        adjusted += days as u64;
    }
    for (place, pair) in PAIRS.iter().enumerate() {
        let path = prices.join("binance").join(format!("{}-1h-2025-01.csv", pair.symbol));
        writer.write(&path, binance(market.spec().seed, place).as_bytes())?;
    }

    let open_days = folder.join("open_days.csv");
    writer.write(&open_days, open_day_list(market).as_bytes())?;

    let mut accounts = Vec::new();
    for (stream, shape) in state_files::SHAPES.iter().enumerate() {
        let ledger = Ledger::new(market, stream as u64);
        let folder = folder.join("accounts").join(shape.book);
        fs::create_dir_all(&folder)?;
        for (name, content) in state_files::files(market, &ledger, shape) {
            writer.write(&folder.join(name), &content)?;
        }
        let account = AccountId::new(shape.account).map_err(io::Error::other)?;
        accounts.push(AccountFiles { account, folder, ledger });
    }
    Ok(MarketFiles {
        prices,
        open_days,
        accounts,
        files: writer.files,
        bytes: writer.bytes,
        daily: (market.listings().len() * days) as u64,
        adjusted,
        hourly: (PAIRS.len() * HOURS) as u64,
    })
}

fn tdx_path(listing: &Listing) -> PathBuf {
    let venue = listing.instrument.venue().to_lowercase();
    let name = format!("{venue}{}.day", listing.instrument.symbol());
    ["vipdoc", &venue, "lday", &name].iter().collect()
}

/// 32 bytes a day: date, prices in steps, amount as a single float, volume, nothing.
fn tdx_day(market: &Market, listing: &Listing, steps: &[Steps]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 * steps.len());
    for (day, steps) in market.file_days().iter().zip(steps) {
        let date = day.date();
        let number = i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day());
        bytes.put_i32_le(number);
        for price in [steps.open, steps.high, steps.low, steps.close] {
            bytes.put_u32_le(price);
        }
        bytes.put_f32_le(steps.amount(listing.kind));
        bytes.put_u32_le(steps.volume);
        bytes.put_u32_le(0);
    }
    bytes
}

/// Volume in lots, prices adjusted forward with three decimals, days as whole numbers.
fn kline(market: &Market, steps: &[Steps]) -> String {
    let mut text = "datetime,open,high,low,close,volume,amount\n".to_owned();
    let days = market.file_days();
    for (place, (day, steps)) in days.iter().zip(steps).enumerate() {
        let factor = if place < days.len() * 3 / 4 { ADJUSTMENT } else { 1.0 };
        let price = |steps: u32| (f64::from(steps) * 10.0 * factor).round() / 1000.0;
        let [open, high, low, close] = [steps.open, steps.high, steps.low, steps.close].map(price);
        let day = day.to_string().replace('-', "");
        let (lots, amount) = (steps.volume / 100, f64::from(steps.amount(ListingKind::Stock)));
        push(&mut text, format_args!("{day},{open:?},{high:?},{low:?},{close:?},{lots},{amount:?}\n"));
    }
    text
}

/// Twelve columns without a header, times in microseconds.
fn binance(seed: u64, place: usize) -> String {
    let mut text = String::new();
    for (ts, steps) in pair_hours(seed, place, HOURS) {
        let price = |steps: u32| f64::from(steps) / 100.0;
        let [open, high, low, close] = [steps.open, steps.high, steps.low, steps.close].map(price);
        let volume = f64::from(steps.volume) / 1000.0;
        let money = volume * (open + high + low + close) / 4.0;
        let (from, to) = (ts.nanos() / 1000, (ts.nanos() + HOUR_NS) / 1000 - 1);
        let (half, half_money) = (volume / 2.0, money / 2.0);
        push(
            &mut text,
            format_args!(
                "{from},{open:.8},{high:.8},{low:.8},{close:.8},{volume:.8},{to},{money:.8},{},{half:.8},{half_money:.8},0\n",
                steps.volume / 40
            ),
        );
    }
    text
}

fn open_day_list(market: &Market) -> String {
    let mut text = ",trade_date\n".to_owned();
    for (place, day) in market.days().iter().enumerate() {
        push(&mut text, format_args!("{place},{day}\n"));
    }
    text
}

/// Writes to a text, which cannot fail.
pub(crate) fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::MarketSpec;

    #[test]
    fn the_layouts_are_those_of_the_programs() {
        let folder = tempfile::tempdir().unwrap();
        let market = Market::new(MarketSpec { instruments: 60, days: 40, live_days: 2, seed: 1 });
        let files = write_market(&market, folder.path()).unwrap();
        assert_eq!((files.daily, files.adjusted, files.hourly), (2400, 240, 6480));

        let day = fs::read(files.prices.join("vipdoc/sz/lday/sz300001.day"));
        let index = fs::read(files.prices.join("vipdoc/sh/lday/sh000001.day")).unwrap();
        assert_eq!(index.len(), 40 * 32);
        assert_eq!(day.unwrap().len(), 40 * 32);
        let [a, b, c, d, ..] = index.as_slice() else { panic!("short") };
        assert_eq!(u32::from_le_bytes([*a, *b, *c, *d]), 20_230_703);

        let mut lines = fs::read_to_string(files.prices.join("_daily_mootdx/600000.SH.csv")).unwrap();
        assert_eq!(lines.lines().count(), 41);
        lines.truncate(58);
        assert!(lines.starts_with("datetime,open,high,low,close,volume,amount\n20230703,"), "{lines}");

        let pair = fs::read_to_string(files.prices.join("binance/BTCUSDT-1h-2025-01.csv")).unwrap();
        let first = pair.lines().next().unwrap();
        assert!(first.starts_with("1735689600000000,") && first.contains(",1735693199999999,"), "{first}");
        assert_eq!(first.split(',').count(), 12);
        assert_eq!(files.accounts.len(), 3);
    }
}
