//! Ledger numbers: decimals with at most eight places, never rounded.

use rust_decimal::Decimal;

/// Decimal places that the ledger keeps, in rows, in SQL (`DECIMAL(28,8)`) and in Parquet.
pub(crate) const SCALE: u32 = 8;
/// Largest magnitude: 28 digits, 8 of them behind the point.
const LIMIT: i128 = 10_i128.pow(28);

/// Why a number was refused as a ledger number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// More than eight decimal places.
    #[error("{value} has more than 8 decimal places; it is refused and not rounded")]
    Places {
        /// What was given.
        value: Decimal,
    },
    /// 10^20 or more.
    #[error("{value} has more than 20 digits before the point")]
    Magnitude {
        /// What was given.
        value: Decimal,
    },
}

/// Takes a number into the ledger, without trailing zeros.
///
/// # Errors
/// `Places` for more than 8 decimals, `Magnitude` from 10^20 on.
pub fn ledger_decimal(value: Decimal) -> Result<Decimal, MoneyError> {
    scaled(value)?;
    Ok(value.normalize())
}

/// The number times 10^8 as an integer, the form in which rows, digests and Parquet hold it.
///
/// # Errors
/// `Places` for more than 8 decimals, `Magnitude` from 10^20 on.
pub fn scaled(value: Decimal) -> Result<i128, MoneyError> {
    // Only trailing zeros can make too many places few enough.
    let plain = if value.scale() > SCALE { value.normalize() } else { value };
    let up = SCALE.checked_sub(plain.scale()).ok_or(MoneyError::Places { value })?;
    let integer = plain.mantissa().checked_mul(10_i128.pow(up)).filter(|n| n.abs() < LIMIT);
    integer.ok_or(MoneyError::Magnitude { value })
}

/// The number of an integer from [`scaled`]; `None` where it has more than 28 digits.
pub fn unscaled(integer: i128) -> Option<Decimal> {
    if let Ok(small) = i64::try_from(integer) {
        return Some(small_unscaled(small));
    }
    if integer.abs() >= LIMIT {
        return None;
    }
    Decimal::try_from_i128_with_scale(integer, SCALE).ok().map(|value| value.normalize())
}

/// The same for nearly all numbers that a ledger holds, without dividing 128 bits a digit at a time.
fn small_unscaled(integer: i64) -> Decimal {
    let (mut mantissa, mut scale) = (integer, SCALE);
    for (power, places) in [(10_000, 4), (10_000, 4), (100, 2), (10, 1)] {
        if scale >= places && mantissa % power == 0 {
            mantissa /= power;
            scale -= places;
        }
    }
    Decimal::new(mantissa, scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_than_eight_places_are_refused_and_trailing_zeros_are_not_places() {
        let parse = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(scaled(parse("1.50")), Ok(150_000_000));
        assert_eq!(scaled(parse("1.1234567800")), Ok(112_345_678));
        assert!(matches!(scaled(parse("1.123456789")), Err(MoneyError::Places { .. })));
        assert!(matches!(scaled(parse("100000000000000000000")), Err(MoneyError::Magnitude { .. })));
        assert_eq!(ledger_decimal(parse("12.3400")).unwrap().to_string(), "12.34");
    }

    proptest! {
        #[test]
        fn scaled_integers_round_trip(integer in -(LIMIT - 1)..LIMIT) {
            let value = unscaled(integer).unwrap();
            prop_assert_eq!(scaled(value), Ok(integer));
        }

        #[test]
        fn small_numbers_are_without_trailing_zeros_as_well(digits in -9_999_i64..=9_999, zeros in 0_u32..=14) {
            let integer = i128::from(digits * 10_i64.pow(zeros));
            let long = Decimal::from_i128_with_scale(integer, SCALE).normalize();
            let short = unscaled(integer).unwrap();
            prop_assert_eq!((short.mantissa(), short.scale()), (long.mantissa(), long.scale()));
            prop_assert_eq!(scaled(short), Ok(integer));
        }
    }
}
