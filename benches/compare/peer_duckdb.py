"""DuckDB: one table in the order of instruments and days, results as Arrow tables."""

import warnings

import duckdb
import pyarrow as pa

from common import BARS, LEDGER, THREADS, Cannot, run

warnings.filterwarnings("ignore", message="Arrow output")
COLUMNS = "open, high, low, close, volume, amount"


class DuckDb:
    def __init__(self, data, scratch, bench, _port):
        self.data, self.bench = data, bench
        self.con = duckdb.connect(str(scratch / "bars.duckdb"))
        self.con.execute(f"SET threads={THREADS}")

    def import_csv(self):
        source = f"read_csv('{self.data.csv}/*.csv', filename=true, header=true)"
        name = "replace(parse_filename(filename), '.csv', '')"

        def load(_):
            self.con.execute("DROP TABLE IF EXISTS bars")
            self.con.execute(
                f"CREATE TABLE bars AS SELECT {name} AS code, datetime, {COLUMNS} FROM {source} "
                "ORDER BY code, datetime"
            )
            self.con.execute("CHECKPOINT")

        self.bench.time("import_csv", "one table, sorted, checkpoint", load, 1, warm=False)
        rows, closes = self.con.execute("SELECT count(*), sum(close) FROM bars").fetchall()[0]
        self.data.equal("rows", rows)
        self.data.equal("close_sum", closes)

    def ask(self, sql, values):
        # Three times as fast as con.sql with parameters, for all that it warns.
        return self.con.execute(sql, values).to_arrow_table()

    def series(self, name, sql, workload, calls):
        rows = closes = 0
        for code in self.data.asked:
            found = self.ask(sql, [code])
            rows += found.num_rows
            closes += sum(found["close"].to_pylist())
        self.data.check(name, rows, closes)
        asked = self.data.asked
        self.bench.time(
            workload, "to an Arrow table", lambda n: self.ask(sql, [asked[n * 7 % len(asked)]]), calls
        )

    def last_60(self):
        sql = f"SELECT datetime, {COLUMNS} FROM bars WHERE code = ? ORDER BY datetime DESC LIMIT 60"
        self.series("last_60", sql, "last_60", 1000)

    def all_sealed(self):
        sql = f"SELECT datetime, {COLUMNS} FROM bars WHERE code = ? ORDER BY datetime"
        self.series("all", sql, "all_sealed", 1000)

    def last_60_of_100(self):
        sql = (
            f"SELECT code, datetime, {COLUMNS} FROM bars WHERE code IN (SELECT unnest(?)) "
            "QUALIFY row_number() OVER (PARTITION BY code ORDER BY datetime DESC) <= 60"
        )
        found = self.ask(sql, [self.data.asked])
        self.data.check("last_60", found.num_rows, sum(found["close"].to_pylist()))
        self.bench.time(
            "last_60_of_100", "to an Arrow table", lambda _: self.ask(sql, [self.data.asked]), 100
        )

    def day_sealed(self):
        sql = f"SELECT code, {COLUMNS} FROM bars WHERE datetime = ? ORDER BY code"
        found = self.ask(sql, [self.data.day])
        self.data.check("day", found.num_rows, sum(found["close"].to_pylist()))
        self.bench.time("day_sealed", "to an Arrow table", lambda _: self.ask(sql, [self.data.day]), 100)

    def ma20(self):
        sql = (
            "SELECT sum(m) FROM (SELECT avg(close) OVER w AS m, count(*) OVER w AS n FROM bars "
            "WINDOW w AS (PARTITION BY code ORDER BY datetime ROWS 19 PRECEDING)) WHERE n = 20"
        )
        self.data.equal("ma20_sum", self.con.execute(sql).fetchall()[0][0])
        self.bench.time("ma20", "window function", lambda _: self.con.execute(sql).fetchall(), 5, warm=False)

    def append_day(self):
        names = ["code", "datetime", *COLUMNS.split(", ")]
        days = [pa.table(dict(zip(names, zip(*day)))) for day in self.data.live_days()]

        def append(n):
            day = days[n]
            self.con.register("day", day)
            self.con.execute(f"INSERT INTO bars SELECT code, datetime, {COLUMNS} FROM day").fetchall()

        self.bench.time("append_day", "one INSERT from Arrow, commit", append, len(days), warm=False)

    def one_position(self):
        raise Cannot("a column store; not asked for single rows that change")


if __name__ == "__main__":
    about = f"duckdb {duckdb.__version__}, {THREADS} threads, its default commit (forces its log to the disk)"
    run("duckdb", about, DuckDb, BARS + LEDGER[:1])
