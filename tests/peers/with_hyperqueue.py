"""HyperQueue by its Python API: server and one worker with two cores in a private directory, no journal.

with_hyperqueue.py COUNT
"""

import os
import sys
import time

from common import missing, rate

# The library itself writes a table to the standard output, which is read as figures: that goes to the standard error.
sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

if os.environ.get("CHECK"):
    missing(modules=["hyperqueue"])

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def main():
    count = int(sys.argv[1])
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        for when in ("cold", "warm"):
            begun = time.perf_counter()
            job = Job()
            for _ in range(count):
                job.program(["/bin/true"])
            client.wait_for_jobs([client.submit(job)])
            rate(count, begun, when)


if __name__ == "__main__":
    main()
