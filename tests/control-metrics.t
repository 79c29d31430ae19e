#!/usr/bin/env python3
"""/metrics and /status: the text format, read by a strict parser; counters that agree with what was
asked, and that outlive workers and resnet-control; what the public listener does not show."""

import json
import os
import re
import signal
import time

import draw
import tap
from service import Service, children, until
from supervisor import Supervisor, receive, send, wait_for

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\})')
VALUE = re.compile(r"[0-9]+(\.[0-9]+)?$")
TYPES = {"counter", "gauge", "histogram"}


def parse(text):
    """{(name, ((label, value), ...)): number}, {family: type}; anything odd is an error."""
    samples, types, helps = {}, {}, []
    family = None
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helps.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            if family in types or helps[-1:] != [family] or kind not in TYPES:
                raise ValueError(line)
            types[family] = kind
        else:
            name, labels, value = parse_sample(line)
            base = re.sub("_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
            if base != family or (name, labels) in samples:
                raise ValueError(line)
            samples[name, labels] = value
    if len(helps) != len(types):
        raise ValueError("a HELP without TYPE, or twice")
    return samples, types


def parse_sample(line):
    name = NAME.match(line)[0]
    at, labels = len(name), []
    if line[at] == "{":
        at += 1
        while True:
            label = LABEL.match(line, at)
            if not label:
                raise ValueError(line)
            labels.append((label[1], re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), label[2])))
            at = label.end()
            if label[3] == "}":
                break
    if line[at] != " " or not VALUE.match(line[at + 1 :]):
        raise ValueError(line)
    return name, tuple(labels), float(line[at + 1 :])


class Metrics:
    def __init__(self, text):
        self.samples, self.types = parse(text)

    def get(self, name, **labels):
        return self.samples[name, tuple(labels.items())]

    def all(self, name):
        """{value of the first label: number}"""
        return {labels[0][1]: v for (n, labels), v in self.samples.items() if n == name}


def scrape(s):
    status, headers, body = s.get("/metrics", RESNET_LISTENER="internal")
    if (status, headers["content-type"]) != (200, "text/plain; version=0.0.4; charset=utf-8"):
        raise ValueError(f"{status} {headers}")
    return Metrics(body.decode())


def check_histogram(metrics, stage, count):
    name = "resnet_request_duration_seconds"
    buckets = [(labels[1][1], value) for (n, labels), value in metrics.samples.items()
               if n == name + "_bucket" and labels[0] == ("stage", stage)]  # fmt: skip
    bounds = [float(le) for le, _ in buckets]
    values = [value for _, value in buckets]
    tap.ok(bounds == sorted(bounds) and buckets[-1][0] == "+Inf", f"{stage}: bounds grow to +Inf")
    tap.ok(values == sorted(values), f"{stage}: buckets are cumulative", values)
    found = (values[-1], metrics.get(name + "_count", stage=stage))
    tap.equal(found, (count, count), f"{stage}: +Inf and _count are all answers")
    return metrics.get(name + "_sum", stage=stage)


def tell(s):
    """Answers what was sent to /until/told."""
    with open(os.path.join(s.directory, "told"), "wb"):
        pass


def the_public_sees_none():
    with Supervisor() as s:
        s.until()
        for listener in ({}, {"RESNET_LISTENER": "public"}, {"RESNET_LISTENER": "internal2"}):
            status, headers, body = s.get("/metrics", **listener)
            tap.equal((status, json.loads(body)["code"]), (404, "not_found"), f"{listener}: 404")
            tap.equal(headers["content-type"], "application/json", "in JSON")
            tap.equal(s.get("/metrics", "POST", **listener)[0], 404, "POST: 404, too")
        inside = s.get("/metrics", "POST", RESNET_LISTENER="internal")
        tap.equal((inside[0], inside[1]["allow"]), (405, "GET, HEAD"), "internal: POST is 405")
        head = s.get("/metrics", "HEAD", RESNET_LISTENER="internal")
        tap.equal((head[0], head[2]), (200, b""), "internal: HEAD")


def what_is_there():
    with Supervisor(workers=2) as s:
        s.until()
        metrics = scrape(s)
        known = {
            "resnet_requests_total": "counter", "resnet_attempts_total": "counter",
            "resnet_request_duration_seconds": "histogram", "resnet_queue_depth": "gauge",
            "resnet_queue_age_seconds": "gauge", "resnet_workers": "gauge",
            "resnet_worker_exits_total": "counter", "resnet_shed_total": "counter",
            "resnet_watchdog_verdicts_total": "counter", "resnet_cancelled_total": "counter",
            "resnet_model_bytes": "gauge", "resnet_cpu_throttled_seconds_total": "counter",
            "resnet_build_info": "gauge", "process_cpu_seconds_total": "counter",
            "process_resident_memory_bytes": "gauge", "process_start_time_seconds": "gauge",
            "process_open_fds": "gauge", "process_max_fds": "gauge",
        }  # fmt: skip
        missing = {k for k, kind in known.items() if metrics.types.get(k) != kind}
        tap.equal(missing, set(), "every metric, of its type")
        start = metrics.get("process_start_time_seconds")
        tap.ok(abs(start - time.time()) < 60, "resnet-control's own start", start)
        pid = children(s.process.pid, "resnet-control")[0]
        fds = len(os.listdir(f"/proc/{pid}/fd"))
        found = scrape(s).get("process_open_fds")  # the scrape's own connection is one of them
        tap.ok(abs(found - fds) <= 1, "its descriptors", (found, fds))
        tap.equal(metrics.all("resnet_workers")["idle"], 2, "two idle workers")
        held = [send(s.path("work.sock"), {"DOCUMENT_URI": "/until/told"}) for _ in range(5)]
        wait_for(lambda: scrape(s).get("resnet_queue_depth") == 3, "three in the queue")
        # who has taken a request from the queue is busy a little later
        wait_for(lambda: scrape(s).all("resnet_workers")["busy"] == 2, "two busy ones")
        metrics = scrape(s)
        tap.equal(metrics.all("resnet_workers")["busy"], 2, "two busy ones")
        tap.ok(metrics.get("resnet_queue_age_seconds") > 0, "the queue grows older")
        tell(s)
        for connection in held:
            receive(connection)
        wait_for(lambda: scrape(s).get("resnet_queue_age_seconds") == 0, "an empty queue, of no age")


def counters_outlive_control():
    with Supervisor() as s:
        s.until()
        for _ in range(3):
            s.get("/predict", "POST", "shed.sock")
        before = scrape(s)
        pid = children(s.process.pid, "resnet-control")[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: children(s.process.pid, "resnet-control") not in ([], [pid]), "another")
        s.get("/predict", "POST", "shed.sock")
        after = scrape(s)
        tap.equal(before.all("resnet_shed_total")["overloaded"], 3, "three were shed")
        tap.equal(after.all("resnet_shed_total"), {"overloaded": 4, "draining": 0, "starting": 0},
                  "after resnet-control was killed: four")  # fmt: skip
        tap.equal(after.all("resnet_requests_total")["503"], 4, "and as many 503s")
        tap.equal(s.status()["shed"]["overloaded"], 4, "/status says the same")
        starts = [m.get("process_start_time_seconds") for m in (before, after)]
        tap.ok(starts[0] < starts[1], "by another process", starts)


def codes_by_state():
    with Supervisor(workers=1, mode="hang") as s:
        wait_for(s.try_status, "resnet-control")
        status, headers, body = s.get("/predict", "POST", "shed.sock")
        tap.equal((status, json.loads(body)["code"]), (503, "starting"), "before the first worker")
        tap.ok(1 <= int(headers["retry-after"]) <= 60, "Retry-After", headers)
        tap.equal(scrape(s).all("resnet_workers")["starting"], 1, "one that starts")
        s.mode("ok")
        os.kill(s.pids()[0], signal.SIGKILL)  # the next one becomes ready
        s.until()
        busy = [send(s.path("work.sock"), {"DOCUMENT_URI": "/until/told"}) for _ in range(2)]
        wait_for(lambda: scrape(s).get("resnet_queue_depth") == 1, "one served, one waiting")
        s.signal(signal.SIGTERM)
        wait_for(lambda: (now := s.try_status()) and now["state"] == "draining", "the drain")
        status, headers, body = s.get("/predict", "POST", "shed.sock")
        tap.equal((status, json.loads(body)["code"]), (503, "draining"), "in the drain")
        tap.ok(1 <= int(headers["retry-after"]) <= 60, "Retry-After", headers)
        tap.equal(scrape(s).all("resnet_shed_total"), {"overloaded": 0, "draining": 1, "starting": 1},
                  "each counted for its reason")  # fmt: skip
        tell(s)
        tap.equal({receive(c)[0] for c in busy}, {200}, "what was accepted is answered")


def through_nginx():
    with Service(workers=2) as service:
        picture = draw.jpeg(seed=1)
        good = [service.post(picture).status for _ in range(6)]
        bad = [service.post(b"no picture").status for _ in range(2)]
        tap.equal((good, bad), ([200] * 6, [415] * 2), "eight answers")
        tap.equal(service.get("/metrics").status, 404, "the public port: 404")
        answer = service.get("/metrics", port=service.inside)
        tap.equal(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8",
                  "the second: text")  # fmt: skip
        metrics = Metrics(answer.body.decode())
        codes = {k: v for k, v in metrics.all("resnet_requests_total").items() if v}
        tap.equal(codes, {"200": 6, "415": 2}, "counted by code")
        tap.equal(metrics.get("resnet_attempts_total"), 8, "as many attempts")
        total = check_histogram(metrics, "total", 8)
        infer = check_histogram(metrics, "infer", 6)
        tap.ok(0 < infer < total, "sums of seconds", (infer, total))
        mapped = metrics.get("resnet_model_bytes", kind="mapped")
        size = os.path.getsize(service.model)
        tap.ok(0 < mapped <= size, "what is mapped of the model file", (mapped, size))
        build = dict(next(labels for name, labels in metrics.samples if name == "resnet_build_info"))
        tap.equal(list(build), ["version", "isa", "engine", "precision", "model", "openblas_core"],
                  "build_info")  # fmt: skip
        tap.ok(all(build.values()), "with something in each", build)
        status = service.status()
        tap.ok(0 < status["service_ms"], "a smoothed service time", status["service_ms"])
        worker = service.workers()[0]
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in service.workers() and len(service.workers()) == 2, 60, "another")
        again = Metrics(service.get("/metrics", port=service.inside).body.decode())
        found = {k: v for k, v in again.all("resnet_requests_total").items() if v}
        tap.equal(found, codes, "totals outlive a worker")
        tap.equal(again.all("resnet_worker_exits_total")["killed"], 1, "whose end is counted")
        public = service.get("/status").json()
        tap.equal(sorted(public), ["generation", "int8_ranges", "model_sha256", "precision", "precisions",
                                   "queue", "requests", "service_ms", "workers"],
                  "public /status")  # fmt: skip
        tap.equal(sorted(public["workers"]), ["busy", "draining", "ready", "starting", "wanted"],
                  "has counts only")  # fmt: skip


tap.run(
    the_public_sees_none,
    what_is_there,
    counters_outlive_control,
    codes_by_state,
    through_nginx,
)
