#!/usr/bin/env python3
"""A client of Bellwether on kazoo: submits commands, waits for them, cancels them.

It speaks the protocol of docs/protocol.md and nothing else. As a library:

    with Bellwether("127.0.0.1:2181") as bellwether:
        task = bellwether.submit(["make", "test"], retries=2)
        result = bellwether.wait(task)
        print(result["outcome"], result.get("exit"))
"""

import argparse
import base64
import contextlib
import getpass
import json
import os
import socket
import sys
import threading
import time
import uuid

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionLoss, NoAuthError, NodeExistsError, NoNodeError, OperationTimeoutError, RolledBackError,
    RuntimeInconsistency, SessionExpiredError,
)

# An operation that ended so may have been applied, or not.
UNKNOWN = (ConnectionLoss, OperationTimeoutError, SessionExpiredError)
# In a transaction that was refused, these stand for the operations beside the one that was at fault.
BYSTANDERS = (RolledBackError, RuntimeInconsistency)
ME = f"{getpass.getuser()}@{socket.gethostname()}"
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
EXIT_CODES = {"succeeded": 0, "timed-out": 124, "rejected": 125, "cancelled": 126, "dead": 126}


class NotSubmitted(Exception):
    """ZooKeeper refused the submission; nothing of it was applied."""


class NoSuchTask(Exception):
    """The task is nowhere: never submitted, or its result was removed."""


def base32(number, digits):
    return "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(digits)))


def new_name():
    """`task-`, nine digits of milliseconds, seven of chance: sorts by age."""
    return f"task-{base32(time.time_ns() // 1_000_000, 9)}{base32(uuid.uuid4().int, 7)}"


class Bellwether:
    def __init__(self, connect, timeout=10.0, **options):
        # In a secured cluster: auth_data=[("digest", "client:…")], and default_acl as the row /tasks/* of its table has it.
        self.zk = KazooClient(hosts=connect, timeout=timeout, **options)
        self.zk.start(timeout=30)
        self.guards = uuid.uuid4().hex
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.zk.stop()
        self.zk.close()

    def submit(self, command=None, **envelope):
        """Submits a list (a program and its arguments) or a text (a shell line); returns the task's name.

        Exactly once, whatever becomes of connections and sessions: the guard lets one copy commit. For a handler: `kind=…, input=…`.
        """
        task = new_name()
        what = {"shell": command} if isinstance(command, str) else {"argv": list(command)} if command else {}
        payload = {"bellwether": 1, **what, "submitter": ME, **envelope}
        parent = "/bellwether/held" if payload.get("delay_ms") else "/tasks"
        self.count += 1
        guard, certain = f"/bellwether/submitted/{self.guards}-{self.count}", True
        while True:
            transaction = self.zk.transaction()
            transaction.create(guard)
            transaction.create(f"{parent}/{task}", json.dumps(payload).encode())
            try:
                answers = transaction.commit()
            except UNKNOWN:
                certain = False
                time.sleep(0.2)
                continue
            error = next((a for a in answers if isinstance(a, Exception) and not isinstance(a, BYSTANDERS)), None)
            if error is None or answers.index(error) == 0 and isinstance(error, NodeExistsError):
                break
            raise NotSubmitted(f"{type(error).__name__} at {[guard, parent][answers.index(error)]}")
        if certain:
            # No copy is on its way any more, so nothing needs the guard.
            self.zk.delete_async(guard)
        return task

    @contextlib.contextmanager
    def waiting(self, *tasks):
        """Says that somebody waits, so that what ends meanwhile, and what is named, is not removed before it was seen."""
        self.count += 1
        node = f"/bellwether/waiters/{self.zk.client_id[0] & (1 << 64) - 1:016x}-{self.count}"
        with contextlib.suppress(NoAuthError, NodeExistsError):
            self.zk.create(node, json.dumps({"bellwether": 1, "by": ME, "tasks": tasks}).encode(), ephemeral=True, makepath=True)
        try:
            yield
        finally:
            self.zk.delete_async(node)

    def wait(self, task, timeout=None):
        """Waits until the task has ended; returns its result as a dictionary."""
        with self.waiting(task):
            return self.seen(task, timeout, threading.Event())

    def seen(self, task, timeout, found):
        @self.zk.DataWatch(f"/status/{task}")
        def _(data, _stat):
            if data is not None:
                found.set()
            return not found.is_set()

        if not found.is_set() and self.nowhere(task) and self.nowhere(task):
            raise NoSuchTask(task)
        if not found.wait(timeout):
            raise TimeoutError(f"{task} has not ended")
        return self.result(task)

    def result(self, task):
        """How a task ended. A plain task's status is a word or three; its details lie beside it."""
        try:
            status = self.zk.get(f"/status/{task}")[0]
        except NoNodeError:
            raise NoSuchTask(task) from None
        if not status.startswith(b"{"):
            try:
                status = self.zk.get(f"/bellwether/results/{task}")[0]
            except NoNodeError:
                words = status.decode(errors="replace")
                return {"task": task, "outcome": "succeeded" if words == "done" else "failed", "reason": words}
        return json.loads(status)

    def cancel(self, task, reason=""):
        """Marks a task; the master ends it and removes the mark."""
        try:
            self.zk.create(f"/bellwether/cancel/{task}", json.dumps({"bellwether": 1, "by": ME, "reason": reason}).encode())
        except NodeExistsError:
            pass

    def nowhere(self, task):
        """Whether a task is neither waiting, nor assigned, nor ended, after everything that was written until now."""
        self.zk.sync("/")
        places = [f"/status/{task}", f"/tasks/{task}", f"/bellwether/held/{task}", f"/bellwether/arrays/{task}/todo"]
        places += [f"/assign/{worker}/{task}" for worker in self.zk.get_children("/assign")]
        return not any(self.zk.exists(place) for place in places)


def output(result, stream):
    """The end of what the task has written, as bytes."""
    said = result.get(stream) or {"tail": "", "encoding": "utf-8"}
    return base64.b64decode(said["tail"]) if said["encoding"] == "base64" else said["tail"].encode()


def exit_code(result):
    """The task's own code, 128+N for a signal, or the code that stands for its outcome."""
    if result["outcome"] == "failed":
        return 128 + result["signal"] if result.get("signal") else result.get("exit", 125)
    return EXIT_CODES.get(result["outcome"], 125)


def main():
    parser = argparse.ArgumentParser(description="Run commands on a Bellwether cluster")
    parser.add_argument("-z", "--zookeeper", default=os.environ.get("BELLWETHER_ZOOKEEPER", "127.0.0.1:2181"))
    parser.add_argument("action", choices=["run", "submit", "wait", "cancel"])
    parser.add_argument("what", nargs=argparse.REMAINDER, help="a command, or the id of a task")
    arguments = parser.parse_args()
    what = arguments.what[1:] if arguments.what[:1] == ["--"] else arguments.what
    if not what:
        parser.error("say which command, or which task")
    with Bellwether(arguments.zookeeper) as bellwether:
        if arguments.action == "cancel":
            return bellwether.cancel(what[0])
        task = what[0] if arguments.action == "wait" else bellwether.submit(what)
        if arguments.action == "submit":
            return print(task)
        try:
            result = bellwether.wait(task)
        except NoSuchTask:
            print(f"there is no task {task}", file=sys.stderr)
            return 125
        sys.stdout.buffer.write(output(result, "stdout"))
        sys.stderr.buffer.write(output(result, "stderr"))
        return exit_code(result)


if __name__ == "__main__":
    sys.exit(main())
