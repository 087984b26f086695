"""RQ with Redis (AOF everysec): two SimpleWorkers, which run tasks in their own process.

with_rq.py noop COUNT
"""

import os
import subprocess
import sys
import time

from common import missing, rate, with_redis

if os.environ.get("CHECK"):
    missing(programs=["redis-server"], modules=["rq", "redis"])

from redis import Redis
from rq import Queue, SimpleWorker


def main():
    count = int(sys.argv[2])
    with with_redis() as url:
        workers = [subprocess.Popen([sys.executable, __file__, "worker", url], stderr=open(f"rq{i}.log", "wb")) for i in range(2)]
        try:
            queue = Queue(connection=Redis.from_url(url))
            # A function of Python's own: workers need nothing of this file.
            queue.enqueue("time.sleep", 0)
            wait(queue, 1)
            for finished, when in ((1, "cold"), (1 + count, "warm")):
                begun = time.perf_counter()
                for _ in range(count):
                    queue.enqueue("time.sleep", 0)
                wait(queue, finished + count)
                rate(count, begun, when)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(timeout=30)


def wait(queue, count):
    """Until so many have finished."""
    deadline = time.monotonic() + 300
    while queue.finished_job_registry.count < count:
        if time.monotonic() > deadline or queue.failed_job_registry.count:
            raise RuntimeError(f"{queue.finished_job_registry.count} of {count} have finished, {queue.failed_job_registry.count} failed")
        time.sleep(0.002)


if sys.argv[1:2] == ["worker"]:
    SimpleWorker([Queue(connection=Redis.from_url(sys.argv[2]))]).work(logging_level="WARNING")
elif __name__ == "__main__":
    main()
