//! Whether the volume of a file is in the unit that its profile declares, judged by turnover / volume.
//!
//! Prices as traded: turnover / volume of every row with volume lies within its low and high, give or
//! take what rounding does to the numbers. Adjusted prices: turnover is of the prices as traded, so only
//! the order of magnitude can be judged, on the latest rows, where the adjustment is smallest.

use barkeeper_records::{AdjustmentTag, InstrumentId};

use crate::error::{OffRow, OffRows, SourceError};
use crate::profile::VolumeUnit;
use crate::security::SecurityKind;

/// Latest rows from which the unit of an adjusted file is judged.
const LATEST: usize = 20;
/// How far turnover / volume may lie from an adjusted close, as a factor.
const FARTHEST: f64 = 20.0;
/// A jump of turnover / volume / close between two rows that only a change from shares to lots (100)
/// explains: a day's adjustment is far below it.
const JUMP: std::ops::RangeInclusive<f64> = 30.0..=300.0;
/// What storing a number in seven digits (a 32-bit float) does to it, with some room.
const SEVEN_DIGITS: f64 = 1e-6;

/// A row as its file has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traded {
    pub(crate) line: u64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) close: f64,
    /// In the file's unit.
    pub(crate) volume: f64,
    pub(crate) turnover: f64,
}

/// What is known of the unit beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The profile declares it.
    Declared(VolumeUnit),
    /// The caller vouches for it.
    Stated(VolumeUnit),
    /// Shares or lots; the data decides.
    SharesOrLots,
}

/// What a file's rows are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'f> {
    pub(crate) file: &'f str,
    pub(crate) kind: SecurityKind,
    pub(crate) adjustment: AdjustmentTag,
}

/// The unit of a file whose rows (the latest day last) were checked against it, and what a person should
/// know.
///
/// # Errors
/// `UnitMismatch` for prices as traded, `UnitUnlikely` and `UnitChanges` for adjusted ones, `UnitUnclear`
/// where the data should decide and cannot.
pub(crate) fn verify(
    subject: Subject<'_>,
    claim: Claim,
    rows: &[Traded],
) -> Result<(VolumeUnit, Vec<String>), SourceError> {
    let usable: Vec<Traded> = rows.iter().copied().filter(|row| row.volume > 0.0).collect();
    let check = Check { subject, rows: &usable };
    if usable.is_empty() && claim != Claim::SharesOrLots {
        let unit = match claim {
            Claim::Declared(unit) | Claim::Stated(unit) => unit,
            Claim::SharesOrLots => VolumeUnit::Shares,
        };
        return Ok((unit, vec!["no row has volume, so the unit of volume could not be checked".to_owned()]));
    }
    match (claim, subject.adjustment) {
        (Claim::SharesOrLots, _) => check.decide(),
        (Claim::Declared(unit), AdjustmentTag::Raw) => check.raw(unit).map(|()| (unit, Vec::new())),
        (Claim::Stated(unit), AdjustmentTag::Raw) => Ok((unit, check.stated(unit)?)),
        (Claim::Declared(unit) | Claim::Stated(unit), _) => Ok((unit, check.adjusted(unit)?)),
    }
}

/// What to say of an index, whose turnover / volume is not its price.
pub(crate) fn index_notes(instrument: &InstrumentId, stated: Option<VolumeUnit>) -> Vec<String> {
    let stays = "is an index: its volume stays in the unit of its venue (lots) and cannot be checked";
    let mut notes = vec![format!("{instrument} {stays}")];
    if let Some(unit) = stated.filter(|unit| *unit != VolumeUnit::Venue) {
        notes.push(format!("the option `unit` ({unit}) does not apply to an index"));
    }
    notes
}

/// The unit with which a unit is confused.
const fn other(unit: VolumeUnit) -> Option<VolumeUnit> {
    match unit {
        VolumeUnit::Shares => Some(VolumeUnit::Lots),
        VolumeUnit::Lots => Some(VolumeUnit::Shares),
        VolumeUnit::Contracts | VolumeUnit::Base | VolumeUnit::Venue => None,
    }
}

fn distance(ratio: f64) -> f64 {
    ratio.ln().abs()
}

struct Check<'f> {
    subject: Subject<'f>,
    /// Rows with volume, the latest day last.
    rows: &'f [Traded],
}

impl Check<'_> {
    fn file(&self) -> String {
        self.subject.file.to_owned()
    }

    fn within(&self, row: &Traded, unit: VolumeUnit) -> bool {
        let size = unit.size(self.subject.kind);
        let half_step = 0.5 * 10_f64.powi(-i32::from(self.subject.kind.decimals()));
        let volume_slack = match unit {
            // Whole lots are rounded from shares, or cut off.
            VolumeUnit::Lots if row.volume.fract() == 0.0 => 1.0,
            VolumeUnit::Lots => 0.01,
            _ => row.volume * SEVEN_DIGITS,
        };
        let turnover_slack = match self.subject.kind {
            SecurityKind::Pair => 1e-5,
            // TDX gives the turnover of old days in whole thousands.
            _ if (row.turnover / 1000.0).round() * 1000.0 == row.turnover => 1000.0,
            _ => 1.0,
        } + row.turnover.abs() * SEVEN_DIGITS;
        let least = (row.low - half_step) * (row.volume - volume_slack).max(0.0) * size;
        let most = (row.high + half_step) * (row.volume + volume_slack) * size;
        row.turnover + turnover_slack >= least && row.turnover - turnover_slack <= most
    }

    /// Whether all of these rows fit another unit, and not only by the room that is left for rounding: a lot that
    /// was rounded or cut off stands for half of one to two, and at least one row fits without it.
    fn would_fit(&self, rows: &[&Traded], unit: VolumeUnit) -> bool {
        let average = |row: &Traded| self.average(row, unit);
        rows.iter()
            .all(|row| self.within(row, unit) && (row.low / 2.0..=row.high * 2.0).contains(&average(row)))
            && rows.iter().any(|row| (row.low..=row.high).contains(&average(row)))
    }

    fn off(&self, unit: VolumeUnit, is_off: impl Fn(&Traded) -> bool) -> OffRows {
        self.evidence(unit, self.rows.iter().filter(|row| is_off(row)))
    }

    fn evidence<'r>(&self, unit: VolumeUnit, rows: impl Iterator<Item = &'r Traded>) -> OffRows {
        let mut off = OffRows { of: self.rows.len() as u64, ..OffRows::default() };
        for row in rows {
            off.add(|| OffRow {
                line: row.line,
                found: format!("{} / {} = {:.4}", row.turnover, row.volume, self.average(row, unit)),
                expected: format!("{} to {}", row.low, row.high),
            });
        }
        off
    }

    fn average(&self, row: &Traded, unit: VolumeUnit) -> f64 {
        row.turnover / (row.volume * unit.size(self.subject.kind))
    }

    fn raw(&self, unit: VolumeUnit) -> Result<(), SourceError> {
        let off = self.off(unit, |row| !self.within(row, unit));
        if off.count == 0 {
            return Ok(());
        }
        let wrong: Vec<&Traded> = self.rows.iter().filter(|row| !self.within(row, unit)).collect();
        let better = other(unit).filter(|other| self.would_fit(&wrong, *other));
        Err(SourceError::UnitMismatch { file: self.file(), unit, better, rows: off })
    }

    /// The caller vouches for the unit: rows are errors only where they lie nearer to the other one.
    fn stated(&self, unit: VolumeUnit) -> Result<Vec<String>, SourceError> {
        let nearer = |row: &Traded| {
            let middle = f64::midpoint(row.low, row.high);
            let ratio = self.average(row, unit) / middle;
            row.turnover > 0.0 && middle > 0.0 && !self.within(row, unit) && distance(ratio) > 10_f64.ln()
        };
        let wrong = self.off(unit, nearer);
        if wrong.count > 0 {
            return Err(SourceError::UnitMismatch {
                file: self.file(),
                unit,
                better: other(unit),
                rows: wrong,
            });
        }
        let off = self.off(unit, |row| !self.within(row, unit));
        if off.count == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "the caller vouches for volume in {unit}; turnover / volume is outside the prices in {off}"
        )])
    }

    /// The rows whose turnover / volume / close means something.
    fn priced(&self) -> impl DoubleEndedIterator<Item = &Traded> {
        self.rows.iter().filter(|row| row.turnover > 0.0 && row.close > 0.0)
    }

    fn ratio(&self, row: &Traded, unit: VolumeUnit) -> f64 {
        self.average(row, unit) / row.close
    }

    /// The median of turnover / volume / close over the latest rows.
    fn latest(&self, unit: VolumeUnit) -> Option<f64> {
        let mut sorted: Vec<f64> =
            self.priced().rev().take(LATEST).map(|row| self.ratio(row, unit)).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn adjusted(&self, unit: VolumeUnit) -> Result<Vec<String>, SourceError> {
        self.steady(unit)?;
        let adjustment = self.subject.adjustment;
        let Some(ratio) = self.latest(unit) else {
            let note = "no row has volume, turnover and a price above zero: the unit of volume is unchecked";
            return Ok(vec![note.to_owned()]);
        };
        let near = distance(ratio) <= FARTHEST.ln();
        let nearest = other(unit).and_then(|other| self.latest(other)).is_none_or(|other| {
            // Ten times off to either side is no evidence for either unit.
            distance(ratio) + 1e-9 < distance(other)
        });
        if near && nearest {
            return Ok(Vec::new());
        }
        let rows = self.evidence(unit, self.priced().rev().take(LATEST));
        Err(SourceError::UnitUnlikely { file: self.file(), unit, adjustment, ratio, rows })
    }

    /// Refuses a file whose rows change from shares to lots or back.
    fn steady(&self, unit: VolumeUnit) -> Result<(), SourceError> {
        for (before, after) in self.priced().zip(self.priced().skip(1)) {
            let (line, before, after) = (after.line, self.ratio(before, unit), self.ratio(after, unit));
            if JUMP.contains(&distance(after / before).exp()) {
                return Err(SourceError::UnitChanges { file: self.file(), line, before, after });
            }
        }
        Ok(())
    }

    fn decide(&self) -> Result<(VolumeUnit, Vec<String>), SourceError> {
        let raw = self.subject.adjustment == AdjustmentTag::Raw;
        if !raw {
            self.steady(VolumeUnit::Shares)?;
        }
        let fits = |unit: &VolumeUnit| {
            if raw {
                self.rows.iter().all(|row| self.within(row, *unit))
            } else {
                self.latest(*unit).is_some_and(|ratio| distance(ratio) <= FARTHEST.ln())
            }
        };
        let fitting: Vec<VolumeUnit> =
            [VolumeUnit::Shares, VolumeUnit::Lots].into_iter().filter(fits).collect();
        let usable = self.priced().count() as u64;
        match fitting.as_slice() {
            [] if raw && usable > 0 => {
                let shares = self.raw(VolumeUnit::Shares).err();
                let lots = self.raw(VolumeUnit::Lots).err();
                let count = |error: &SourceError| match error {
                    SourceError::UnitMismatch { rows, .. } => rows.count,
                    _ => u64::MAX,
                };
                let nearest = shares.into_iter().chain(lots).min_by_key(count);
                Err(nearest.unwrap_or(SourceError::UnitUnclear { file: self.file(), both: false, usable }))
            }
            [unit] if usable > 0 => Ok((*unit, vec![format!("volume is in {unit}: the data decided")])),
            units => Err(SourceError::UnitUnclear { file: self.file(), both: units.len() > 1, usable }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(adjustment: AdjustmentTag) -> Subject<'static> {
        Subject { file: "x", kind: SecurityKind::Stock, adjustment }
    }

    /// Rows whose turnover is `size * factor` times volume and close.
    fn rows(volumes: &[f64], close: f64, size: f64, factor: f64) -> Vec<Traded> {
        let row = |(line, volume): (u64, &f64)| Traded {
            line,
            low: close - 0.05,
            high: close + 0.05,
            close,
            volume: *volume,
            turnover: volume * size * close * factor,
        };
        (2..).zip(volumes).map(row).collect()
    }

    const VOLUMES: [f64; 3] = [1_234_567.0, 89_123.0, 500_111.0];

    #[test]
    fn prices_as_traded_hold_the_average_price_of_every_row() {
        let raw = subject(AdjustmentTag::Raw);
        let lots = rows(&VOLUMES, 10.0, 100.0, 1.0);
        assert_eq!(verify(raw, Claim::Declared(VolumeUnit::Lots), &lots), Ok((VolumeUnit::Lots, Vec::new())));
        let error = verify(raw, Claim::Declared(VolumeUnit::Shares), &lots).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x: turnover / volume is outside the prices if volume is in shares, in 3 of 3 rows: \
             line 2: 1234567000 / 1234567 = 1000.0000 where 9.95 to 10.05 was expected; \
             line 3: 89123000 / 89123 = 1000.0000 where 9.95 to 10.05 was expected; \
             line 4: 500111000 / 500111 = 1000.0000 where 9.95 to 10.05 was expected; in lots they would fit"
        );
    }

    #[test]
    fn one_row_in_another_unit_is_found() {
        let raw = subject(AdjustmentTag::Raw);
        let mut mixed = rows(&VOLUMES, 10.0, 1.0, 1.0);
        mixed[1].volume /= 100.0;
        let error = verify(raw, Claim::Declared(VolumeUnit::Shares), &mixed).unwrap_err();
        let SourceError::UnitMismatch { better, rows, .. } = error else { panic!("{error}") };
        assert_eq!((better, rows.count, rows.of, rows.shown[0].line), (Some(VolumeUnit::Lots), 1, 3, 3));
        assert!(verify(raw, Claim::Stated(VolumeUnit::Shares), &mixed).is_err());
        for adjustment in [AdjustmentTag::Qfq, AdjustmentTag::Hfq] {
            for claim in [Claim::SharesOrLots, Claim::Declared(VolumeUnit::Shares)] {
                let error = verify(subject(adjustment), claim, &mixed).unwrap_err();
                assert!(matches!(error, SourceError::UnitChanges { line: 3, .. }), "{error}");
            }
        }
    }

    #[test]
    fn another_unit_is_named_only_where_it_fits_beyond_rounding() {
        let raw = subject(AdjustmentTag::Raw);
        let row = |low, high, volume, turnover| Traded { line: 2, low, high, close: high, volume, turnover };
        let better = |rows: &[Traded]| match verify(raw, Claim::Declared(VolumeUnit::Shares), rows) {
            Err(SourceError::UnitMismatch { better, .. }) => better,
            found => panic!("{found:?}"),
        };
        // One share for 11 to 12 would be a lot at 0.09, which only the room for rounding lets pass.
        assert_eq!(better(&[row(11.0, 12.0, 1.0, 9.0)]), None);
        assert_eq!(better(&[row(11.0, 12.0, 1.0, 9.0), row(11.0, 12.0, 1000.0, 1_150_000.0)]), None);
        // 199 shares as one lot, beside a row that fits without rounding.
        let rounded = [row(10.0, 10.0, 1.0, 1990.0), row(10.0, 10.0, 5.0, 5000.0)];
        assert_eq!(better(&rounded), Some(VolumeUnit::Lots));
    }

    #[test]
    fn whoever_vouches_for_a_unit_gets_outliers_as_notes() {
        let raw = subject(AdjustmentTag::Raw);
        let odd = rows(&VOLUMES, 10.0, 1.0, 1.3);
        assert!(verify(raw, Claim::Declared(VolumeUnit::Shares), &odd).is_err());
        let (_, notes) = verify(raw, Claim::Stated(VolumeUnit::Shares), &odd).unwrap();
        assert!(notes[0].contains("3 of 3 rows"), "{notes:?}");
        assert!(verify(raw, Claim::Stated(VolumeUnit::Lots), &odd).is_err());
    }

    #[test]
    fn adjusted_prices_are_judged_by_magnitude() {
        let qfq = subject(AdjustmentTag::Qfq);
        for factor in [0.1001, 0.5, 1.0, 3.0, 19.0] {
            let lots = rows(&VOLUMES, 10.0, 100.0, factor);
            assert!(verify(qfq, Claim::Declared(VolumeUnit::Lots), &lots).is_ok(), "{factor}");
        }
        for factor in [0.01, 0.04, 0.1, 21.0, 100.0] {
            let lots = rows(&VOLUMES, 10.0, 100.0, factor);
            let error = verify(qfq, Claim::Declared(VolumeUnit::Lots), &lots).unwrap_err();
            assert!(matches!(error, SourceError::UnitUnlikely { .. }), "{factor}: {error}");
        }
    }

    #[test]
    fn the_data_decides_between_shares_and_lots_or_the_file_is_refused() {
        for adjustment in AdjustmentTag::ALL {
            let subject = subject(adjustment);
            for (size, unit) in [(1.0, VolumeUnit::Shares), (100.0, VolumeUnit::Lots)] {
                let found = verify(subject, Claim::SharesOrLots, &rows(&VOLUMES, 10.0, size, 1.0)).unwrap();
                assert_eq!(found.0, unit);
            }
            let neither =
                verify(subject, Claim::SharesOrLots, &rows(&VOLUMES, 10.0, 1.0, 5000.0)).unwrap_err();
            match &neither {
                SourceError::UnitMismatch { rows, .. } => {
                    assert_eq!((adjustment, rows.count), (AdjustmentTag::Raw, 3), "{neither}");
                }
                SourceError::UnitUnclear { both: false, usable: 3, .. } => {}
                _ => panic!("{neither}"),
            }
            let nothing = verify(subject, Claim::SharesOrLots, &[]).unwrap_err();
            assert!(matches!(nothing, SourceError::UnitUnclear { usable: 0, .. }), "{nothing}");
        }
        let both = verify(subject(AdjustmentTag::Qfq), Claim::SharesOrLots, &rows(&VOLUMES, 10.0, 1.0, 10.0));
        assert!(matches!(both, Err(SourceError::UnitUnclear { both: true, .. })));
    }

    #[test]
    fn rounding_is_not_a_mismatch() {
        let raw = subject(AdjustmentTag::Raw);
        let row = |low, high, volume, turnover| Traded { line: 1, low, high, close: high, volume, turnover };
        for (claim, row) in [
            // Turnover cut to thousands, at one price the whole day.
            (VolumeUnit::Shares, row(7.90, 7.90, 2_268_700.0, 17_922_000.0)),
            (VolumeUnit::Shares, row(7.90, 7.90, 100.0, 1000.0)),
            // A price cut to the cent.
            (VolumeUnit::Shares, row(7.90, 7.90, 10_000.0, 79_040.0)),
            // 199 shares are one lot or two.
            (VolumeUnit::Lots, row(10.0, 10.0, 1.0, 1990.0)),
            (VolumeUnit::Lots, row(10.0, 10.0, 2.0, 1990.0)),
        ] {
            assert!(verify(raw, Claim::Declared(claim), &[row]).is_ok(), "{row:?}");
        }
    }
}
