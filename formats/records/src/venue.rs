//! Venues: their canonical codes, their other spellings, their zones.

/// A venue that the canonicaliser knows. Venues outside this table are accepted as they are written
/// and taken to live in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Venue {
    /// The canonical code, the part of an instrument's name behind the dot.
    pub code: &'static str,
    /// Other spellings of the code, upper case.
    pub aliases: &'static [&'static str],
    /// The IANA zone of the venue's clock.
    pub zone: &'static str,
    /// Whether symbols are six digits, so that `SH600000` and `sh.600000` can be read.
    pub six_digits: bool,
}

const CHINA: &str = "Asia/Shanghai";

const fn stock(code: &'static str, aliases: &'static [&'static str]) -> Venue {
    Venue { code, aliases, zone: CHINA, six_digits: true }
}

const fn other(code: &'static str, aliases: &'static [&'static str], zone: &'static str) -> Venue {
    Venue { code, aliases, zone, six_digits: false }
}

static VENUES: &[Venue] = &[
    stock("SH", &["SSE", "SHSE", "XSHG", "SS"]),
    stock("SZ", &["SZSE", "XSHE"]),
    stock("BJ", &["BSE", "BJSE"]),
    other("CFFEX", &["CCFX", "CFE_CN"], CHINA),
    other("SHFE", &["XSGE"], CHINA),
    other("DCE", &["XDCE"], CHINA),
    other("CZCE", &["ZCE", "XZCE"], CHINA),
    other("INE", &["XINE"], CHINA),
    other("GFEX", &["XGFE"], CHINA),
    other("SGE", &[], CHINA),
    other("HK", &["SEHK", "XHKG"], "Asia/Hong_Kong"),
    other("HKFE", &[], "Asia/Hong_Kong"),
    other("TW", &["TWSE", "XTAI"], "Asia/Taipei"),
    other("TPEX", &["ROCO"], "Asia/Taipei"),
    other("NYSE", &["XNYS"], "America/New_York"),
    other("NASDAQ", &["XNAS"], "America/New_York"),
    other("AMEX", &["XASE"], "America/New_York"),
    other("ARCA", &["ARCX"], "America/New_York"),
    other("CME", &["XCME"], "America/Chicago"),
    other("CBOT", &["XCBT"], "America/Chicago"),
    other("LME", &[], "Europe/London"),
    other("BINANCE", &[], "UTC"),
    other("OKX", &["OKEX"], "UTC"),
    other("BYBIT", &[], "UTC"),
    other("GATE", &["GATEIO"], "UTC"),
    other("BITGET", &[], "UTC"),
    other("KRAKEN", &[], "UTC"),
    other("COINBASE", &[], "UTC"),
    other("DERIBIT", &[], "UTC"),
    other("LOCAL", &[], "UTC"),
];

impl Venue {
    /// The venue of a canonical code or another spelling, in any case.
    pub fn find(text: &str) -> Option<&'static Self> {
        let is = |name: &str| name.eq_ignore_ascii_case(text);
        VENUES.iter().find(|venue| is(venue.code) || venue.aliases.iter().any(|alias| is(alias)))
    }

    /// The zone of a venue's clock; UTC for venues outside the table.
    pub fn zone_of(code: &str) -> &'static str {
        Self::find(code).map_or("UTC", |venue| venue.zone)
    }
}
