//! `Limits`: what of a filter the scan itself can see to. The filter is applied to what it reads all the same, so
//! a limit may be wider than the filter, but never narrower.

use barkeeper_records::InstrumentId;
use polars::prelude::{
    AnyValue, BooleanFunction, DataFrame, DataType, Expr, FunctionExpr, IntoLazy, Operator, PlSmallStr,
    PolarsError, PolarsResult, Series, StringFunction, TimeUnit,
};

/// Which instruments may pass a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// These.
    List(Vec<InstrumentId>),
    /// Those whose name begins so.
    Prefix(String),
}

/// What may pass a filter. All bounds are included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Conditions on the instrument, all of which hold.
    pub(super) names: Vec<Names>,
    /// The first and the last `ts`, nanoseconds.
    pub(super) ts: (i64, i64),
    /// The first and the last trading day, days since 1970.
    pub(super) days: (i64, i64),
    /// Values of the other columns of text of which one must be met, such as `interval`.
    pub(super) texts: Vec<(String, Vec<String>)>,
    /// Whether every part of the filter compares columns of one row with values, so that rows can be filtered as
    /// they come.
    pub(super) by_row: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let all = (i64::MIN, i64::MAX);
        Self { names: Vec::new(), ts: all, days: all, texts: Vec::new(), by_row: true }
    }
}

impl Limits {
    /// The limits that a filter sets.
    pub(super) fn of(filter: &Expr) -> Self {
        let mut limits = Self::default();
        limits.add(filter);
        limits
    }

    /// Whether a text may stand in a column.
    pub(super) fn allows(&self, column: &str, text: &str) -> bool {
        self.texts.iter().all(|(of, texts)| of != column || texts.iter().any(|one| one == text))
    }

    fn add(&mut self, filter: &Expr) {
        match filter {
            Expr::BinaryExpr { left, op: Operator::And | Operator::LogicalAnd, right } => {
                self.add(left);
                self.add(right);
            }
            Expr::BinaryExpr { left, op, right } => match (column_of(left), column_of(right)) {
                (Some(name), None) => match value_of(right) {
                    Some(value) => self.compare(name, *op, &value),
                    None => self.by_row = false,
                },
                (None, Some(name)) => match (mirrored(*op), value_of(left)) {
                    (Some(op), Some(value)) => self.compare(name, op, &value),
                    _ => self.by_row = false,
                },
                _ => self.by_row = false,
            },
            Expr::Function { input, function } => self.call(input, function),
            _ => self.by_row = false,
        }
    }

    fn call(&mut self, input: &[Expr], function: &FunctionExpr) {
        let (name, values) = match input {
            [of, rest @ ..] => (column_of(of), rest.iter().map(value_of).collect::<Option<Vec<_>>>()),
            [] => (None, None),
        };
        let (Some(name), Some(values)) = (name, values) else {
            self.by_row = false;
            return;
        };
        match (function, values.as_slice()) {
            (FunctionExpr::Boolean(BooleanFunction::IsIn { .. }), [list]) => {
                if let Some(texts) = texts_of(list) {
                    self.one_of(name, texts);
                }
            }
            // The bounds may be excluded, which the filter sees to.
            (FunctionExpr::Boolean(BooleanFunction::IsBetween { .. }), [low, high]) => {
                self.compare(name, Operator::GtEq, low);
                self.compare(name, Operator::LtEq, high);
            }
            (FunctionExpr::StringExpr(function), [text]) if name == "instrument" => {
                let text = text_of(text);
                let prefix = match function {
                    StringFunction::StartsWith => text,
                    StringFunction::Contains { literal: false, .. } => text.as_deref().and_then(prefix_of),
                    _ => None,
                };
                self.names.extend(prefix.map(Names::Prefix));
            }
            (FunctionExpr::Boolean(_) | FunctionExpr::StringExpr(_), _) => {}
            _ => self.by_row = false,
        }
    }

    fn compare(&mut self, column: &str, op: Operator, value: &Series) {
        let range = match column {
            "ts" => nanos_of(value).map(|value| (&mut self.ts, value)),
            "trading_day" => days_of(value).map(|value| (&mut self.days, value)),
            _ => None,
        };
        if let Some((range, value)) = range {
            let (low, high) = match op {
                Operator::Eq | Operator::EqValidity => (value, value),
                Operator::Gt => (value.saturating_add(1), i64::MAX),
                Operator::GtEq => (value, i64::MAX),
                Operator::Lt => (i64::MIN, value.saturating_sub(1)),
                Operator::LtEq => (i64::MIN, value),
                _ => return,
            };
            *range = (range.0.max(low), range.1.min(high));
        } else if let (Operator::Eq | Operator::EqValidity, Some(text)) = (op, text_of(value)) {
            self.one_of(column, vec![text]);
        }
    }

    fn one_of(&mut self, column: &str, texts: Vec<String>) {
        if column != "instrument" {
            self.texts.push((column.to_owned(), texts));
            return;
        }
        // An instrument has one name. What is none, or another spelling of one, is left to the filter.
        let exact = |text: &String| {
            let instrument: InstrumentId = text.parse().ok()?;
            (instrument.as_str() == text.as_str()).then_some(instrument)
        };
        if let Some(list) = texts.iter().map(exact).collect() {
            self.names.push(Names::List(list));
        }
    }
}

/// A filter without the parts that only hint at which rows can still matter, such as those that a sort with a limit
/// will take: those parts cannot be worked out here, and leaving them out leaves more rows, never fewer.
///
/// # Errors
/// `ComputeError` where something else cannot be worked out here.
pub(super) fn without_hints(filter: &Expr) -> PolarsResult<Option<Expr>> {
    match filter {
        Expr::BinaryExpr { left, op: op @ (Operator::And | Operator::LogicalAnd), right } => {
            Ok(match (without_hints(left)?, without_hints(right)?) {
                (Some(left), Some(right)) => {
                    Some(Expr::BinaryExpr { left: left.into(), op: *op, right: right.into() })
                }
                (one, other) => one.or(other),
            })
        }
        Expr::Display { fmt_str, .. } if fmt_str.starts_with("dynamic_pred") => Ok(None),
        other if other.into_iter().any(|part| matches!(part, Expr::Display { .. })) => {
            Err(PolarsError::ComputeError(
                format!("this filter cannot be left to the store, turn `predicate_pushdown` off: {other:?}")
                    .into(),
            ))
        }
        other => Ok(Some(other.clone())),
    }
}

/// The column that an expression is.
fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Alias(inner, _) => column_of(inner),
        Expr::Column(name) => Some(name),
        _ => None,
    }
}

/// What an expression is without any row, such as the date that a text stands for.
fn value_of(expr: &Expr) -> Option<Series> {
    if !is_constant(expr) {
        return None;
    }
    let name = PlSmallStr::from_static("value");
    let rows = DataFrame::empty().lazy().select([expr.clone().alias(name.clone())]).collect().ok()?;
    rows.column(&name).ok().map(|column| column.as_materialized_series().clone())
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(_) => true,
        Expr::Alias(inner, _) => is_constant(inner),
        Expr::Cast { expr, .. } => is_constant(expr),
        Expr::BinaryExpr { left, right, .. } => is_constant(left) && is_constant(right),
        Expr::Function { input, function: FunctionExpr::StringExpr(_) | FunctionExpr::TemporalExpr(_) } => {
            input.iter().all(is_constant)
        }
        _ => false,
    }
}

/// The comparison with its sides changed.
const fn mirrored(op: Operator) -> Option<Operator> {
    Some(match op {
        Operator::Eq => Operator::Eq,
        Operator::EqValidity => Operator::EqValidity,
        Operator::NotEq => Operator::NotEq,
        Operator::Gt => Operator::Lt,
        Operator::GtEq => Operator::LtEq,
        Operator::Lt => Operator::Gt,
        Operator::LtEq => Operator::GtEq,
        _ => return None,
    })
}

/// The one value of a series.
fn only(value: &Series) -> Option<AnyValue<'_>> {
    if value.len() == 1 { value.get(0).ok() } else { None }
}

fn text_of(value: &Series) -> Option<String> {
    match only(value)? {
        AnyValue::String(text) => Some(text.to_owned()),
        AnyValue::StringOwned(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The texts of a list; nothing where a row without a value is among them.
fn texts_of(value: &Series) -> Option<Vec<String>> {
    let list = match only(value) {
        Some(AnyValue::List(list)) => list,
        _ => value.clone(),
    };
    list.str().ok()?.iter().map(|text| text.map(ToOwned::to_owned)).collect()
}

/// An instant in nanoseconds, where it is one.
fn nanos_of(value: &Series) -> Option<i64> {
    let DataType::Datetime(unit, Some(_)) = value.dtype() else { return None };
    let (AnyValue::Datetime(ticks, _, _) | AnyValue::DatetimeOwned(ticks, _, _)) = only(value)? else {
        return None;
    };
    let nanos = match unit {
        TimeUnit::Nanoseconds => 1,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Milliseconds => 1_000_000,
    };
    ticks.checked_mul(nanos)
}

fn days_of(value: &Series) -> Option<i64> {
    match only(value)? {
        AnyValue::Date(days) => Some(i64::from(days)),
        _ => None,
    }
}

/// With what a text begins that matches `^(?s)60\.*.*$`, which is what `LIKE '60%'` turns into.
fn prefix_of(pattern: &str) -> Option<String> {
    let inner = pattern.strip_prefix("^(?s)")?.strip_suffix(".*$")?;
    let mut prefix = String::new();
    let mut open = true;
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        let plain = match letter {
            '\\' => Some(letters.next().filter(|next| !next.is_alphanumeric())?),
            _ if letter.is_alphanumeric() || letter == '_' => Some(letter),
            // From here on anything may stand: what came before is still how it begins.
            '.' => None,
            '*' if !open => None,
            _ => return None,
        };
        open &= plain.is_some();
        prefix.extend(plain.filter(|_| open));
    }
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use polars::prelude::{LiteralValue, Scalar, StrptimeOptions, col, lit};

    use super::*;

    #[test]
    fn a_pattern_is_a_beginning_only_where_it_says_so() {
        assert_eq!(prefix_of("^(?s)60.*$"), Some("60".into()));
        assert_eq!(prefix_of(r"^(?s)600000\.S.*$"), Some("600000.S".into()));
        assert_eq!(prefix_of("^(?s)6.0.*$"), Some("6".into()));
        assert_eq!(prefix_of("^(?s).*$"), Some(String::new()));
        for other in [
            "^(?s)60$",
            "^(?is)a.*$",
            "60",
            "^(?s)(6|0).*$",
            "^(?s)6[0].*$",
            r"^(?s)\d.*$",
            "^(?s)a?.*$",
            "^(?s)60.|7.*$",
            "^(?s)60*.*$",
        ] {
            assert_eq!(prefix_of(other), None, "{other}");
        }
    }

    #[test]
    fn comparisons_narrow_and_everything_else_does_not() {
        let day =
            |n: i32| Expr::Literal(LiteralValue::Scalar(Scalar::new(DataType::Date, AnyValue::Date(n))));
        let limits = Limits::of(&col("trading_day").gt(day(10)).and(day(20).gt_eq(col("trading_day"))));
        assert_eq!((limits.days, limits.by_row), ((11, 20), true));
        let either = Limits::of(&col("trading_day").eq(day(1)).or(col("close").gt(lit(1.0))));
        assert_eq!(either, Limits { by_row: false, ..Limits::default() });
        let unequal = Limits::of(&col("trading_day").neq(day(1)));
        assert_eq!(unequal, Limits::default());
    }

    #[test]
    fn a_date_may_be_a_text_that_polars_has_to_read() {
        let day = lit("1970-01-11").str().to_date(StrptimeOptions::default());
        let limits = Limits::of(&col("trading_day").gt_eq(day.clone()).and(day.is_null()));
        assert_eq!((limits.days, limits.by_row), ((10, i64::MAX), false));
    }

    #[test]
    fn an_instrument_in_another_spelling_is_not_looked_for() {
        assert_eq!(Limits::of(&col("instrument").eq(lit("sh600000"))).names, []);
        let exact: InstrumentId = "600000.SH".parse().unwrap();
        assert_eq!(Limits::of(&col("instrument").eq(lit("600000.SH"))).names, [Names::List(vec![exact])]);
        let prefix = Limits::of(&col("instrument").str().starts_with(lit("60")));
        assert_eq!(prefix.names, [Names::Prefix("60".into())]);
    }
}
