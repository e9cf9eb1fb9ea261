"""chDB (ClickHouse in the process): a MergeTree in the order of instruments and days, results as Arrow."""

import chdb
from chdb import session

from common import BARS, LEDGER, THREADS, Cannot, run

COLUMNS = "open, high, low, close, volume, amount"
STRUCTURE = "datetime Int32, " + ", ".join(f"{name} Float64" for name in COLUMNS.split(", "))


class ChDb:
    def __init__(self, data, scratch, bench, _port):
        self.data, self.bench, self.scratch = data, bench, scratch
        self.session = session.Session(str(scratch / "chdb"))
        self.session.query("CREATE DATABASE desk ENGINE = Atomic")
        self.session.query("USE desk")

    def ask(self, sql):
        return self.session.query(f"{sql} SETTINGS max_threads = {THREADS}", "ArrowTable")

    def import_csv(self):
        self.session.query(
            f"CREATE TABLE desk.bars (code String, {STRUCTURE}) ENGINE = MergeTree ORDER BY (code, datetime) "
            "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        )

        def load(_):
            self.session.query(
                f"INSERT INTO desk.bars SELECT replaceOne(_file, '.csv', '') AS code, datetime, {COLUMNS} "
                f"FROM file('{self.data.csv}/*.csv', CSVWithNames, '{STRUCTURE}') "
                f"SETTINGS max_threads = {THREADS}"
            )

        self.bench.time("import_csv", "INSERT FROM file, parts forced", load, 1, warm=False)
        self.session.query("OPTIMIZE TABLE desk.bars FINAL")
        found = self.ask("SELECT count() AS n, sum(close) AS s FROM desk.bars").to_pylist()[0]
        self.data.equal("rows", found["n"])
        self.data.equal("close_sum", found["s"])

    def disk_bytes(self):
        sql = "SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE active AND database = 'desk'"
        return self.ask(sql).to_pylist()[0]["n"]

    def series(self, name, tail, workload, calls):
        def read(code):
            return self.ask(
                f"SELECT datetime, {COLUMNS} FROM desk.bars WHERE code = '{code}' ORDER BY datetime {tail}"
            )

        rows = closes = 0
        for code in self.data.asked:
            found = read(code)
            rows += found.num_rows
            closes += sum(found["close"].to_pylist())
        self.data.check(name, rows, closes)
        asked = self.data.asked
        self.bench.time(workload, "to an Arrow table", lambda n: read(asked[n * 7 % len(asked)]), calls)

    def last_60(self):
        self.series("last_60", "DESC LIMIT 60", "last_60", 1000)

    def all_sealed(self):
        self.series("all", "", "all_sealed", 1000)

    def last_60_of_100(self):
        codes = ", ".join(f"'{code}'" for code in self.data.asked)
        sql = (
            f"SELECT code, datetime, {COLUMNS} FROM desk.bars WHERE code IN ({codes}) "
            "ORDER BY code, datetime DESC LIMIT 60 BY code"
        )
        found = self.ask(sql)
        self.data.check("last_60", found.num_rows, sum(found["close"].to_pylist()))
        self.bench.time("last_60_of_100", "to an Arrow table", lambda _: self.ask(sql), 100)

    def day_sealed(self):
        sql = f"SELECT code, {COLUMNS} FROM desk.bars WHERE datetime = {self.data.day} ORDER BY code"
        found = self.ask(sql)
        self.data.check("day", found.num_rows, sum(found["close"].to_pylist()))
        self.bench.time("day_sealed", "to an Arrow table", lambda _: self.ask(sql), 100)

    def ma20(self):
        sql = (
            "SELECT sum(m) AS s FROM (SELECT avg(close) OVER w AS m, count() OVER w AS n FROM desk.bars "
            "WINDOW w AS (PARTITION BY code ORDER BY datetime ROWS BETWEEN 19 PRECEDING AND CURRENT ROW)) "
            "WHERE n = 20"
        )
        self.data.equal("ma20_sum", self.ask(sql).to_pylist()[0]["s"])
        self.bench.time("ma20", "window function", lambda _: self.ask(sql), 5, warm=False)

    def append_day(self):
        days = self.data.live_days()
        paths = []
        for n, day in enumerate(days):
            path = self.scratch / f"day-{n}.csv"
            path.write_text("\n".join(",".join(str(cell) for cell in row) for row in day) + "\n")
            paths.append(path)

        def append(n):
            self.session.query(
                f"INSERT INTO desk.bars SELECT * FROM file('{paths[n]}', CSV, 'code String, {STRUCTURE}')"
            )

        self.bench.time("append_day", "INSERT FROM a CSV file, part forced", append, len(days), warm=False)

    def one_position(self):
        raise Cannot("a column store; not asked for single rows that change")

    def close(self):
        self.session.close()


if __name__ == "__main__":
    about = f"chdb {chdb.__version__}, max_threads={THREADS}, MergeTree with fsync_after_insert"
    run("chdb", about, ChDb, BARS + LEDGER[:1])
