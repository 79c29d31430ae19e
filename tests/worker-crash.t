#!/usr/bin/env python3
"""A worker that crashes, or is aborted because it is stuck, says what it was on, and opens nothing
for that; harm comes only to programs that were built for it."""
# timeout: 180

import glob
import os
import re
import shutil
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

PHOTO = draw.jpeg()


def no_trace_in_normal_programs():
    found = {}
    for path in glob.glob(os.path.join(service.BUILD, "bin", "*")):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = b"RESNET_FAULT" in file.read()
    tap.ok(found and not any(found.values()), "no normal program knows RESNET_FAULT", found)
    with open(os.path.join(service.BUILD, "faults", "bin", "resnet-fcgi"), "rb") as file:
        tap.ok(b"RESNET_FAULT" in file.read(), "that of make faults does")
    with Worker(RESNET_FAULT="segv@load") as worker:
        tap.equal(worker.predict(PHOTO).status, 200, "a normal worker: no harm")


def failed_starts():
    cases = [
        ("fail@selftest", 78, "self-test"),
        ("fail@load", 75, "no memory"),
        ("loop@load:x", 78, "expected"),
        ("explode@load", 78, "expected"),
        ("sleep@conv1", 78, "expected"),
        ("segv=1@conv1", 78, "expected"),
        ("segv", 78, "expected"),
    ]
    for fault, code, part in cases:
        worker = Worker(faults=fault)
        worker.start()
        tap.equal(worker.process.wait(60), code, f"{fault}: exit {code}")
        text = "".join(worker.lines())
        tap.ok("event=start_failed" in text and part in text, f"... {part}", text)
        shutil.rmtree(worker.directory)


def memory_fails():
    with Worker(faults="fail@decode:1") as worker:
        answer = worker.predict(PHOTO)
        tap.equal((answer.status, answer.code), (413, "image_too_large"), "no memory to decode: 413")
        tap.equal(worker.predict(PHOTO).status, 200, "and the next one is answered")
        tap.equal(worker.times_done(), 1, "once, as was asked")


def without_an_answer(worker, **params):
    """Sends a request that will not be answered; returns the connection."""
    peer = worker.connect()
    peer.sendall(fcgi.request(PHOTO, **params))
    return peer


def crash(fault, expected, pattern, number=None):
    """number: the signal that the worker is sent once it has begun to do itself harm."""
    worker = Worker(faults=fault)
    worker.start()
    try:
        name = "crash-" + fault.split("@")[0]
        with without_an_answer(worker, HTTP_X_REQUEST_ID=name, REQUEST_ID="f" * 32) as peer:
            if number:
                service.until(lambda: worker.events("fault"), 60, "the fault")
                worker.process.send_signal(number)
            tap.equal(worker.process.wait(60), -expected, f"{fault}: dies of {expected.name}")
            try:
                tap.equal(fcgi.read_to_end(peer), b"", "without a byte of an answer")
            except fcgi.Broken as error:
                tap.equal(error.got, b"", "without a byte of an answer")
        said = worker.events("crashed")
        tap.equal(len(said), 1, "one line about it")
        tap.ok(re.search(pattern, said[0]) and f"request_id={name} nginx_id={'f' * 32}" in said[0],
               "naming signal, request, stage and layer", said[0])  # fmt: skip
        frames = re.findall(r"[\w.-]+\+0x[0-9a-f]+\b", "".join(worker.events("backtrace")))
        tap.ok(len(frames) >= 5, "and a backtrace", "\n".join(worker.lines()[-20:]))
    finally:
        worker.stop(signal.SIGKILL)
        shutil.rmtree(worker.directory)


def crashes():
    crash("segv@layer2.0", signal.SIGSEGV, r"signal=SEGV from=0 .*stage=infer layer=layer2\.0\.conv1")
    crash("abrt@decode", signal.SIGABRT, r"signal=ABRT .*stage=decode ticks=")
    crash("loop@layer3.1", signal.SIGABRT, rf"signal=ABRT from={os.getpid()} .*layer=layer3\.1\.conv1",
          signal.SIGABRT)  # fmt: skip


def counted_for_all():
    """Of two workers one dies; the request that is sent again to the other one succeeds."""
    faults = Worker().directory
    state = os.path.join(faults, "state")
    for expected in (-signal.SIGSEGV, 0):
        worker = Worker(faults="segv@conv1~poison:1", RESNET_FAULT_STATE=state)
        worker.start()
        tap.equal(worker.predict(PHOTO).status, 200, "another request: no harm")
        with without_an_answer(worker, HTTP_X_REQUEST_ID="some-poison") as peer:
            if expected:
                tap.equal(worker.process.wait(60), expected, "the first worker dies of it")
            else:
                answer = fcgi.Answer(fcgi.read_to_end(peer))
                tap.equal(answer.status, 200, "the second one answers it")
        worker.stop()
        shutil.rmtree(worker.directory)
    shutil.rmtree(faults)


def last_words_open_nothing():
    strace = shutil.which("strace")
    if not strace:
        return tap.skip("last words open nothing", "strace is not installed")
    trace = os.path.join(service.BUILD, f"worker-crash.{os.getpid()}.trace")
    if subprocess.run([strace, "-qq", "-o", trace, "true"], capture_output=True).returncode:
        return tap.skip("last words open nothing", "tracing is not allowed here")
    calls = "trace=open,openat,openat2,creat,socket,memfd_create,execve,clone,clone3,write"
    worker = Worker(wrapper=[strace, "-f", "-qq", "-s", "400", "-o", trace, "-e", calls])
    worker.start()
    worker.wait_ready()
    boundary = {"CONTENT_TYPE": "multipart/form-data; boundary=B"}
    form = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + PHOTO + b"\r\n--B--\r\n"
    for i in range(20):
        worker.predict(PHOTO)
        worker.predict(draw.jpeg(640, 480, seed=i, progressive=True))
        worker.predict(form, **boundary)
        worker.predict(PHOTO[:-200])
        worker.predict(b"no picture", QUERY_STRING="top_k=many")
        worker.predict(PHOTO, HTTP_X_REQUEST_TIMEOUT_MS="0")
        without_an_answer(worker).close()
    os.kill(worker.pid(), signal.SIGABRT)
    worker.process.wait(60)
    tap.equal(len(worker.events("crashed")), 1, "under strace: last words")
    with open(trace, encoding="utf-8", errors="replace") as file:
        after = file.read().split("event=ready", 1)[1].splitlines()[1:]
    os.unlink(trace)
    shutil.rmtree(worker.directory)
    opened = [line for line in after if re.search(r"\b(open\w*|creat|socket|memfd|exec|clone)", line)
              and "event=" not in line]  # fmt: skip
    tap.ok(any("event=request" in line for line in after), "requests were traced")
    tap.equal(opened, [], "140 requests of every kind, and a crash, open nothing")
    return None


def says_that_it_is_busy():
    """An eventfd gets one for each request; nothing blocks when nobody reads it."""
    busy = os.eventfd(0, os.EFD_NONBLOCK)
    with Worker(["--busy-fd", str(busy)], inherits=[busy]) as worker:
        worker.predict(PHOTO)
        worker.predict(b"no picture")
        tap.equal(os.eventfd_read(busy), 2, "two requests: the eventfd has 2")
        os.eventfd_write(busy, 2**64 - 2)
        tap.equal(worker.predict(PHOTO).status, 200, "a full one holds up nothing")
        tap.equal(worker.events("unwatched"), [], "and is nothing to complain of")
    os.close(busy)


def deaths_page(nginx_id, count):
    """What spawn/deaths.c keeps, with one entry; laid out as fcgi/deaths.h says."""
    with open(os.path.join(service.TOP, "fcgi", "deaths.h"), encoding="utf-8") as file:
        header = file.read()
    size = int(re.search(r"FCGI_DEATHS_BYTES = (\d+)", header)[1])
    version = int(re.search(r"FCGI_DEATHS_VERSION = (\d+)", header)[1])
    magic = int(re.search(r"FCGI_DEATHS_MAGIC\s+(0x[0-9a-f]+)u", header)[1], 16)
    page = os.memfd_create("deaths")
    os.ftruncate(page, size)
    os.pwrite(page, struct.pack("=IIQ", magic, version, 1), 0)
    os.pwrite(page, struct.pack("=33s3xI", nginx_id.encode(), count), 16)
    return page


def it_has_killed_enough():
    for count, status in ((1, 200), (2, 500)):
        page = deaths_page("d" * 32, count)
        with Worker(["--deaths-fd", str(page)], inherits=[page]) as worker:
            answer = worker.predict(PHOTO, REQUEST_ID="d" * 32, HTTP_X_REQUEST_ID="its-own-name")
            tap.equal(answer.status, status, f"a request that {count} workers died of: {status}")
            if status == 500:
                tap.equal(answer.code, "worker_failed", "worker_failed")
                tap.ok("Retry-After" not in answer.headers, "no Retry-After", answer.headers)
                line = worker.request_line("its-own-name")
                tap.ok("decode_ms=0.000" in line, "nothing was computed", line)
            tap.equal(worker.predict(PHOTO, REQUEST_ID="e" * 32).status, 200, "another one: 200")
            forged = worker.predict(PHOTO, REQUEST_ID="e" * 32, HTTP_X_REQUEST_ID="d" * 32)
            tap.equal(forged.status, 200, "the client's header does not count")
        os.close(page)


tap.run(
    no_trace_in_normal_programs,
    failed_starts,
    memory_fails,
    crashes,
    counted_for_all,
    last_words_open_nothing,
    says_that_it_is_busy,
    it_has_killed_enough,
)
