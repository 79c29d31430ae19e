#!/usr/bin/env python3
"""A worker is ready a fraction of a second after exec, self-test included, and four of them share
one copy of the weights. Times are printed; only what does not depend on the machine is asserted."""

# alone
# timeout: 400 (ref takes seconds for a picture)

import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time

import draw
import service
import tap

STARTS = 7
# Four workers of the full network.
PSS_LIMIT_BYTES = {"fp32": 260 << 20, "int8": 100 << 20}


def start_once(directory, model, precision):
    """Seconds from exec to readiness of one worker on a socket of its own."""
    path = os.path.join(directory, "work.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    read_fd, write_fd = os.pipe()
    start = time.monotonic()
    worker = subprocess.Popen(
        [service.program("resnet-fcgi"), "--model", model, "--precision", precision,
         "--ready-fd", str(write_fd)],
        stdin=listener, stderr=subprocess.PIPE, pass_fds=[write_fd],
        env=service.clean_environment(),
    )  # fmt: skip
    os.close(write_fd)
    ready = os.read(read_fd, 1)
    seconds = time.monotonic() - start
    os.close(read_fd)
    worker.send_signal(signal.SIGTERM)
    text = worker.communicate(timeout=service.STOP_S)[1].decode()
    listener.close()
    os.unlink(path)
    if not ready or worker.returncode != 0:
        raise RuntimeError(f"exit {worker.returncode}: {text}")
    return seconds


def measure(model, name, precision="fp32"):
    with tempfile.TemporaryDirectory() as directory:
        times = sorted(start_once(directory, model, precision) for _ in range(STARTS))
    median = statistics.median(times)
    tap.note(f"{name}: exec to ready, {STARTS} starts: median {median:.3f} s, {times[0]:.3f} to {times[-1]:.3f}")
    tap.ok(True, f"{name}: ready {STARTS} times, TERM ends it with 0")


def small():
    measure(service.small_model(), "1/8 width")


def real():
    model = service.real_model()
    if not model:
        return tap.skip("the real model", "no real weights: RESNET_SHARED is not there")
    if service.SANITIZED:
        return tap.skip("the real model", "a sanitizer's memory is its own")
    for precision, limit in PSS_LIMIT_BYTES.items():
        measure(model, f"ResNet-50 in {precision}", precision)
        with service.Service(workers=4, model=model, RESNET_PRECISION=precision) as running:
            for _ in range(8):
                running.post(draw.jpeg())
            running.until_idle(4)
            pss = [pss_bytes(pid) for pid in running.workers()]
        tap.note(f"four workers' PSS: {[round(n / 2**20, 1) for n in pss]}, {sum(pss) / 2**20:.0f} MiB")
        tap.ok(len(pss) == 4 and sum(pss) <= limit, f"{precision}: PSS of {limit >> 20} MiB at most", pss)
    return None


def pss_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no Pss")


tap.run(small, real)
