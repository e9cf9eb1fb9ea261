//! `Goal`: what each workload has to reach, and why it does not where that is known.
//!
//! The reasons stand here and nowhere else: a goal that a run reaches is shown without its reason.

/// What of a row is compared with the goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The median time in nanoseconds.
    Median,
    /// The median divided by that of the floor.
    Ratio,
    /// The value that is no time.
    Value,
}

/// A goal of one workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) workload: &'static str,
    /// As people write it.
    pub(crate) text: &'static str,
    pub(crate) of: Of,
    /// What may not be passed; with `at_least` what must be.
    pub(crate) limit: f64,
    pub(crate) at_least: bool,
    /// Where the time goes, for a goal that is missed; empty where none is known to be.
    pub(crate) why: &'static str,
}

const fn most(workload: &'static str, text: &'static str, of: Of, limit: f64) -> Goal {
    Goal { workload, text, of, limit, at_least: false, why: "" }
}

const fn least(workload: &'static str, text: &'static str, of: Of, limit: f64) -> Goal {
    Goal { workload, text, of, limit, at_least: true, why: "" }
}

impl Goal {
    /// Where the time goes.
    const fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }
}

const US: f64 = 1e3;
const MS: f64 = 1e6;
const S: f64 = 1e9;

static GOALS: &[Goal] = &[
    most("one_position", "1 us", Of::Median, US)
        .because("a look-up of redb alone takes half of it; the rest is a read transaction, the checksum and the decimals of the row"),
    most("hundred_positions", "30 us", Of::Median, 30.0 * US),
    most("last_60", "5 us", Of::Median, 5.0 * US),
    most("last_60_first", "300 us", Of::Median, 300.0 * US)
        .because("60 hot days of an instrument stand on about 75 pages of redb: each is read from the file and verified once, about 4.5 us; the rest opens the manifest and the tables"),
    most("last_60_of_100", "500 us", Of::Median, 500.0 * US),
    most("all_hot", "60 us", Of::Median, 60.0 * US)
        .because("the newest come from memory; the rest is sealed: nine columns, each verified in blocks of 8 KiB, a quarter of the time in LZ4, an eighth in making rows of them"),
    most("all_sealed", "60 us", Of::Median, 60.0 * US)
        .because("nine columns, each verified in blocks of 8 KiB: a quarter of the time is LZ4 of volume and turnover, a fifth the dictionaries of prices, an eighth making rows, an eighth copying from the operating system"),
    most("day_hot", "300 us", Of::Median, 300.0 * US)
        .because("79 chunks are verified, and 5,000 rows with their names built one by one"),
    most("day_sealed", "300 us", Of::Median, 300.0 * US)
        .because("a sixth is LZ4, a quarter the dictionaries of prices and codes, a tenth copying from the operating system, a sixth making 5,000 rows of 104 bytes with their names"),
    most("append_day", "20 ms", Of::Median, 20.0 * MS)
        .because("5,000 statistics, digests and instrument numbers are brought up one by one before the one sync"),
    most("append_day_syncs", "4 syncs", Of::Value, 4.0),
    most("ma20", "250 ms", Of::Median, 250.0 * MS),
    most("factors_scan", "10 % of the factors", Of::Ratio, 0.1),
    most("import_csv", "5 s", Of::Median, 5.0 * S)
        .because("a quarter is encoding the columns of both axes, an eighth parsing text; the rest hashes, compares and syncs"),
    most("commit", "1.3 x a one-table redb commit", Of::Ratio, 1.3)
        .because("two thirds are the sync of the pages of a dozen tables (`commit_written`, `commit_in_sync`); the rest evaluates trade, indexes, position, state, log and digests (`commit_beside_sync`)"),
    most("commit_syncs", "1 sync", Of::Value, 1.0),
    least("commits_per_sync", "128 of 256 commits a sync", Of::Value, 128.0),
    most("save_state", "1.2 fsyncs", Of::Ratio, 1.2)
        .because("redb alone takes as long for the same bytes in one table (`save_state_redb`): it writes scattered pages where the floor writes one block in place (`save_state_written`, `save_state_in_sync`)"),
    most("load_state", "20 us", Of::Median, 20.0 * US),
    most("trades_year", "1 ms", Of::Median, MS),
    most("summary", "20 ms", Of::Median, 20.0 * MS),
    most("open_clean", "50 ms", Of::Median, 50.0 * MS),
    most("open_killed", "1 s", Of::Median, S),
    most("resident", "300 MB", Of::Value, 300.0),
    most("bytes_by_instrument", "30 bytes", Of::Value, 30.0),
    most("bytes_by_day", "20 bytes", Of::Value, 20.0),
    least("minute_rate", "5,000 rows a second", Of::Value, 5_000.0),
    most("minute_stall", "100 ms", Of::Median, 100.0 * MS),
    most("pace_stall", "100 ms", Of::Median, 100.0 * MS),
    most("pace_late", "0 seconds", Of::Value, 0.0),
    most("read_beside_writer", "1.2 x alone", Of::Ratio, 1.2),
];

/// The goal of a workload, where it has one.
pub(crate) fn goal(workload: &str) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.workload == workload)
}
