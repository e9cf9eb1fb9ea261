"""SQLite through Python's own driver: WAL, synchronous=FULL, results as tuples."""

import csv
import sqlite3

from common import BARS, LEDGER, run

COLUMNS = "open, high, low, close, volume, amount"
POSITION = "account, book, code, held_days, highest, lowest, quantity, cost, opened_on"


class Sqlite:
    def __init__(self, data, scratch, bench, _port):
        self.data, self.bench, self.scratch = data, bench, scratch
        self.con = sqlite3.connect(scratch / "desk.sqlite", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-131072"):
            self.con.execute(f"PRAGMA {pragma}")

    def import_csv(self):
        def rows():
            for path in sorted(self.data.csv.glob("*.csv")):
                with open(path, newline="") as file:
                    lines = csv.reader(file)
                    next(lines)
                    for line in lines:
                        yield (path.stem, *line)

        def load(_):
            self.con.execute(
                "CREATE TABLE bars (code TEXT, datetime INTEGER, open REAL, high REAL, low REAL, close REAL, "
                "volume REAL, amount REAL, PRIMARY KEY (code, datetime)) WITHOUT ROWID"
            )
            self.con.execute("BEGIN")
            self.con.executemany("INSERT INTO bars VALUES (?,?,?,?,?,?,?,?)", rows())
            self.con.execute("COMMIT")

        self.bench.time("import_csv", "csv module, one transaction", load, 1, warm=False)
        rows, closes = self.con.execute("SELECT count(*), sum(close) FROM bars").fetchone()
        self.data.equal("rows", rows)
        self.data.equal("close_sum", closes)

    def disk_bytes(self):
        self.con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return (self.scratch / "desk.sqlite").stat().st_size

    def ask(self, sql, values=()):
        return self.con.execute(sql, values).fetchall()

    def series(self, name, sql, workload, calls):
        found = [row for code in self.data.asked for row in self.ask(sql, (code,))]
        self.data.check(name, len(found), sum(row[4] for row in found))
        asked = self.data.asked
        self.bench.time(workload, "to tuples", lambda n: self.ask(sql, (asked[n * 7 % len(asked)],)), calls)

    LAST = f"SELECT datetime, {COLUMNS} FROM bars WHERE code = ? ORDER BY datetime DESC LIMIT 60"

    def last_60(self):
        self.series("last_60", self.LAST, "last_60", 5000)

    def all_sealed(self):
        sql = f"SELECT datetime, {COLUMNS} FROM bars WHERE code = ? ORDER BY datetime"
        self.series("all", sql, "all_sealed", 1000)

    def last_60_of_100(self):
        def read(_):
            return [self.ask(self.LAST, (code,)) for code in self.data.asked]

        self.bench.time("last_60_of_100", "to tuples, one query an instrument", read, 100)

    def day_sealed(self):
        sql = f"SELECT code, {COLUMNS} FROM bars WHERE datetime = ?"
        found = self.ask(sql, (self.data.day,))
        self.data.check("day", len(found), sum(row[4] for row in found))
        self.bench.time(
            "day_sealed",
            "to tuples; its key begins with the instrument",
            lambda _: self.ask(sql, (self.data.day,)),
            20,
        )

    def ma20(self):
        sql = (
            "SELECT sum(m) FROM (SELECT avg(close) OVER w AS m, count(*) OVER w AS n FROM bars "
            "WINDOW w AS (PARTITION BY code ORDER BY datetime ROWS 19 PRECEDING)) WHERE n = 20"
        )

        def ask(_):
            self.data.equal("ma20_sum", self.con.execute(sql).fetchone()[0])

        self.bench.time("ma20", "window function", ask, 1, warm=False)

    def append_day(self):
        days = self.data.live_days()

        def append(n):
            self.con.execute("BEGIN")
            self.con.executemany("INSERT INTO bars VALUES (?,?,?,?,?,?,?,?)", days[n])
            self.con.execute("COMMIT")

        self.bench.time("append_day", "one transaction", append, len(days), warm=False)

    def hold(self):
        self.con.execute(
            "CREATE TABLE positions (account TEXT, book TEXT, code TEXT, held_days INTEGER, highest REAL, "
            "lowest REAL, quantity REAL, cost REAL, opened_on INTEGER, "
            "PRIMARY KEY (account, book, code)) WITHOUT ROWID"
        )
        self.con.execute(
            "CREATE TABLE trades "
            "(id INTEGER PRIMARY KEY, account TEXT, code TEXT, price REAL, quantity REAL, ts TEXT)"
        )
        for account in ("desk-a", "desk-b", "desk-c"):
            rows = self.data.positions(account)
            self.con.executemany("INSERT INTO positions VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def one_position(self):
        self.hold()
        sql = f"SELECT {POSITION} FROM positions WHERE account = 'desk-b' AND book = 'main' AND code = ?"
        asked = self.data.asked
        assert len(self.ask(sql, (asked[7],))) == 1
        self.bench.time(
            "one_position", "to a tuple", lambda n: self.ask(sql, (asked[n * 37 % len(asked)],)), 20000
        )

    def hundred_positions(self):
        sql = f"SELECT {POSITION} FROM positions WHERE account = 'desk-b'"
        assert len(self.ask(sql)) == len(self.data.asked)
        self.bench.time("hundred_positions", "to tuples", lambda _: self.ask(sql), 5000)

    def commit(self):
        asked = self.data.asked

        def commit(n):
            code = asked[n % len(asked)]
            self.con.execute("BEGIN")
            self.con.execute(
                "INSERT INTO trades VALUES (NULL,'desk-b',?,10.25,100,'2026-01-05T01:31:00Z')", (code,)
            )
            self.con.execute(
                "UPDATE positions SET quantity = quantity + 100, highest = ? "
                "WHERE account = 'desk-b' AND book = 'main' AND code = ?",
                (300.0 + n, code),
            )
            self.con.execute("COMMIT")

        self.bench.time("commit", "a trade and its position, one transaction", commit, 1000)


if __name__ == "__main__":
    about = f"sqlite {sqlite3.sqlite_version} through Python's sqlite3, WAL, synchronous=FULL"
    run("sqlite", about, Sqlite, BARS + LEDGER)
