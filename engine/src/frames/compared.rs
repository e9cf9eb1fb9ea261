//! What a query compares instruments and intervals with, so that an empty answer can say what there is none of.

use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Statement, Value, Visit, Visitor};

/// A text that a query compares a column with: `instrument = '600000.SH'`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compared {
    /// The column's name: `instrument` or `interval`.
    pub column: &'static str,
    /// The text.
    pub text: String,
}

const COLUMNS: [&str; 2] = ["instrument", "interval"];

/// The texts that a statement compares with `=` and `IN`, each once, in their order.
pub(super) fn compared(statement: &Statement) -> Vec<Compared> {
    let mut seen = Seen::default();
    let ControlFlow::Continue(()) = statement.visit(&mut seen);
    seen.0.sort();
    seen.0.dedup();
    seen.0
}

#[derive(Default)]
struct Seen(Vec<Compared>);

impl Seen {
    fn add(&mut self, of: &Expr, with: &Expr) {
        let name = match of {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        let column = COLUMNS.into_iter().find(|column| name.is_some_and(|name| name.value == **column));
        let text = match with {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(text),
                _ => None,
            },
            _ => None,
        };
        if let (Some(column), Some(text)) = (column, text) {
            self.0.push(Compared { column, text: text.clone() });
        }
    }
}

impl Visitor for Seen {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                self.add(left, right);
                self.add(right, left);
            }
            Expr::InList { expr, list, negated: false } => {
                for with in list {
                    self.add(expr, with);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
