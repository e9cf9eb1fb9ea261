//! `Source`: what a kind of file must be able to say, and the list of all kinds.

use std::fmt;

use barkeeper_records::{AccountId, AdjustmentTag, BookId, InstrumentId, Interval};

use crate::bars_csv::BarsCsv;
use crate::binance_kline::BinanceKline;
use crate::binance_trades::BinanceTrades;
use crate::error::SourceError;
use crate::parsed::Parsed;
use crate::profile::VolumeUnit;
use crate::silverquant_kline::SilverquantKline;
use crate::silverquant_state::SilverquantState;
use crate::tdx_day::TdxDay;
use crate::vnpy_tick::VnpyTick;

/// A file as it was found: its name, the folder it lay in, its bytes.
#[derive(Clone, Copy)]
pub struct SourceFile<'a> {
    /// The file's name with its extension, without folders.
    pub name: &'a str,
    /// The name of the parent folder, or a path that ends with it; both kinds of slash separate.
    pub folder: Option<&'a str>,
    /// The whole content.
    pub bytes: &'a [u8],
}

impl<'a> SourceFile<'a> {
    /// The folders that are known, innermost first.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &'a str> {
        let folder = self.folder.unwrap_or_default();
        folder.rsplit(['/', '\\']).filter(|part| !part.is_empty() && *part != ".")
    }

    /// The name without an extension, which is compared without case; `None` where it has another.
    pub(crate) fn stem(&self, extension: &str) -> Option<&'a str> {
        stem(self.name, extension)
    }
}

/// The part of a name before `.extension`, which is compared without case.
pub(crate) fn stem<'a>(name: &'a str, extension: &str) -> Option<&'a str> {
    let (stem, found) = name.rsplit_once('.')?;
    found.eq_ignore_ascii_case(extension).then_some(stem)
}

/// The folder and the file in a name such as `_daily_mootdx__000001.SZ.csv`, as files of many folders
/// are named when they are gathered in one.
pub(crate) fn gathered(name: &str) -> Option<(&str, &str)> {
    let (folder, file) = name.rsplit_once("__")?;
    (!folder.is_empty() && !file.is_empty()).then_some((folder, file))
}

impl fmt::Debug for SourceFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SourceFile");
        shown
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// What a caller knows better than the file's name and folder. All empty by default.
#[derive(Debug, Default, Clone)]
pub struct ImportOptions {
    /// Forces a source by its name, such as `tdx-day`.
    pub source: Option<String>,
    /// What was traded, for files whose name does not tell.
    pub instrument: Option<InstrumentId>,
    /// The length of the bars, for files whose name does not tell.
    pub interval: Option<Interval>,
    /// How the prices were adjusted, for folders that do not tell.
    pub adjustment: Option<AdjustmentTag>,
    /// A SilverQuant folder such as `_daily_mootdx`, for files that lie elsewhere.
    pub profile: Option<String>,
    /// Whose positions and trades these are; such files need it.
    pub account: Option<AccountId>,
    /// The book of positions and trades; the folder's name without it.
    pub book: Option<BookId>,
    /// The unit of the volume, which the caller vouches for: a turnover outside a bar's prices is then
    /// noted, and an error only where another unit fits better.
    pub unit: Option<VolumeUnit>,
    /// Whether `min_price.json` was written by SilverQuant 4.5.0 or later; earlier ones kept it wrongly.
    pub trust_lowest: bool,
}

/// A kind of file that can be read.
pub trait Source: Sync {
    /// The name that stands in options and import records, such as `tdx-day`.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn describe(&self) -> &'static str;

    /// Whether a file looks like one of this kind, by its name and its first bytes.
    fn recognises(&self, file: &SourceFile<'_>) -> bool;

    /// Reads a whole file. Any bytes may come: the answer is records or an error, never a panic.
    ///
    /// # Errors
    /// Whatever makes the whole file doubtful; then nothing of it is taken.
    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError>;
}

static SOURCES: [&dyn Source; 7] =
    [&TdxDay, &SilverquantState, &SilverquantKline, &BinanceTrades, &BinanceKline, &VnpyTick, &BarsCsv];

/// All sources, in the order in which they are asked.
pub fn sources() -> &'static [&'static dyn Source] {
    &SOURCES
}

/// The source that reads a file: the one the options name, else the first that recognises it.
///
/// # Errors
/// `UnknownSource` where the options name none, `Unrecognised` where no source knows the file.
pub fn detect(file: &SourceFile<'_>, options: &ImportOptions) -> Result<&'static dyn Source, SourceError> {
    let all = sources();
    if let Some(name) = &options.source {
        let named = all.iter().copied().find(|source| source.name() == name.as_str());
        return named.ok_or_else(|| {
            let known = all.iter().map(|source| source.name()).collect();
            SourceError::UnknownSource { name: name.clone(), known }
        });
    }
    all.iter().copied().find(|source| source.recognises(file)).ok_or_else(|| {
        let known = all.iter().map(|source| format!("{} ({})", source.name(), source.describe())).collect();
        SourceError::Unrecognised { file: file.name.to_owned(), known }
    })
}

/// BLAKE3 of a file's bytes, 64 hexadecimal digits, by which an import is known again.
pub fn file_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file<'a>(name: &'a str, bytes: &'a [u8]) -> SourceFile<'a> {
        SourceFile { name, folder: None, bytes }
    }

    #[test]
    fn a_source_is_found_by_name_and_first_bytes() {
        let kline = b"datetime,open,high,low,close,volume,amount\n";
        let rows = b"1,2,3,4,5,6,7,8,9,10,11,12\n";
        let cases: [(&str, &[u8], &str); 12] = [
            ("sh600000.day", b"", "tdx-day"),
            ("SZ000001.DAY", b"", "tdx-day"),
            ("held_days.json", b"", "silverquant-state"),
            ("prod_pwc__positions.json", b"", "silverquant-state"),
            ("max_prices.json", b"", "silverquant-state"),
            ("deal_hist.csv", b"", "silverquant-state"),
            ("000001.SZ.csv", kline, "silverquant-kline"),
            ("_daily_mootdx__000001.SZ.csv", kline, "silverquant-kline"),
            ("BTCUSDT-1h-2024-01.csv", b"", "binance-kline"),
            ("anything.csv", rows, "binance-kline"),
            ("BTCUSDT-aggTrades-2024-01.csv", b"", "binance-trades"),
            ("x.csv", b"id,price,qty,quote_qty,time,is_buyer_maker\n", "binance-trades"),
        ];
        for (name, bytes, expected) in cases {
            let found = detect(&file(name, bytes), &ImportOptions::default());
            assert_eq!(found.map(Source::name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_nobody_knows_is_an_error_that_lists_what_is_known() {
        for name in ["4#CF7D0LAO.day", "notes.txt", "accounts.json", "", "trades.csv", "_code_list.csv"] {
            let error = detect(&file(name, b"code,name\n"), &ImportOptions::default()).err().unwrap();
            assert!(matches!(&error, SourceError::Unrecognised { .. }), "{name}: {error}");
            for source in sources() {
                assert!(error.to_string().contains(source.name()), "{error}");
            }
        }
    }

    #[test]
    fn an_option_forces_a_source_and_a_wrong_one_is_an_error() {
        let forced = |name: &str| ImportOptions { source: Some(name.to_owned()), ..ImportOptions::default() };
        let any = file("x.bin", b"");
        assert_eq!(detect(&any, &forced("tdx-day")).map(Source::name), Ok("tdx-day"));
        let error = detect(&any, &forced("tdx")).err().unwrap();
        assert_eq!(
            error.to_string(),
            "'tdx' is no source: expected one of tdx-day, silverquant-state, silverquant-kline, binance-trades, binance-kline, vnpy-tick, bars-csv"
        );
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        assert_eq!(file_hash(b""), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }
}
