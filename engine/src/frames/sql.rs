//! Queries in SQL over the tables of a snapshot, and over nothing else.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use barkeeper_records::{Adjustment, Table, TradingDay};
use polars::prelude::{DataFrame, LazyFrame, PolarsError, polars_bail};
use polars::sql::SQLContext;
use sqlparser::ast::{Query, SetExpr, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::{Token, Tokenizer};

use super::compared::{Compared, compared};
use super::named::name_columns;
use super::{into_read_error, source, tables};
use crate::error::{ReadError, ReadResult};
use crate::scan::ScanRequest;
use crate::snapshot::Snapshot;

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The text is no SQL.
    #[error("this is not SQL: {detail}")]
    Syntax {
        /// What does not fit, and where.
        detail: String,
    },
    /// Something else than one query.
    #[error(
        "expected one query (SELECT, WITH or VALUES), SHOW TABLES or EXPLAIN of a query, and found {found}"
    )]
    NotAQuery {
        /// What was given instead.
        found: String,
    },
    /// A table that is not there.
    #[error("there is no table '{name}': expected one of {tables}")]
    Table {
        /// What was asked for.
        name: String,
        /// What there is.
        tables: String,
    },
    /// A function in the place of a table, as other programs have them to read files.
    #[error("'{name}(...)' is no table: a query reads the tables of the store, no files and no addresses")]
    TableFunction {
        /// Its name.
        name: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The query does not fit the tables, or cannot be worked out.
    #[error("{detail}")]
    Query {
        /// What polars said.
        detail: String,
    },
}

impl From<PolarsError> for SqlError {
    fn from(error: PolarsError) -> Self {
        match into_read_error(error) {
            Ok(error) => Self::Read(error),
            Err(error) => {
                let text = error.to_string();
                // Behind it stands the plan as polars had it, of use to its developers.
                let detail = text.split("\n\nResolved plan until failure").next().unwrap_or_default();
                Self::Query { detail: detail.to_owned() }
            }
        }
    }
}

/// The tables that a query may name, in the order of their names.
const TABLES: [&str; 9] = [
    "bars",
    "bars_backward",
    "bars_forward",
    "books",
    "factors",
    "market_trades",
    "positions",
    "ticks",
    "trades",
];

impl Snapshot {
    /// The names of the tables that [`Snapshot::sql`] knows.
    pub const fn sql_tables() -> &'static [&'static str] {
        &TABLES
    }

    /// Answers a query in SQL, in the dialect of polars. Its tables are those of this snapshot:
    ///
    /// - `bars`: the columns of [`ScanRequest`] with `interval` (`1d`, `1m`) and `adjustment` (`raw`, `qfq`, `hfq`)
    ///   behind `instrument`; `bars_forward` and `bars_backward`: raw bars of up to a day, adjusted by the corporate
    ///   actions, as one knew them on the day `as_of` where that is given.
    /// - `ticks` and `market_trades`.
    /// - `trades`: the trade records but void ones; `positions`, open and closed; `books`; `factors`, the
    ///   corporate actions.
    ///
    /// A query reaches no file, no address and no other program, and changes nothing. Where two columns of the answer
    /// would have one name, those without a name of their own are called as they stand in the query: `min(close)`.
    ///
    /// # Errors
    /// `Syntax`, `NotAQuery`, `Table`, `TableFunction`, `Read`; `Query` for whatever else polars refuses, such as
    /// a column that is not there.
    pub fn sql(self: &Arc<Self>, query: &str, as_of: Option<TradingDay>) -> Result<DataFrame, SqlError> {
        let query = readable(query)?;
        let mut statement = check(&query)?;
        let mut context = SQLContext::new();
        for table in TABLES {
            context.register(table, self.table(table, as_of)?);
        }
        let mut ask = |query: &str| {
            let asked = AssertUnwindSafe(|| context.execute(query)?.collect());
            catch_unwind(asked).unwrap_or_else(|_| polars_bail!(ComputeError: "polars gave up on this query"))
        };
        match ask(&query) {
            Err(error) if is_duplicate(&error) => {
                name_columns(&mut statement);
                ask(&statement.to_string()).map_err(|_| match SqlError::from(error) {
                    SqlError::Query { detail } => {
                        SqlError::Query { detail: format!("{detail}; add `as NAME`") }
                    }
                    other => other,
                })
            }
            asked => Ok(asked?),
        }
    }

    /// The texts with which a query compares instruments and intervals (`=` and `IN`). Where an answer is empty, they
    /// may be what there is none of.
    ///
    /// # Errors
    /// `Syntax`, `NotAQuery`, `Table`, `TableFunction`.
    pub fn sql_compared(query: &str) -> Result<Vec<Compared>, SqlError> {
        Ok(compared(&check(&readable(query)?)?))
    }

    fn table(self: &Arc<Self>, name: &str, as_of: Option<TradingDay>) -> ReadResult<LazyFrame> {
        let seen = |adjustment: Adjustment| as_of.map_or(adjustment, |day| adjustment.as_of(day));
        match name {
            "bars_backward" => source::every_kind(self, seen(Adjustment::BACKWARD)),
            "bars_forward" => source::every_kind(self, seen(Adjustment::FORWARD)),
            "books" => tables::small(self, Table::Books),
            "factors" => tables::small(self, Table::Factors),
            "market_trades" => self.lazy(&ScanRequest::market_trades()),
            "positions" => tables::small(self, Table::Positions),
            "ticks" => self.lazy(&ScanRequest::ticks()),
            "trades" => self.lazy(&ScanRequest::trades()),
            _ => source::every_kind(self, Adjustment::NONE),
        }
    }
}

/// Whether two columns of an answer have one name.
fn is_duplicate(error: &PolarsError) -> bool {
    match error {
        PolarsError::Duplicate(_) => true,
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => is_duplicate(error),
        _ => false,
    }
}

/// The query with `interval` as the name of a column where it begins no length of time: SQL keeps the word for
/// `INTERVAL '1 day'`, and bars have a column of that name.
fn readable(query: &str) -> Result<String, SqlError> {
    let tokens = Tokenizer::new(&GenericDialect, query)
        .with_unescape(false)
        .tokenize()
        .map_err(|error| SqlError::Syntax { detail: error.to_string() })?;
    let mut text = String::with_capacity(query.len() + 8);
    for (place, token) in tokens.iter().enumerate() {
        let mut behind = tokens.iter().skip(place + 1).filter(|next| !matches!(next, Token::Whitespace(_)));
        let word = match token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.as_str()),
            _ => None,
        };
        let length = matches!(behind.next(), Some(Token::SingleQuotedString(_) | Token::Number(_, _)));
        if word.is_some_and(|word| word.eq_ignore_ascii_case("interval")) && !length {
            text.push_str("\"interval\"");
        } else {
            text.push_str(&token.to_string());
        }
    }
    Ok(text)
}

/// Lets one query over known tables pass, and answers it.
fn check(query: &str) -> Result<Statement, SqlError> {
    let syntax = |error: sqlparser::parser::ParserError| SqlError::Syntax { detail: error.to_string() };
    // The same rules by which polars reads it.
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    let mut parser =
        Parser::new(&GenericDialect).with_options(options).try_with_sql(query).map_err(syntax)?;
    let mut statements = parser.parse_statements().map_err(syntax)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        let found = match statements.len() {
            0 => "nothing".into(),
            others => format!("{} statements", others + 1),
        };
        return Err(SqlError::NotAQuery { found });
    };
    let asked = match &statement {
        Statement::Explain { statement, .. } => statement.as_ref(),
        other => other,
    };
    match asked {
        Statement::Query(query) if only_reads(&query.body) => {}
        Statement::ShowTables { .. } if *asked == statement => return Ok(statement),
        Statement::ShowTables { .. } => {
            return Err(SqlError::NotAQuery { found: "EXPLAIN of SHOW TABLES".to_owned() });
        }
        other => return Err(SqlError::NotAQuery { found: first_words(other) }),
    }
    let mut names = Relations::default();
    match asked.visit(&mut names) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => names.unknown().map(|()| statement),
    }
}

/// Whether the parts of a query are queries themselves: SQL has room for an INSERT in one.
fn only_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => only_reads(&query.body),
        SetExpr::SetOperation { left, right, .. } => only_reads(left) && only_reads(right),
        SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

/// What a statement is: the words before its first name.
fn first_words(statement: &Statement) -> String {
    let text = statement.to_string();
    let words = text.split_whitespace().take(2);
    if matches!(statement, Statement::Query(_)) {
        return "a statement inside of a query, or INTO".to_owned();
    }
    let words: Vec<&str> = words.take_while(|word| word.chars().all(|c| c.is_ascii_uppercase())).collect();
    if words.is_empty() { "this statement".to_owned() } else { words.join(" ") }
}

/// Every table that a query names, and every name that it gives to a part of itself.
#[derive(Debug, Default)]
struct Relations {
    asked: Vec<String>,
    given: Vec<String>,
}

impl Relations {
    fn unknown(self) -> Result<(), SqlError> {
        let known = |name: &String| TABLES.contains(&name.as_str()) || self.given.contains(name);
        match self.asked.iter().find(|name| !known(name)) {
            Some(name) => Err(SqlError::Table { name: name.clone(), tables: TABLES.join(", ") }),
            None => Ok(()),
        }
    }
}

impl Visitor for Relations {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        if !only_reads(&query.body) {
            return ControlFlow::Break(SqlError::NotAQuery {
                found: "a statement inside of a query, or INTO".into(),
            });
        }
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.given.extend(with.map(|table| table.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                return ControlFlow::Break(SqlError::TableFunction { name: name.to_string() });
            }
            TableFactor::TableFunction { expr, .. } => {
                return ControlFlow::Break(SqlError::TableFunction { name: expr.to_string() });
            }
            TableFactor::Table { name, .. } => {
                let parts: Option<Vec<&str>> =
                    name.0.iter().map(|part| part.as_ident().map(|name| name.value.as_str())).collect();
                self.asked.push(parts.map_or_else(|| name.to_string(), |parts| parts.join(".")));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_a_column_unless_a_length_of_time_follows() {
        let cases = [
            ("select interval from bars", "select \"interval\" from bars"),
            ("where Interval = '1d'", "where \"interval\" = '1d'"),
            ("where b.interval in ('1d')", "where b.\"interval\" in ('1d')"),
            ("ts + interval '1 day'", "ts + interval '1 day'"),
            ("ts + INTERVAL 1 day", "ts + INTERVAL 1 day"),
            ("'interval' \"interval\" -- interval\n", "'interval' \"interval\" -- interval\n"),
            (
                "'it''s' || 'a\\n' || \"q\"\"q\" /* x */ >= 1.50",
                "'it''s' || 'a\\n' || \"q\"\"q\" /* x */ >= 1.50",
            ),
        ];
        for (given, read) in cases {
            assert_eq!(readable(given).unwrap(), read);
        }
        assert!(matches!(readable("'open"), Err(SqlError::Syntax { .. })));
    }

    #[test]
    fn only_one_query_over_known_tables_passes() {
        for query in [
            "select 1",
            "select * from bars where instrument in (select instrument from positions)",
            "with t as (select * from trades) select * from t join factors using (instrument)",
            "values (1, 2)",
            "show tables",
            "explain select * from books",
            "(select close from bars) union all (select close from bars_forward)",
            "from bars_backward",
        ] {
            assert!(check(query).is_ok(), "{query}: {:?}", check(query));
        }
        for (query, found) in [
            ("create table x as select * from bars", "CREATE TABLE"),
            ("create view x as select * from bars", "CREATE VIEW"),
            ("drop table bars", "DROP TABLE"),
            ("delete from bars", "DELETE FROM"),
            ("truncate table bars", "TRUNCATE TABLE"),
            ("insert into bars select * from bars", "INSERT INTO"),
            ("update bars set close = 1", "UPDATE"),
            ("copy bars to '/tmp/x'", "COPY"),
            ("explain delete from bars", "DELETE FROM"),
            ("select 1; select 2", "2 statements"),
            ("", "nothing"),
            ("explain show tables", "EXPLAIN of SHOW TABLES"),
            ("select * into x from bars", "a statement inside of a query, or INTO"),
            ("with x as (delete from bars) select 1", "a statement inside of a query, or INTO"),
            (
                "select * from (insert into bars select * from bars) x",
                "a statement inside of a query, or INTO",
            ),
        ] {
            match check(query) {
                Err(SqlError::NotAQuery { found: named }) => assert_eq!(named, found, "{query}"),
                Err(SqlError::Syntax { .. }) if query.contains("(insert") => {}
                other => panic!("{query}: {other:?}"),
            }
        }
        for query in [
            "select * from read_csv('/etc/passwd')",
            "select * from READ_PARQUET('https://example.org/x.parquet')",
            "select * from read_ipc('x.arrow')",
            "select * from read_json('x.json')",
            "select * from bars, read_csv('x')",
            "select * from bars where close in (select a from read_csv('x'))",
            "with t as (select * from read_csv('x')) select * from t",
            "select * from table(read_csv('x'))",
            "(select 1) union (select * from glob('*'))",
        ] {
            assert!(
                matches!(check(query), Err(SqlError::TableFunction { .. })),
                "{query}: {:?}",
                check(query)
            );
        }
        for (query, name) in [
            ("select * from '/etc/passwd'", "/etc/passwd"),
            ("select * from \"x.csv\"", "x.csv"),
            ("select * from 'https://example.org/x.csv'", "https://example.org/x.csv"),
            ("select * from other.bars", "other.bars"),
            ("select * from Bars", "Bars"),
            ("select * from bars where close > (select a from nothing)", "nothing"),
        ] {
            match check(query) {
                Err(SqlError::Table { name: named, .. }) => assert_eq!(named, name),
                other => panic!("{query}: {other:?}"),
            }
        }
    }
}
