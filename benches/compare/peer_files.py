"""What desks run today: one CSV an instrument through pandas, positions in JSON files written anew."""

import json
import shutil

import pandas as pd

from common import BARS, LEDGER, Cannot, run


class Files:
    def __init__(self, data, scratch, bench, _port):
        self.data, self.bench, self.scratch = data, bench, scratch
        self.csv = scratch / "daily"

    def import_csv(self):
        shutil.copytree(self.data.csv, self.csv)
        raise Cannot("the files are the store")

    def of(self, code):
        return pd.read_csv(self.csv / f"{code}.csv")

    def series(self, name, read, workload):
        rows = closes = 0
        for code in self.data.asked:
            found = read(code)
            rows += len(found)
            closes += found["close"].sum()
        self.data.check(name, rows, closes)
        asked = self.data.asked
        self.bench.time(workload, "read_csv", lambda n: read(asked[n * 7 % len(asked)]), 1000)

    def last_60(self):
        self.series("last_60", lambda code: self.of(code).tail(60), "last_60")

    def all_sealed(self):
        self.series("all", self.of, "all_sealed")

    def last_60_of_100(self):
        def read(_):
            return [self.of(code).tail(60) for code in self.data.asked]

        self.bench.time("last_60_of_100", "read_csv of each", read, 20)

    def every(self):
        return (pd.read_csv(path) for path in sorted(self.csv.glob("*.csv")))

    def day_sealed(self):
        def read(_):
            rows = closes = 0
            for bars in self.every():
                found = bars[bars["datetime"] == self.data.day]
                rows += len(found)
                closes += found["close"].sum()
            self.data.check("day", rows, closes)

        self.bench.time("day_sealed", "read_csv of every file", read, 1, warm=False)

    def ma20(self):
        def ask(_):
            self.data.equal("ma20_sum", sum(bars["close"].rolling(20).mean().sum() for bars in self.every()))

        self.bench.time("ma20", "read_csv of every file", ask, 1, warm=False)

    def append_day(self):
        days = self.data.live_days()

        def append(n):
            for code, *cells in days[n]:
                with open(self.csv / f"{code}.csv", "a") as file:
                    file.write(",".join(str(cell) for cell in cells) + "\n")

        self.bench.time(
            "append_day", "a line to every file; nothing is forced to the disk", append, 20, warm=False
        )

    def paths(self):
        return [self.scratch / name for name in ("held_days.json", "max_price.json", "min_price.json")]

    def one_position(self):
        rows = self.data.positions("desk-b")
        for place, path in zip((3, 4, 5), self.paths()):
            path.write_text(json.dumps({row[2]: row[place] for row in rows}))
        asked = self.data.asked

        def read(n):
            code = asked[n * 37 % len(asked)]
            return [json.loads(path.read_text())[code] for path in self.paths()]

        assert read(7)[0] == 3
        self.bench.time("one_position", "three JSON files read", read, 5000)

    def hundred_positions(self):
        def read(_):
            held, highest, lowest = (json.loads(path.read_text()) for path in self.paths())
            return [(code, held[code], highest[code], lowest[code]) for code in held]

        assert len(read(0)) == len(self.data.asked)
        self.bench.time("hundred_positions", "three JSON files read", read, 5000)

    def commit(self):
        asked = self.data.asked
        log = self.scratch / "deal_hist.csv"

        def commit(n):
            code = asked[n % len(asked)]
            with open(log, "a") as file:
                file.write(f"2026-01-05,09:31:00,{code},buy,10.25,100\n")
            for path in self.paths():
                held = json.loads(path.read_text())
                held[code] = held[code] + 1
                path.write_text(json.dumps(held))

        self.bench.time(
            "commit", "three JSON files written anew; nothing is forced to the disk", commit, 2000
        )


if __name__ == "__main__":
    run(
        "files",
        f"CSV through pandas {pd.__version__}, JSON files; nothing is forced to the disk",
        Files,
        BARS + LEDGER,
    )
