"""ArcticDB on LMDB: a symbol an instrument, results as pandas frames."""

import datetime

import arcticdb
import pandas as pd
from arcticdb import Arctic, ReadRequest, WritePayload

from common import BARS, LEDGER, THREADS, Cannot, run

GROUP = 250
NUMBERS = ["open", "high", "low", "close", "volume", "amount"]


class ArcticDb:
    def __init__(self, data, scratch, bench, _port):
        self.data, self.bench = data, bench
        self.arctic = Arctic(f"lmdb://{scratch / 'arctic'}?map_size=20GB")
        self.library = self.arctic.create_library("bars")

    def import_csv(self):
        paths = sorted(self.data.csv.glob("*.csv"))
        self.codes = [path.stem for path in paths]

        def frame(path):
            bars = pd.read_csv(path)
            bars.index = pd.to_datetime(bars.pop("datetime").astype(str))
            return bars.astype(float)

        def load(_):
            for start in range(0, len(paths), GROUP):
                group = paths[start : start + GROUP]
                self.library.write_batch([WritePayload(path.stem, frame(path)) for path in group])

        self.bench.time("import_csv", "pandas, write_batch", load, 1, warm=False)

    def series(self, name, read, workload):
        rows = closes = 0
        for code in self.data.asked:
            found = read(code)
            rows += len(found)
            closes += found["close"].sum()
        self.data.check(name, rows, closes)
        asked = self.data.asked
        self.bench.time(workload, "to a pandas frame", lambda n: read(asked[n * 7 % len(asked)]), 1000)

    def last_60(self):
        self.series("last_60", lambda code: self.library.tail(code, 60).data, "last_60")

    def all_sealed(self):
        self.series("all", lambda code: self.library.read(code).data, "all_sealed")

    def last_60_of_100(self):
        def read(_):
            return [self.library.tail(code, 60).data for code in self.data.asked]

        found = read(0)
        self.data.check("last_60", sum(map(len, found)), sum(one["close"].sum() for one in found))
        self.bench.time("last_60_of_100", "to pandas frames", read, 20)

    def day_sealed(self):
        day = datetime.datetime.strptime(str(self.data.day), "%Y%m%d")
        requests = [ReadRequest(code, date_range=(day, day)) for code in self.codes]

        def read(_):
            return self.library.read_batch(requests)

        found = [one.data for one in read(0)]
        self.data.check("day", sum(map(len, found)), sum(one["close"].sum() for one in found))
        self.bench.time("day_sealed", "read_batch of all symbols", read, 3, warm=False)

    def ma20(self):
        def ask(_):
            total = rows = 0
            for start in range(0, len(self.codes), GROUP):
                requests = [
                    ReadRequest(code, columns=["close"]) for code in self.codes[start : start + GROUP]
                ]
                for one in self.library.read_batch(requests):
                    total += one.data["close"].rolling(20).mean().sum()
                    rows += len(one.data)
            self.data.equal("rows", rows)
            self.data.equal("ma20_sum", total)

        self.bench.time("ma20", "read_batch, averaged by pandas", ask, 1, warm=False)

    def append_day(self):
        days = self.data.live_days()

        def append(n):
            payloads = []
            for code, day, *numbers in days[n]:
                index = pd.DatetimeIndex([datetime.datetime.strptime(str(day), "%Y%m%d")])
                payloads.append(WritePayload(code, pd.DataFrame([numbers], columns=NUMBERS, index=index)))
            self.library.append_batch(payloads)

        self.bench.time("append_day", "append_batch of all symbols; LMDB's own sync", append, 1, warm=False)

    def one_position(self):
        raise Cannot("versioned frames; not asked for single rows that change")


if __name__ == "__main__":
    about = f"arcticdb {arcticdb.__version__} on LMDB, its own threads and sync, pandas {pd.__version__}"
    run("arcticdb", about, ArcticDb, BARS + LEDGER[:1])
