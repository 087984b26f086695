"""Celery with Redis: AOF everysec, results in Redis, two worker processes that fetch one task each, acknowledged early.

with_celery.py noop|true|latency COUNT
"""

import os
import subprocess
import sys
import time

from common import missing, rate, say, with_redis

if os.environ.get("CHECK"):
    missing(programs=["redis-server"], modules=["celery", "redis"])

from celery import Celery

app = Celery("with_celery", broker=os.environ.get("REDIS", ""), backend=os.environ.get("REDIS", ""))
app.conf.update(worker_prefetch_multiplier=1, task_ignore_result=False, worker_hijack_root_logger=False)


@app.task(name="noop")
def noop():
    return 0


@app.task(name="command")
def command():
    return subprocess.call(["/bin/true"])


def measure(kind, count):
    task = command if kind == "true" else noop
    if kind == "latency":
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            task.delay().get(timeout=60, interval=0.0005)
            times.append((time.perf_counter() - begun) * 1000)
        say(sorted(times)[count // 2], "ms", "submit until result, idle, p50, warm")
        return
    for when in ("cold", "warm"):
        begun = time.perf_counter()
        results = [task.delay() for _ in range(count)]
        for result in results:
            result.get(timeout=300)
        rate(count, begun, when)


def main():
    kind, count = sys.argv[1], int(sys.argv[2])
    with with_redis() as url:
        environment = dict(os.environ, REDIS=url, PYTHONPATH=os.path.dirname(os.path.abspath(__file__)), C_FORCE_ROOT="1")
        worker = subprocess.Popen(
            [sys.executable, __file__, "worker"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=open("celery.log", "wb"),
        )
        app.conf.update(broker_url=url, result_backend=url)
        try:
            noop.delay().get(timeout=60)
            measure(kind, count)
        finally:
            worker.terminate()
            worker.wait(timeout=30)


if sys.argv[1:] == ["worker"]:
    app.worker_main(["worker", "--concurrency=2", "--loglevel=WARNING", "--without-gossip", "--without-mingle"])
elif __name__ == "__main__":
    main()
