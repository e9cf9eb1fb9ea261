"""Polars over Parquet: a file an instrument, a file a day, or one sorted file, whichever answers best."""

import polars as pl

from common import BARS, LEDGER, THREADS, Cannot, Data, forced, run

NUMBERS = ["open", "high", "low", "close", "volume", "amount"]


class Polars:
    def __init__(self, data, scratch, bench, _port):
        self.data, self.bench, self.scratch = data, bench, scratch
        self.one = scratch / "bars.parquet"

    def import_csv(self):
        schema = {"datetime": pl.Int32} | dict.fromkeys(NUMBERS, pl.Float64)

        def load(_):
            bars = pl.scan_csv(f"{self.data.csv}/*.csv", include_file_paths="path", schema=schema)
            code = pl.col("path").str.split("/").list.last().str.strip_suffix(".csv").alias("code")
            bars = bars.select(code, "datetime", *NUMBERS).collect().sort("code", "datetime")
            bars.write_parquet(self.one, compression="zstd")
            forced(self.one)

        self.bench.time("import_csv", "one sorted Parquet file (ZSTD), forced", load, 1, warm=False)
        bars = pl.read_parquet(self.one)
        self.data.equal("rows", len(bars))
        self.data.equal("close_sum", bars["close"].sum())
        for column in ("code", "datetime"):
            folder = self.scratch / column
            folder.mkdir()
            for (key,), part in bars.group_by(column):
                part.write_parquet(folder / f"{key}.parquet", compression="zstd")

    def disk_bytes(self):
        return self.one.stat().st_size

    def of(self, code):
        return pl.read_parquet(self.scratch / "code" / f"{code}.parquet")

    def series(self, name, read, workload, what):
        rows = closes = 0
        for code in self.data.asked:
            found = read(code)
            rows += len(found)
            closes += found["close"].sum()
        self.data.check(name, rows, closes)
        asked = self.data.asked
        self.bench.time(workload, what, lambda n: read(asked[n * 7 % len(asked)]), 1000)

    def last_60(self):
        self.series("last_60", lambda code: self.of(code).tail(60), "last_60", "a file an instrument")

    def all_sealed(self):
        self.series("all", self.of, "all_sealed", "a file an instrument")

    def last_60_of_100(self):
        def read(_):
            return pl.concat([self.of(code).tail(60) for code in self.data.asked])

        found = read(0)
        self.data.check("last_60", len(found), found["close"].sum())
        self.bench.time("last_60_of_100", "a file an instrument", read, 100)

    def day_sealed(self):
        path = self.scratch / "datetime" / f"{self.data.day}.parquet"
        found = pl.read_parquet(path)
        self.data.check("day", len(found), found["close"].sum())
        self.bench.time("day_sealed", "a file a day", lambda _: pl.read_parquet(path), 1000)

    def ma20(self):
        mean = pl.col("close").rolling_mean(20).over("code").sum()

        def ask(_):
            return pl.scan_parquet(self.one).select(mean).collect().item()

        self.data.equal("ma20_sum", ask(0))
        self.bench.time("ma20", "one sorted file, lazy", ask, 5, warm=False)

    def factors(self):
        data = Data(self.data.home.parent / self.data.home.name.replace("desk", "factors"))
        many, schema = self.scratch / "factors.parquet", {"datetime": pl.Int32} | dict.fromkeys(NUMBERS, pl.Float64)
        bars = pl.scan_csv(f"{data.csv}/*.csv", include_file_paths="path", schema=schema)
        code = pl.col("path").str.split("/").list.last().str.strip_suffix(".csv").alias("code")
        bars.select(code, "datetime", *NUMBERS).collect().sort("code", "datetime").write_parquet(many, compression="zstd")
        close, opened, volume = pl.col("close"), pl.col("open"), pl.col("volume") * 100
        factors = [close / close.shift(n).over("code") - 1 for n in (1, 5, 20)]
        factors += [close.rolling_mean(n).over("code") / close for n in (5, 10, 20, 60)]
        factors += [
            close.rolling_std(20).over("code") / close,
            (pl.col("high") - pl.col("low")) / opened,
            (close - opened) / opened,
            pl.col("high").rolling_max(20).over("code") / close,
            pl.col("low").rolling_min(20).over("code") / close,
            volume.rolling_mean(5).over("code") / volume.rolling_mean(20).over("code"),
            pl.col("amount") / volume / close,
        ]
        total = sum((factor.sum() for factor in factors[1:]), factors[0].sum())

        def ask(_):
            return pl.scan_parquet(many).select(total).collect().item()

        data.equal("factors_sum", ask(0))
        self.bench.time("factors", "one sorted file, lazy", ask, 5, warm=False)

    def append_day(self):
        days = [
            pl.DataFrame(day, schema=["code", "datetime", *NUMBERS], orient="row")
            for day in self.data.live_days()
        ]

        def append(n):
            path = self.scratch / "datetime" / f"live-{n}.parquet"
            days[n].write_parquet(path, compression="zstd")
            forced(path)

        what = "a new file a day, forced; its files an instrument would all be written anew"
        self.bench.time("append_day", what, append, len(days), warm=False)

    def one_position(self):
        raise Cannot("files; not asked for single rows that change")


if __name__ == "__main__":
    about = f"polars {pl.__version__}, {THREADS} threads, Parquet with ZSTD, files forced to the disk"
    run("polars", about, Polars, BARS + LEDGER[:1])
