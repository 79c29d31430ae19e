#!/usr/bin/env python3
"""A worker killed at each of its writes in turn: the client has a whole answer, or not one byte.

Half an answer would be worse than none: nginx sends a request whose worker died to another, but
only as long as nothing of an answer has come.
"""
# timeout: 240

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

WRITES = "write,writev,pwrite64,send,sendto,sendmsg,sendmmsg"
MOST_WRITES = 20


def tracing():
    """strace's command line, or None with a reason."""
    strace = shutil.which("strace")
    if not strace:
        return None, "strace is not installed"
    probe = subprocess.run([strace, "-qq", "-e", "trace=none", "true"], capture_output=True)
    if probe.returncode != 0:
        return None, "tracing is not allowed here"
    return strace, ""


def killed_at(strace, number, body, params):
    """(bytes that the client got, whether the worker was killed)"""
    inject = ["-e", f"trace={WRITES}", "-e", f"inject={WRITES}:signal=KILL:when={number}"]
    # -f, since the network's threads might write; -D would make strace the child
    worker = Worker(wrapper=[strace, "-f", "-qq", "-o", "/dev/null", *inject])
    worker.start()
    got = b""
    try:
        with worker.connect() as peer:
            peer.sendall(fcgi.request(body, **params))
            got = fcgi.read_to_end(peer)
    except (fcgi.Broken, ConnectionError, BrokenPipeError) as error:
        got = getattr(error, "got", b"")
    # its line comes after the answer; who does not live to write it was killed
    service.until(lambda: worker.process.poll() is not None or worker.events("request"),
                  60, "the worker's line, or its end")  # fmt: skip
    survived = worker.process.poll() is None
    if survived:
        os.kill(worker.pid(), 15)
    worker.process.wait(60)
    shutil.rmtree(worker.directory, ignore_errors=True)
    return got, not survived


def every_write(name, body, least, **params):
    strace, reason = tracing()
    if not strace:
        return tap.skip(f"{name}: killed at each write", reason)
    whole = none = 0
    for number in range(1, MOST_WRITES):
        got, killed = killed_at(strace, number, body, params)
        if got:
            fcgi.Answer(got)  # raises unless it is whole
            whole += 1
        else:
            none += 1
        if not killed:
            break
    tap.ok(none > 0 and whole > 0, f"{name}: {none} times nothing, {whole} times a whole answer")
    tap.ok(none + whole >= least, f"{name}: {none + whole} writes tried")
    return None


def a_small_answer():
    every_write("a small answer", draw.jpeg(), 3)


def an_error():
    every_write("an error", b"no picture", 3)


def a_large_answer():
    """Past 64 KiB libfcgi would have flushed eight times; this is one write all the same."""
    every_write("a large answer", draw.jpeg(), 3, QUERY_STRING="top_k=1000")


def one_write_an_answer():
    """Counted: the answer is one call, whatever its size."""
    strace, reason = tracing()
    if not strace:
        return tap.skip("one write an answer", reason)
    trace = os.path.join(service.BUILD, f"worker-whole.{os.getpid()}.trace")
    wrapper = [strace, "-f", "-qq", "-o", trace, "-e", "trace=sendto,sendmsg,writev,shutdown"]
    sizes = []
    with Worker(wrapper=wrapper) as worker:
        for top_k in (1, 5, 1000):
            answer = worker.predict(draw.jpeg(), QUERY_STRING=f"top_k={top_k}")
            sizes.append(len(answer.wire))
    with open(trace, encoding="utf-8", errors="replace") as file:
        sent = [int(n) for n in re.findall(r"(?:sendto|sendmsg)\(.*= (\d+)$", file.read(), re.M)]
    os.unlink(trace)
    tap.equal(sent, sizes, "one call each, of the answer's size")
    return None


tap.run(a_small_answer, an_error, a_large_answer, one_write_an_answer)
