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
    let plain = value.normalize();
    let up = SCALE.checked_sub(plain.scale()).ok_or(MoneyError::Places { value })?;
    let integer = plain.mantissa().checked_mul(10_i128.pow(up)).filter(|n| n.abs() < LIMIT);
    integer.ok_or(MoneyError::Magnitude { value })
}

/// The number of an integer from [`scaled`]; `None` where it has more than 28 digits.
pub fn unscaled(integer: i128) -> Option<Decimal> {
    if integer.abs() >= LIMIT {
        return None;
    }
    Decimal::try_from_i128_with_scale(integer, SCALE).ok().map(|value| value.normalize())
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
    }
}
