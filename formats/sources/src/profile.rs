//! `Profile`: what a source declares about its bars, in one line.

use std::fmt;
use std::str::FromStr;

use barkeeper_records::AdjustmentTag;

use crate::security::SecurityKind;

/// What one unit of a file's volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VolumeUnit {
    /// Single shares, fund units or bonds; taken as they are.
    Shares,
    /// Lots (手): 100 shares or fund units, 10 bonds; taken times that.
    Lots,
    /// Contracts; taken as they are.
    Contracts,
    /// The base currency of a pair; taken as it is.
    Base,
    /// Whatever the venue counts in for an index; taken as it is.
    Venue,
}

impl VolumeUnit {
    /// All units.
    pub const ALL: [Self; 5] = [Self::Shares, Self::Lots, Self::Contracts, Self::Base, Self::Venue];

    /// `shares`, `lots`, `contracts`, `base` or `venue`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shares => "shares",
            Self::Lots => "lots",
            Self::Contracts => "contracts",
            Self::Base => "base",
            Self::Venue => "venue",
        }
    }

    /// How many of the unit that a record counts in are one of this unit.
    pub(crate) const fn size(self, kind: SecurityKind) -> f64 {
        match (self, kind) {
            (Self::Lots, SecurityKind::Bond) => 10.0,
            (Self::Lots, _) => 100.0,
            _ => 1.0,
        }
    }
}

impl fmt::Display for VolumeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no unit of volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no unit of volume: expected shares, lots, contracts, base or venue")]
pub struct VolumeUnitError {
    /// What was given.
    pub text: String,
}

impl FromStr for VolumeUnit {
    type Err = VolumeUnitError;

    fn from_str(text: &str) -> Result<Self, VolumeUnitError> {
        let found = Self::ALL.into_iter().find(|unit| unit.as_str() == text);
        found.ok_or_else(|| VolumeUnitError { text: text.to_owned() })
    }
}

/// What the time of a bar names in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BarLabel {
    /// The instant at which the bar starts.
    Start,
    /// The instant at which the bar ends.
    End,
    /// The trading day.
    Day,
}

impl BarLabel {
    /// `start`, `end` or `day`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Day => "day",
        }
    }
}

/// How a file of bars is to be read, declared by its source and resolved for the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The source's name.
    pub source: &'static str,
    /// What one unit of volume is.
    pub unit: VolumeUnit,
    /// What a price as written is divided by: 1 where prices are decimal text.
    pub scale: u32,
    /// How prices were adjusted.
    pub adjustment: AdjustmentTag,
    /// What the time of a bar names.
    pub label: BarLabel,
    /// The IANA zone of the times.
    pub zone: &'static str,
    /// The encoding of the text, or `binary`.
    pub encoding: &'static str,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, unit, scale, adjustment, label, zone, encoding } = self;
        let label = label.as_str();
        write!(f, "{source}: volume in {unit}, prices {adjustment} in 1/{scale}, ")?;
        write!(f, "time names the {label}, {zone}, {encoding}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_one_line() {
        let profile = Profile {
            source: "tdx-day",
            unit: VolumeUnit::Shares,
            scale: 100,
            adjustment: AdjustmentTag::Raw,
            label: BarLabel::Day,
            zone: "Asia/Shanghai",
            encoding: "binary",
        };
        let line =
            "tdx-day: volume in shares, prices raw in 1/100, time names the day, Asia/Shanghai, binary";
        assert_eq!(profile.to_string(), line);
    }

    #[test]
    fn units_read_as_they_are_written() {
        for unit in VolumeUnit::ALL {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
        assert!("手".parse::<VolumeUnit>().is_err());
    }
}
