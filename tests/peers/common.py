"""What the peers written in Python share."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time


def missing(programs=(), modules=()):
    """Says what is not here, and ends."""
    absent = [name for name in programs if shutil.which(name) is None]
    absent += [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        print("not here: " + ", ".join(absent))
    sys.exit(1 if absent else 0)


def say(value, unit, what):
    print(f"{value:.3f} {unit} {what}", flush=True)


def rate(count, begun, when):
    say(count / (time.perf_counter() - begun), "/s", f"tasks until the last result, {when}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def with_redis():
    """A server of our own, which writes an append-only file and syncs it every second; its address."""
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", os.environ.get("DIR", "."),
         "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=30)
