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
    /// Minutes after midnight on the venue's clock at which its day session ends; 1,440 where it never
    /// closes, and a day ends at midnight.
    pub close: u16,
    /// Whether symbols are six digits, so that `SH600000` and `sh.600000` can be read.
    pub six_digits: bool,
}

const CHINA: &str = "Asia/Shanghai";
/// Of venues that never close.
const MIDNIGHT: u16 = 24 * 60;

const fn stock(code: &'static str, aliases: &'static [&'static str]) -> Venue {
    Venue { code, aliases, zone: CHINA, close: at(15, 0), six_digits: true }
}

const fn at(hour: u16, minute: u16) -> u16 {
    hour * 60 + minute
}

const fn other(
    code: &'static str,
    aliases: &'static [&'static str],
    zone: &'static str,
    close: u16,
) -> Venue {
    Venue { code, aliases, zone, close, six_digits: false }
}

static VENUES: &[Venue] = &[
    stock("SH", &["SSE", "SHSE", "XSHG", "SS"]),
    stock("SZ", &["SZSE", "XSHE"]),
    stock("BJ", &["BSE", "BJSE"]),
    other("CFFEX", &["CCFX", "CFE_CN"], CHINA, at(15, 15)),
    other("SHFE", &["XSGE"], CHINA, at(15, 0)),
    other("DCE", &["XDCE"], CHINA, at(15, 0)),
    other("CZCE", &["ZCE", "XZCE"], CHINA, at(15, 0)),
    other("INE", &["XINE"], CHINA, at(15, 0)),
    other("GFEX", &["XGFE"], CHINA, at(15, 0)),
    other("SGE", &[], CHINA, at(15, 30)),
    other("HK", &["SEHK", "XHKG"], "Asia/Hong_Kong", at(16, 10)),
    other("HKFE", &[], "Asia/Hong_Kong", at(16, 30)),
    other("TW", &["TWSE", "XTAI"], "Asia/Taipei", at(13, 30)),
    other("TPEX", &["ROCO"], "Asia/Taipei", at(13, 30)),
    other("NYSE", &["XNYS"], "America/New_York", at(16, 0)),
    other("NASDAQ", &["XNAS"], "America/New_York", at(16, 0)),
    other("AMEX", &["XASE"], "America/New_York", at(16, 0)),
    other("ARCA", &["ARCX"], "America/New_York", at(16, 0)),
    other("CME", &["XCME"], "America/Chicago", at(16, 0)),
    other("CBOT", &["XCBT"], "America/Chicago", at(16, 0)),
    other("LME", &[], "Europe/London", at(19, 0)),
    other("BINANCE", &[], "UTC", MIDNIGHT),
    other("OKX", &["OKEX"], "UTC", MIDNIGHT),
    other("BYBIT", &[], "UTC", MIDNIGHT),
    other("GATE", &["GATEIO"], "UTC", MIDNIGHT),
    other("BITGET", &[], "UTC", MIDNIGHT),
    other("KRAKEN", &[], "UTC", MIDNIGHT),
    other("COINBASE", &[], "UTC", MIDNIGHT),
    other("DERIBIT", &[], "UTC", MIDNIGHT),
    other("LOCAL", &[], "UTC", MIDNIGHT),
];

impl Venue {
    /// The venue of a canonical code or another spelling, in any case.
    pub fn find(text: &str) -> Option<&'static Self> {
        let is = |name: &str| name.eq_ignore_ascii_case(text);
        VENUES.iter().find(|venue| is(venue.code) || venue.aliases.iter().any(|alias| is(alias)))
    }

    /// When the day session of a venue ends, in minutes after midnight on its clock; 1,440 for venues
    /// outside the table. Where products close at different times it is the last of them.
    pub fn close_of(code: &str) -> u16 {
        Self::find(code).map_or(MIDNIGHT, |venue| venue.close)
    }

    /// The zone of a venue's clock; UTC for venues outside the table.
    pub fn zone_of(code: &str) -> &'static str {
        Self::find(code).map_or("UTC", |venue| venue.zone)
    }
}
