#!/usr/bin/env python3
"""Millions of requests leave nothing behind: every body is the one that picture gets, every log has
one line a request, all counters agree, and memory, descriptors and threads of every process stay as
they are. T=60: 2,000,000 requests with an eighth of the channels (200,000 where CI is set) and 20,000
(2,000) with a whole ResNet-50."""

# alone
# timeout: 9000

import collections
import ctypes
import json
import os
import random
import re
import socket
import struct
import subprocess
import tempfile
import threading
import time

import draw
import flat
import png
import service
import tap
import web
from flat import Sample, Watch
from service import Service, until
from tellers import NGINX_ID, SPAWN_ID, Teller

LONG = tap.T >= 60
CI = os.environ.get("CI", "") not in ("", "0", "false")
WORKERS = max(2, min(4, len(os.sched_getaffinity(0))))
SAMPLES = 20
# How clients send: each of these is a resnet-load of its own.
WAYS = (["--keep-alive"], [], ["--keep-alive", "--send", "json"], ["--send", "form"])
CLIENTS = 2  # of each way
LOAD = service.program("resnet-load")
PR_SET_THP_DISABLE = 41


# ---- pictures and their answers --------------------------------------------------------------------


def pictures():
    """{name: bytes}"""
    rgb, gray_alpha = png.drawing(96, 72, 8, png.RGB), png.drawing(40, 90, 8, png.GRAY_ALPHA)
    return {
        "small.jpg": draw.jpeg(64, 64, seed=1),
        "usual.jpg": draw.jpeg(320, 240, seed=2),
        "upright.jpg": draw.jpeg(90, 160, seed=3),
        "gray.jpg": draw.jpeg(200, 100, seed=4, components=1),
        "progressive.jpg": draw.jpeg(160, 120, seed=5, progressive=True),
        "rgb.png": png.image(rgb, 8, png.RGB),
        "interlaced.png": png.image(gray_alpha, 8, png.GRAY_ALPHA, interlaced=True),
    }


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def know(running, directory):
    """Pictures and the answers that each gets when it is alone, in files. Returns how many."""
    bodies = {}
    for name, data in pictures().items():
        answer = running.post(data)
        if answer.status != 200:
            raise AssertionError(f"{name} alone: {answer}")
        bodies[name] = answer.body.replace(answer.header("x-request-id").encode(), b"")
        write(os.path.join(directory, name), data)
        write(os.path.join(directory, name + ".json"), bodies[name])
    if len(set(bodies.values())) != len(bodies):
        raise AssertionError(f"two pictures have one answer: {bodies}")
    return len(bodies)


# ---- clients ---------------------------------------------------------------------------------------


class Loads:
    """One resnet-load for each way, all at once; each body compared with the known one."""

    def __init__(self, running, directory, each, ways=WAYS):
        self.processes, self.out = [], []
        for way in ways:
            self.out.append(tempfile.TemporaryFile())
            command = [LOAD, "--json", "-q", "-w", "1", "-n", str(each), "-c", str(CLIENTS), *way,
                       "--expect", directory, f"http://127.0.0.1:{running.port}", directory]  # fmt: skip
            self.processes.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self.out[-1], env=service.clean_environment()
            ))  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, out in zip(self.processes, self.out):
            if process.poll() is None:
                process.kill()
            process.wait()
            out.close()

    def running(self):
        return any(process.poll() is None for process in self.processes)

    def reports(self):
        found = []
        for out in self.out:
            out.seek(0)
            found.append(json.loads(out.read()))
        return found


class Leavers:
    """Clients that close early, one after the other: half of a body sent, all of it, or the first
    byte of the answer read, by turns. ended: how many of each."""

    KINDS = ("half", "whole", "first")

    def __init__(self, running, pause_s):
        self.running, self.pause_s = running, pause_s
        self.ended, self.stop = dict.fromkeys(self.KINDS, 0), threading.Event()
        self.broken = []
        self.picture = pictures()["usual.jpg"]
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def _run(self):
        serial = 0
        while not self.stop.wait(self.pause_s):
            kind = self.KINDS[serial % len(self.KINDS)]
            try:
                self._leave(kind, f"gone-{kind}-{id(self)}-{serial}")
            except OSError as error:
                self.broken.append(repr(error))
            self.ended[kind] += 1
            serial += 1

    def _leave(self, kind, request_id):
        data = web.compose("POST", "/predict", self.picture, {"X-Request-ID": request_id})
        with socket.create_connection(("127.0.0.1", self.running.port), web.TIMEOUT_S) as connection:
            connection.sendall(data[: len(data) - len(self.picture) // 2] if kind == "half" else data)
            if kind == "whole":
                time.sleep(random.uniform(0, 0.004))
            if kind == "first":
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# ---- the service and what it says ------------------------------------------------------------------


def total(metrics, name):
    return sum(int(v) for k, v in metrics.items() if k.split("{")[0] == name)


def answered(metrics):
    return int(metrics.get('resnet_requests_total{code="200"}', 0))


class March:
    """Requests in a service: a tenth to warm up, then the rest with samples along the way."""

    def __init__(self, running, directory, requests):
        self.running, self.directory, self.requests = running, directory, requests
        self.alone = know(running, directory)
        self.watch = Watch(running)
        pids = list(self.watch.pids.values())
        nginx = running.nginx.process.pid
        self.spawn_log = Teller(running.log, running.spawn.pid, pids, SPAWN_ID, b" event=request ")
        self.nginx_log = Teller(running.access_log, nginx, pids, NGINX_ID, b'"request":"POST ')
        self.reports, self.leavers, self.lengths, self.broken = [], [], [], []
        self.metrics, self.status, self.seconds, self.more = {}, [], 0, {}
        self.rotate()
        self.spawn_log.other.clear()  # what was said at the start

    def rotate(self):
        self.spawn_log.rotate()
        self.nginx_log.rotate()

    def part(self, requests, samples):
        each = requests // len(WAYS)
        self.lengths.append(each)
        start = total(self.running.metrics(), "resnet_attempts_total")
        marks = [start + (i + 1) * requests / (samples + 1) for i in range(samples)]
        begun = time.monotonic()
        with Loads(self.running, self.directory, each) as loads:
            with Leavers(self.running, 0.1) as leavers:
                while loads.running():
                    if marks and total(self.running.metrics(), "resnet_attempts_total") >= marks[0]:
                        marks.pop(0)
                        self.watch.sample()
                        self.rotate()
                    time.sleep(0.02 if requests < 10000 else 0.2)
            self.seconds += time.monotonic() - begun
            self.reports.append(loads.reports())
        self.leavers.append(leavers.ended)
        self.broken += leavers.broken

    def run(self):
        self.part(self.requests // 10, 0)
        self.settle(self.is_over, "every line and every count of the first tenth")
        self.before = self.watch.now()
        self.part(self.requests - self.requests // 10, SAMPLES)
        self.settle(self.is_over, "every line and every count")
        self.settle(self.is_as_before, "as little open as before")

    @staticmethod
    def settle(condition, what):
        try:
            until(condition, 120, what)
        except TimeoutError as error:
            tap.note(error)  # the points say what is missing, or too much

    @property
    def gone(self):
        return sum(sum(ended.values()) for ended in self.leavers)

    def is_over(self):
        """Whether nginx has done with every request, and counters and logs agree about them: somebody
        who left early may still be in the queue, or in the pipe of the log, while workers are idle."""
        self.rotate()
        if self.nginx_log.requests < sum(self.lengths) * len(WAYS) + self.gone + self.alone:
            return False
        self.status, self.metrics = self.running.status()["workers"], self.running.metrics()
        attempts = total(self.metrics, "resnet_attempts_total")
        ended = answered(self.metrics) + total(self.metrics, "resnet_cancelled_total")
        served = sum(worker["requests"] for worker in self.status)
        return (attempts == ended == self.spawn_log.requests and served == answered(self.metrics)
                and not total(self.metrics, "resnet_queue_depth"))  # fmt: skip

    def is_as_before(self):
        """Whether no process has more descriptors or threads than after a tenth: self.more has those
        that do, {process: (then, now)}. Who has just been asked may still hold that connection."""
        now = self.watch.now()
        self.more = {name: (was, now[name]) for name, was in self.before.items()
                     if now[name].fds > was.fds or now[name].threads > was.threads}  # fmt: skip
        return not self.more


def judge_answers(march, name):
    reports = [report for part in march.reports for report in part]
    ok, failed = sum(r["ok"] for r in reports), sum(r["failed"] for r in reports)
    tap.ok((ok, failed) == (march.requests, 0), f"{name}: {march.requests} answers, each whole and right",
           [r["breakdown"] for r in reports])  # fmt: skip
    tap.equal(march.broken, [], f"{name}: those that left early could send")
    rate = march.requests / march.seconds
    slowest = max(r["max_ms"] for r in reports)
    p99 = max(r["p99_ms"] for r in reports)
    tap.note(f"{name}: {rate:.0f} answers a second, p99 {p99:.1f} ms, slowest {slowest:.0f} ms; "
             f"{march.gone} left early; logs {march.spawn_log.bytes >> 20} and "
             f"{march.nginx_log.bytes >> 20} MiB")  # fmt: skip


def judge_counts(march, name):
    metrics, spawn_log, nginx_log = march.metrics, march.spawn_log, march.nginx_log
    attempts, cancelled = (total(metrics, f"resnet_{x}_total") for x in ("attempts", "cancelled"))
    left = attempts - march.requests - march.alone
    half = sum(ended["half"] for ended in march.leavers)
    tap.ok(0 <= left <= march.gone - half, f"{name}: attempts are these, and some of those that left",
           (attempts, march.leavers))  # fmt: skip
    tap.equal(answered(metrics) + cancelled, attempts, f"{name}: each attempt was answered or cancelled")
    tap.equal(total(metrics, "resnet_requests_total"), answered(metrics), f"{name}: 200 and nothing else")
    tap.equal(total(metrics, "resnet_images_total"), answered(metrics), f"{name}: a picture an answer")
    served = sum(worker["requests"] for worker in march.status)
    tap.equal(served, answered(metrics), f"{name}: the workers' own counts")
    tap.equal(total(metrics, "resnet_shed_total"), 0, f"{name}: none was shed")
    lengths = march.lengths * len(WAYS)
    for log, who in ((spawn_log, "the service's log"), (nginx_log, "nginx's log")):
        tap.equal((log.loads, log.wrong(lengths)), (march.requests, {}),
                  f"{name}: {who} has exactly one line a request")  # fmt: skip
        tap.equal(log.torn, 0, f"{name}: no line of {who} is torn by rotating")
    tap.equal(spawn_log.requests, attempts, f"{name}: and as many lines as attempts")
    tap.equal(nginx_log.requests, march.requests + march.gone + march.alone, f"{name}: nginx's, requests")
    others = b"\n".join(nginx_log.other)
    gone = collections.Counter(re.findall(rb'"request_id":"(gone-\w+-\d+-\d+)"', others))
    tap.equal((len(gone), set(gone.values())), (march.gone, {1}), f"{name}: one line each who left early")


def judge_processes(march, name):
    status = march.status
    exits = total(march.metrics, "resnet_worker_exits_total")
    same = {w["pid"] for w in status} == set(march.watch.slots.values())
    same = same and not any(worker["restarts"] for worker in status)
    tap.ok(same and exits == 0, f"{name}: no process was started again", (status, exits))
    others = [x.decode() for x in march.spawn_log.other if re.search(rb" level=(warn|error) ", x)]
    # Who leaves in the moment in which nginx passes the request on is a peer without one.
    refused = [x for x in others if " event=peer_refused " in x]
    tap.ok(others == refused and len(refused) <= march.gone, f"{name}: no warning, no error in the log",
           others[:5])  # fmt: skip
    tap.equal(march.more, {}, f"{name}: no more descriptors and threads at the end than after a tenth")
    for line in march.watch.table():
        tap.note(f"{name}: {line}")
    if service.SANITIZED:
        tap.skip(f"{name}: memory is flat", "a sanitizer's allocator keeps what is freed")
    else:
        tap.equal(march.watch.growing(), {}, f"{name}: memory is flat")


def endure(name, requests, model, **environment):
    running = Service(workers=WORKERS, model=model, cold=True, RESNET_MAX_REQUESTS=0, RESNET_MAX_RSS=0,
                      **environment)  # fmt: skip
    running.environment["RESNET_LOG"] = os.path.join(running.directory, "service.log")
    pictures_in = os.path.join(running.directory, "pictures")
    os.mkdir(pictures_in)
    with running:
        running.start_spawn()
        running.log = running.environment["RESNET_LOG"]
        running.wait_ready()
        running.until_idle(WORKERS)
        march = March(running, pictures_in, requests)
        march.run()
        judge_answers(march, name)
        judge_counts(march, name)
        judge_processes(march, name)


# ---- points ----------------------------------------------------------------------------------------


def an_eighth():
    requests = (200000 if CI else 2000000) if LONG else 3000
    endure("1/8", requests // (3 if service.SANITIZED else 1), service.model("1/8", side_px=64))


def a_whole_one():
    if not LONG:
        return tap.skip("a whole ResNet-50: 20,000 requests", "it takes a minute or two: T=60")
    model = service.real_model() or service.model("1", "int8")
    return endure("whole", 2000 if CI else 20000, model, RESNET_PRECISION="int8")


def series(requests, bytes_of):
    """Samples of a worker that has so many requests between two of them."""
    return [Sample(i * requests, bytes_of(i * requests), 12, 4) for i in range(SAMPLES)]


def what_grows():
    """The judge, with numbers made for it."""
    noise = random.Random(1)
    cases = {
        "nothing": (25000, lambda n: 2 << 20, False),
        "noise": (25000, lambda n: (2 << 20) + noise.randrange(200 << 10), False),
        "a step": (25000, lambda n: (2 << 20) + (n > 120000) * (1 << 20), False),
        "noise in few requests": (30, lambda n: (2 << 20) + noise.randrange(50 << 10), False),
        "16 bytes a request": (25000, lambda n: (2 << 20) + 16 * n, True),
        "16 bytes a request in noise": (25000, lambda n: 16 * n + noise.randrange(200 << 10), True),
        "16 bytes a request, a tenth of them": (2500, lambda n: 16 * n, True),
        "1 KiB a request, few of them": (30, lambda n: n << 10, True),
    }
    for name, (requests, bytes_of, grows) in cases.items():
        one = series(requests, bytes_of)
        found, allowed = flat.slope(one), flat.allowed(one)
        tap.ok((found > allowed) == grows, f"{name}: {'grows' if grows else 'is flat'}", (found, allowed))


def what_is_told():
    """A line too many, one too few, one of nobody's."""
    line = "x event=request request_id=load-0123abcd-%d status=200\n"
    cases = {"each once": (2, 1, 3), "one twice": (1, 2, 3, 2), "one missing": (1, 3), "no last": (1, 2)}
    for name, numbers in cases.items():
        log = Teller("", 0, [], SPAWN_ID, b" event=request ")
        log.count("".join(line % n for n in numbers).encode())
        tap.equal(log.wrong([3]) == {}, name == "each once", f"a log's lines: {name}")


def a_leak_is_seen():
    """Workers that lose a little with each request."""
    if service.SANITIZED:
        return tap.skip("a leak is seen", "a sanitizer's allocator keeps what is freed")
    lost, requests = (16, 60000) if LONG else (512, 2000)
    faults, model = f"leak={lost}@read", service.model("1/8", side_px=64)
    with Service(workers=1, model=model, faults=faults) as running:
        know(running, running.directory)
        watch = Watch(running)
        for _ in range(10):
            with Loads(running, running.directory, requests // 10, WAYS[:1]) as loads:
                until(lambda: not loads.running(), 600, "requests")
            watch.sample()
    growing = watch.growing()
    tap.equal(list(growing), ["resnet-fcgi 0"], f"{lost} bytes a request are seen, and where")
    tap.note(growing)
    return None


# Huge pages would come 2 MiB at a time, where the kernel gives them unasked; children inherit this.
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
tap.run(what_grows, what_is_told, a_leak_is_seen, an_eighth, a_whole_one)
