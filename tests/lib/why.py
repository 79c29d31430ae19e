"""why.py: what `resnet-ctl why` tells, with everything masked that is another one in each run."""

import os
import re
import subprocess
import zlib
import time

import draw
import service
import tap

FIXTURES = os.path.join(service.TOP, "tests", "fixtures", "why")


def tell(request_id, *logs, environment=None, stdin=None):
    """The finished process."""
    command = [service.program("resnet-ctl"), "why", request_id, *(["--from", *logs] if logs else [])]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60,
                          check=False, input=stdin,
                          env=service.clean_environment(**(environment or {})))  # fmt: skip


def mask(text, without=(), layers=False):
    """without: lines with one of these are left out, as they come only on a machine that is busy.
    layers: stage and layer are other ones in each run."""
    without = (*without, "(service) all its workers became ready")  # it may be the first request's time
    lines = [line for line in text.splitlines() if not any(word in line for word in without)]
    text = "\n".join(lines) + "\n"
    for pattern, name in (
        (r"worker \d+\.\d+", "worker S.G"),  # a replacement has its predecessor's
        (r"\d{4}-\d\d-\d\d UTC", "DATE"),
        (r"\b[0-9a-f]{32}\b", "NGINX-ID"),
        (r"\d\d:\d\d:\d\d\.\d{3} +[+-]\d+ ms", "TIME"),
        (r", most of it [a-z ]+ \([\d.]+ m?s\)", ""),
        (r"\d+(\.\d+)? m?s\b", "SPAN"),
        (r"pid \d+", "pid N"),
        (r"\d+ bytes", "N bytes"),
        (r"\d+ of them in", "N of them in"),
    ):
        text = re.sub(pattern, name, text)
    if layers:
        text = re.sub(r" in (infer, [\w.]+|infer|read|decode|resize|write)\b", " in STAGE, LAYER", text)
    # who is stopped may be found so twice
    return re.sub(r"((?:.*watchdog: starved.*\n)(?:.*watchdog: it makes.*\n))\1+", r"\1", text)


def golden(name, done, without=(), layers=False):
    """Compares what was told with tests/fixtures/why/NAME.txt; WHY_WRITE=1 writes that anew."""
    path = os.path.join(FIXTURES, name + ".txt")
    found = mask(done.stdout, without, layers)
    if os.environ.get("WHY_WRITE"):
        os.makedirs(FIXTURES, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(found)
    with open(path, encoding="utf-8") as file:
        expected = file.read()
    tap.ok(done.returncode == 0 and found == expected, f"why: {name}",
           f"exit code {done.returncode}, {done.stderr}\n--- expected\n{expected}--- found\n{found}"
           f"--- unmasked\n{done.stdout}")  # fmt: skip


# ---- of a running service ----------------------------------------------------------------------

LOG_S = 60  # for the lines that are still on their way through the supervisor's pipe


def once_written(name, telling, without=(), layers=False):
    """The story, once the logs have all of it; or, after LOG_S, whatever they have."""
    path = os.path.join(FIXTURES, name + ".txt")
    with open(path, "a+", encoding="utf-8") as file:  # may be new: WHY_WRITE
        file.seek(0)
        expected = file.read()
    end = time.monotonic() + LOG_S
    while mask((done := telling()).stdout, without, layers) != expected and time.monotonic() < end:
        time.sleep(0.05)
    return done


# A machine with much else to do starves workers now and then, which is then told.
BUSY = ("watchdog: starved", "watchdog: it makes", "watchdog: slow")


def picture(request_id):
    """One of its own: a body on which workers ended in two requests would be quarantined."""
    return draw.jpeg(seed=1000 + zlib.crc32(request_id.encode()))


def post(running, request_id, body=None, **headers):
    return running.post(body or picture(request_id), {"X-Request-ID": request_id, **headers})


def logs_of(running, request_id):
    """The two logs, once nginx has written its line."""
    service.until(lambda: any(x["request_id"] == request_id for x in running.access()), 60, "nginx's line")
    return running.log, running.access_log


def told(running, name, workers=None, without=BUSY, layers=False):
    """The story of the request why-NAME is the golden one. workers: so many have to be idle first,
    so that what ended has been seen."""
    if workers:
        running.until_idle(workers)
    request_id = f"why-{name}"
    logs = logs_of(running, request_id)
    golden(name, once_written(name, lambda: tell(request_id, *logs), without, layers), without, layers)


def holds(running, request_id, layer=""):
    """The worker that has the request, once it is in the network; or in that layer of it, where the
    fault is that holds it."""

    def mine():
        mine = [w for w in running.busy() if w["request_id"] == request_id]
        return [w for w in mine if (w["layer_name"] or "").startswith(layer) and w["layer"]]

    worker = service.until(mine, 60, f"a worker with {request_id}")[0]
    faults = lambda: [x for x in running.logged("fault") if x["request_id"] == request_id]  # noqa: E731
    if layer:
        service.until(faults, 60, "the fault's line")
    return worker
