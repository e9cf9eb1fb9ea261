//! `SecurityKind`: what a code of a Chinese stock venue is, by a declared table of prefixes.
//!
//! The venue is always known here; digits alone never decide (`000001` is a stock in Shenzhen and an
//! index in Shanghai).

use barkeeper_records::InstrumentId;

/// What is traded under a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecurityKind {
    Stock,
    /// Quoted in dollars; three decimals in Shanghai, two in Shenzhen.
    BShare {
        decimals: u8,
    },
    Fund,
    Bond,
    Index,
    /// A pair of currencies.
    Pair,
}

impl SecurityKind {
    /// Decimals of a price; also those of the integers in TDX files.
    pub(crate) const fn decimals(self) -> u8 {
        match self {
            Self::Stock | Self::Index => 2,
            Self::BShare { decimals } => decimals,
            Self::Fund | Self::Bond => 3,
            Self::Pair => 8,
        }
    }
}

use SecurityKind::{BShare, Bond, Fund, Index, Stock};

/// Prefixes by venue; the longest that fits decides.
static PREFIXES: &[(&str, SecurityKind, &[&str])] = &[
    ("SH", Stock, &["60", "68"]),
    ("SH", BShare { decimals: 3 }, &["90"]),
    ("SH", Fund, &["50", "51", "52", "53", "55", "56", "58"]),
    (
        "SH",
        Bond,
        &[
            "01", "02", "009", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22",
            "24",
        ],
    ),
    ("SH", Index, &["00", "88", "93", "95", "99"]),
    ("SZ", Stock, &["00", "30"]),
    ("SZ", BShare { decimals: 2 }, &["20"]),
    ("SZ", Fund, &["15", "16", "18"]),
    ("SZ", Bond, &["10", "11", "12", "13", "14", "19"]),
    ("SZ", Index, &["39", "97", "98"]),
    ("BJ", Stock, &["43", "82", "83", "87", "88", "92"]),
    ("BJ", Bond, &["81"]),
    ("BJ", Index, &["899"]),
];

/// The kind of an instrument of SH, SZ or BJ; `None` for other venues and unknown prefixes.
pub(crate) fn kind_of(instrument: &InstrumentId) -> Option<SecurityKind> {
    let (symbol, venue) = (instrument.symbol(), instrument.venue());
    if symbol.len() != 6 {
        return None;
    }
    let of_venue = PREFIXES.iter().filter(|(of, _, _)| *of == venue);
    let fitting = of_venue
        .flat_map(|(_, kind, prefixes)| prefixes.iter().map(move |prefix| (prefix.len(), *kind, *prefix)));
    fitting
        .filter(|(_, _, prefix)| symbol.starts_with(prefix))
        .max_by_key(|(length, _, _)| *length)
        .map(|(_, kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_their_venue_says() {
        let cases = [
            ("600000.SH", Some(Stock)),
            ("688001.SH", Some(Stock)),
            ("900901.SH", Some(BShare { decimals: 3 })),
            ("200011.SZ", Some(BShare { decimals: 2 })),
            ("000001.SH", Some(Index)),
            ("000001.SZ", Some(Stock)),
            ("009901.SH", Some(Bond)),
            ("399001.SZ", Some(Index)),
            ("510300.SH", Some(Fund)),
            ("588000.SH", Some(Fund)),
            ("159915.SZ", Some(Fund)),
            ("113050.SH", Some(Bond)),
            ("123001.SZ", Some(Bond)),
            ("430047.BJ", Some(Stock)),
            ("920002.BJ", Some(Stock)),
            ("899050.BJ", Some(Index)),
            ("880001.SH", Some(Index)),
            ("880001.BJ", Some(Stock)),
            ("777777.SH", None),
            ("BTCUSDT.BINANCE", None),
            ("10004567.SH", None),
        ];
        for (code, kind) in cases {
            assert_eq!(kind_of(&code.parse().unwrap()), kind, "{code}");
        }
    }
}
