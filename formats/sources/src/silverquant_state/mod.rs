//! `silverquant-state`: what SilverQuant keeps of a book, a folder such as `prod_pwc` of small files.
//!
//! | file | holds |
//! |---|---|
//! | `held_days.json` (until v3) | `{"_inc_date": "2024-10-10", "000001.SZ": 0}`: trading days held |
//! | `positions.json` (from v4) | `{"000001.SZ": {"day_count": 1}, "_inc_date": ...}`; null means sold |
//! | `max_price.json`, `max_prices.json` | `{"000001.SZ": 10.00}`: highest price since the entry |
//! | `min_price.json`, `min_prices.json` | lowest price since the entry, wrong before v4.5.0 |
//! | `deal_hist.csv` (`trades.csv`, `trade_records.csv`) | the log of orders |
//!
//! The folder names the book; the account comes from the caller. [`merge_positions`] joins a folder's files.

mod deal_hist;
mod json;
mod merge;
mod positions;
mod prices;
mod trade_id;

use barkeeper_records::{AccountId, BookId, PositionKey};

use crate::decode::{decode, first_line};
use crate::error::SourceError;
use crate::parsed::Parsed;
use crate::source::{ImportOptions, Source, SourceFile, gathered, stem};

pub use merge::{MergedPositions, merge_positions};

const NAME: &str = "silverquant-state";

/// Which of a book's files a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateFile {
    /// `held_days.json`, until version 3.
    HeldDays,
    /// `positions.json`, from version 4 on; where it is there, `held_days.json` is a remainder.
    Positions,
    /// `max_price.json`.
    Highest,
    /// `min_price.json`.
    Lowest,
    /// `deal_hist.csv`.
    TradeLog,
}

/// One thing that a file says about a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PositionFact {
    /// It is held; trading days since the entry, `None` where the file does not count them.
    Held(Option<u32>),
    /// It was sold.
    Closed,
    /// The highest price since the entry, in the quote currency.
    Highest(f64),
    /// The lowest price since the entry, in the quote currency.
    Lowest {
        /// The price.
        price: f64,
        /// False where the file may come from a program that kept it wrongly.
        trusted: bool,
    },
}

/// What one entry of one file says about a position.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialPosition {
    /// Which position.
    pub key: PositionKey,
    /// What the entry says.
    pub fact: PositionFact,
    /// The file's name.
    pub file: String,
    /// The line of the entry, from 1.
    pub line: u64,
}

/// A book's files.
pub(crate) struct SilverquantState;

impl Source for SilverquantState {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "held_days.json, positions.json, max_price.json, min_price.json, deal_hist.csv of SilverQuant"
    }

    fn recognises(&self, file: &SourceFile<'_>) -> bool {
        role_of(file).is_some_and(|(role, certain)| certain || (role == StateFile::TradeLog && is_log(file)))
    }

    fn parse(&self, file: &SourceFile<'_>, options: &ImportOptions) -> Result<Parsed, SourceError> {
        let (role, _) = role_of(file).ok_or_else(|| {
            let expected = "held_days.json, positions.json, max_price.json, min_price.json or deal_hist.csv";
            SourceError::FileName { file: file.name.to_owned(), expected }
        })?;
        let hint = "positions and trades belong to an account, and these files do not name it";
        let account = options.account.clone().ok_or_else(|| SourceError::missing(file, "account", hint))?;
        let owner = Owner { account, book: book_of(file, options)? };
        let text = decode(file)?;
        let mut parsed = match role {
            StateFile::TradeLog => deal_hist::parse(file.name, &text, &owner)?,
            StateFile::HeldDays | StateFile::Positions => positions::parse(file.name, &text, &owner)?,
            StateFile::Highest => prices::parse_highest(file.name, &text, &owner)?,
            StateFile::Lowest => prices::parse_lowest(file.name, &text, &owner, options.trust_lowest)?,
        };
        parsed.state = Some(role);
        Ok(parsed)
    }
}

/// Whose file it is.
struct Owner {
    account: AccountId,
    book: BookId,
}

/// Names by role, and whether the name alone is enough. A copy such as `max_price (2).json` is read too.
const ROLES: [(&str, &str, StateFile, bool); 9] = [
    ("held_days", "json", StateFile::HeldDays, true),
    ("positions", "json", StateFile::Positions, true),
    ("max_prices", "json", StateFile::Highest, true),
    ("max_price", "json", StateFile::Highest, true),
    ("min_prices", "json", StateFile::Lowest, true),
    ("min_price", "json", StateFile::Lowest, true),
    ("deal_hist", "csv", StateFile::TradeLog, true),
    ("trade_records", "csv", StateFile::TradeLog, false),
    ("trades", "csv", StateFile::TradeLog, false),
];

fn role_of_name(name: &str) -> Option<(StateFile, bool)> {
    let fits = |(prefix, extension, role, certain): &(&str, &str, StateFile, bool)| {
        let rest = stem(name, extension)?.to_ascii_lowercase();
        let rest = rest.strip_prefix(prefix)?;
        (!rest.starts_with(char::is_alphanumeric)).then_some((*role, *certain))
    };
    ROLES.iter().find_map(fits)
}

fn role_of(file: &SourceFile<'_>) -> Option<(StateFile, bool)> {
    role_of_name(file.name).or_else(|| role_of_name(gathered(file.name)?.1))
}

fn is_log(file: &SourceFile<'_>) -> bool {
    deal_hist::is_header(&first_line(file.bytes))
}

fn book_of(file: &SourceFile<'_>, options: &ImportOptions) -> Result<BookId, SourceError> {
    if let Some(book) = &options.book {
        return Ok(book.clone());
    }
    let own = if role_of_name(file.name).is_some() { None } else { gathered(file.name) };
    match own.map(|(folder, _)| folder).or_else(|| file.folders().next()) {
        Some(folder) => {
            BookId::new(folder).map_err(|source| SourceError::Book { file: file.name.to_owned(), source })
        }
        None => Ok(BookId::main()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::no_panic;

    fn file<'a>(name: &'a str, folder: Option<&'a str>) -> SourceFile<'a> {
        SourceFile { name, folder, bytes: b"{}" }
    }

    #[test]
    fn the_name_tells_the_role() {
        for (name, role) in [
            ("held_days.json", Some(StateFile::HeldDays)),
            ("held_days_example.json", Some(StateFile::HeldDays)),
            ("positions.v4.json", Some(StateFile::Positions)),
            ("Positions (2).JSON", Some(StateFile::Positions)),
            ("max_price.json", Some(StateFile::Highest)),
            ("max_prices.json", Some(StateFile::Highest)),
            ("max_price_example.json", Some(StateFile::Highest)),
            ("min_prices.json", Some(StateFile::Lowest)),
            ("deal_hist.gbk.csv", Some(StateFile::TradeLog)),
            ("prod_pwc__min_price.json", Some(StateFile::Lowest)),
            ("positionsx.json", None),
            ("positions.csv", None),
            ("deal_hist", None),
        ] {
            assert_eq!(role_of(&file(name, None)).map(|(role, _)| role), role, "{name}");
        }
    }

    #[test]
    fn the_folder_is_the_book() {
        let named = |name, folder| {
            book_of(&file(name, folder), &ImportOptions::default()).map(|book| book.to_string())
        };
        assert_eq!(named("positions.json", Some("prod_pwc")), Ok("prod_pwc".to_owned()));
        assert_eq!(named("positions.json", Some("D:\\量化\\_cache\\实盘_pwc\\")), Ok("实盘_pwc".to_owned()));
        assert_eq!(named("test_pwc__positions.json", Some("gathered")), Ok("test_pwc".to_owned()));
        assert_eq!(named("positions.json", None), Ok("main".to_owned()));
        assert!(matches!(named("positions.json", Some(" x")), Err(SourceError::Book { .. })));
        let options = ImportOptions { book: "b".parse().ok(), ..ImportOptions::default() };
        assert_eq!(
            book_of(&file("positions.json", Some(" x")), &options).map(|book| book.to_string()),
            Ok("b".to_owned())
        );
    }

    #[test]
    fn the_account_must_be_given() {
        let error = SilverquantState
            .parse(&file("positions.json", Some("p")), &ImportOptions::default())
            .unwrap_err();
        assert!(matches!(error, SourceError::Missing { option: "account", .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            json in "[\\[\\]{}\":,0-9a-z._ -]{0,120}",
            cells in "[0-9.,:\"\\r\\n买卖委托成交-]{0,120}",
        ) {
            let json_names = ["held_days.json", "positions.json", "max_price.json", "min_price.json"];
            no_panic(&SilverquantState, &json_names, &bytes);
            no_panic(&SilverquantState, &json_names, json.as_bytes());
            no_panic(&SilverquantState, &json_names, format!("{{\"000001.SZ\": {json}}}").as_bytes());
            no_panic(&SilverquantState, &["deal_hist.csv"], &bytes);
            let log = format!("{}\n{cells}", deal_hist::HEADER);
            no_panic(&SilverquantState, &["deal_hist.csv", "trades.csv"], log.as_bytes());
        }
    }
}
