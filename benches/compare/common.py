"""What all peers share: the data, the clock, the check of answers, one JSON object a line.

A peer is a class with one method a workload, named as in the Rust workloads. What it cannot do it says.
"""

import argparse
import csv
import json
import os
import pathlib
import shutil
import sys
import time

THREADS = 2
LONGEST_S = 20.0
HELD = 100


class Cannot(Exception):
    """Why a peer has no answer to a question."""


class Data:
    """The generated market, and what every program must answer about it."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.answers = json.loads((self.home / "answers.json").read_text())
        self.csv = self.home / "_daily_tushare"
        self.asked = self.answers["asked"]
        self.day = int(self.answers["asked_day"].replace("-", ""))

    def live_days(self):
        """The days behind those of the files, each a list of rows in the order of instruments."""
        days = {}
        with open(self.home / "live.csv", newline="") as file:
            for row in csv.DictReader(file):
                day = int(row["datetime"])
                numbers = [float(row[name]) for name in ("open", "high", "low", "close", "volume", "amount")]
                days.setdefault(day, []).append((row["instrument"], day, *numbers))
        return [days[day] for day in sorted(days)]

    def positions(self, account):
        """Positions of an account: instrument, days held, extremes, quantity, cost, day of entry."""
        return [
            (account, "main", code, 3, 11.37 + n, 9.85, 100.0 * (n + 1), 10.25 + 0.37 * n, 20200107)
            for n, code in enumerate(self.asked[:HELD])
        ]

    def check(self, name, rows, closes):
        """Stops a peer whose answer is not ours."""
        self.equal(f"{name}_rows", rows)
        self.equal(f"{name}_close_sum", closes)

    def equal(self, key, found):
        wanted = self.answers[key]
        if abs(found - wanted) > abs(wanted) * 1e-9:
            raise SystemExit(f"{key} is {found}, and must be {wanted}")


class Bench:
    """Times calls and prints what came out."""

    def __init__(self, who):
        self.who = who

    def say(self, **fields):
        print(json.dumps({"who": self.who, **fields}), flush=True)

    def time(self, workload, what, work, calls, warm=True):
        """Times `calls` calls of `work(n)` after a tenth as many for warming up, for 20 s at the most."""
        if warm:
            begun = time.perf_counter()
            for n in range(max(1, calls // 10)):
                work(n)
                if time.perf_counter() - begun > LONGEST_S / 4:
                    break
        times = []
        begun = time.perf_counter()
        for n in range(calls):
            start = time.perf_counter_ns()
            work(n)
            times.append(time.perf_counter_ns() - start)
            if time.perf_counter() - begun > LONGEST_S:
                break
        times.sort()
        count = len(times)
        self.say(
            workload=workload,
            what=what,
            n=count,
            median_ns=times[count // 2],
            p99_ns=times[min(count - 1, count * 99 // 100)],
            rss_mb=resident_mb(),
        )

    def cannot(self, workload, why):
        self.say(workload=workload, cannot=why)


def resident_mb():
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None


def taken(folder):
    """Bytes that the files of a folder take on the disk."""
    files = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return sum(path.stat().st_blocks * 512 for path in files)


def forced(path):
    """Forces a file and its folder to the disk."""
    for place in (path, path.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def run(name, about, peer, workloads):
    """Runs a peer's workloads in order; `about` says version, threads and what is forced to the disk."""
    parser = argparse.ArgumentParser(description=f"The workloads of the desk on {name}")
    parser.add_argument("data", help="folder with the generated market")
    parser.add_argument("scratch", help="folder to work in, emptied first")
    parser.add_argument("--port", type=int, help="port of a server on loopback")
    args = parser.parse_args()
    scratch = pathlib.Path(args.scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    bench = Bench(name)
    bench.say(about=about)
    tested = peer(Data(args.data), scratch, bench, args.port)
    for workload in workloads:
        method = getattr(tested, workload, None)
        if method is None:
            continue
        try:
            method()
        except Cannot as why:
            bench.cannot(workload, str(why))
        if workload == "import_csv" and os.name == "posix":
            disk_bytes = getattr(tested, "disk_bytes", lambda: taken(scratch))()
            rows = tested.data.answers["rows"]
            size = round(disk_bytes / rows, 2)
            if size > 0:
                bench.say(workload="bytes_bar", what="bytes on disk of a daily bar", n=rows, value=size, unit="bytes")
    if hasattr(tested, "close"):
        tested.close()
    shutil.rmtree(scratch, ignore_errors=True)
    sys.stdout.flush()


BARS = ["import_csv", "last_60", "all_sealed", "last_60_of_100", "day_sealed", "ma20", "factors", "append_day"]
LEDGER = ["one_position", "hundred_positions", "commit"]
