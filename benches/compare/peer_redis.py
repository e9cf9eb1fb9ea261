"""Redis on loopback: an account's positions are one hash of JSON texts; appendfsync always."""

import json

import redis

from common import BARS, LEDGER, Cannot, run


class Redis:
    def __init__(self, data, _scratch, bench, port):
        self.data, self.bench = data, bench
        self.client = redis.Redis(port=port)

    def one_position(self):
        for account in ("desk-a", "desk-b", "desk-c"):
            held = {f"main/{row[2]}": json.dumps(row) for row in self.data.positions(account)}
            self.client.hset(f"positions:{account}", mapping=held)
        asked = self.data.asked
        assert json.loads(self.client.hget("positions:desk-b", f"main/{asked[7]}"))[2] == asked[7]

        def read(n):
            return json.loads(self.client.hget("positions:desk-b", f"main/{asked[n * 37 % len(asked)]}"))

        self.bench.time("one_position", "HGET, JSON read", read, 10000)

    def hundred_positions(self):
        def read(_):
            return [json.loads(one) for one in self.client.hvals("positions:desk-b")]

        assert len(read(0)) == len(self.data.asked)
        self.bench.time("hundred_positions", "HVALS, JSON read", read, 5000)

    def commit(self):
        rows = self.data.positions("desk-b")

        def commit(n):
            row = rows[n % len(rows)]
            pipe = self.client.pipeline(transaction=True)
            pipe.rpush("trades:desk-b", json.dumps([n, row[2], 10.25, 100, "2026-01-05T01:31:00Z"]))
            pipe.hset("positions:desk-b", f"main/{row[2]}", json.dumps(row))
            pipe.execute()

        self.bench.time("commit", "MULTI: RPUSH and HSET", commit, 1000)

    def import_csv(self):
        raise Cannot("keeps no bars on a desk: memory")


if __name__ == "__main__":
    about = f"redis-py {redis.__version__} over loopback, appendonly yes, appendfsync always"
    run("redis", about, Redis, BARS[:1] + LEDGER)
