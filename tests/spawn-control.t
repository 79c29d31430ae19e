#!/usr/bin/env python3
"""resnet-control: paths and methods, paced shedding, and peers that behave badly."""

import json
import os
import signal
import socket
import time

import tap
from supervisor import Supervisor, receive, request, send, wait_for


def paths_and_methods():
    with Supervisor() as s:
        s.until()
        for path in ("/health", "/health/live", "/health/ready", "/health/startup", "/status"):
            status, headers, body = s.get(path)
            tap.equal((status, headers["content-type"]), (200, "application/json"), f"GET {path}")
            tap.ok(isinstance(json.loads(body), dict), "JSON")
            tap.equal(int(headers["content-length"]), len(body), "Content-Length")
        head = s.get("/health", "HEAD")
        tap.equal((head[0], head[2]), (200, b""), "HEAD: no body")
        tap.ok(int(head[1]["content-length"]) > 0, "but its length")
        for method, path, status, allow in (
            ("GET", "/nothing", 404, None),
            ("POST", "/nothing", 404, None),
            ("POST", "/health", 405, "GET, HEAD"),
            ("DELETE", "/status", 405, "GET, HEAD"),
            ("GET", "/predict", 405, "POST"),
        ):
            answer = s.get(path, method, REQUEST_ID="0123456789abcdef")
            tap.equal((answer[0], answer[1].get("allow")), (status, allow), f"{method} {path}")
            error = json.loads(answer[2])
            tap.equal((error["success"], error["request_id"]), (False, "0123456789abcdef"),
                      "with the common error body")  # fmt: skip
        long = s.get("/" + "x" * 5000)
        tap.equal(long[0], 404, "a path longer than its place")
        quoted = json.loads(s.get('/a"b\\c\x01')[2])
        tap.ok('/a"b\\c\x01' in quoted["error"], "a path with quotes is escaped", quoted)


def request_ids():
    with Supervisor() as s:
        s.until()
        both = {"HTTP_X_REQUEST_ID": "client-id.1_2", "REQUEST_ID": "0" * 32}
        tap.equal(s.get("/health", **both)[1]["x-request-id"], "client-id.1_2", "the client's")
        for bad in ("short", "x" * 129, "bad id !", 'quo"te--'):
            both["HTTP_X_REQUEST_ID"] = bad
            tap.equal(s.get("/health", **both)[1]["x-request-id"], "0" * 32, f"not {bad[:9]!r}")


def status_shapes():
    with Supervisor(workers=2) as s:
        s.until()
        public = json.loads(s.get("/status", RESNET_LISTENER="public")[2])
        tap.equal(public["workers"]["ready"], 2, "public: counts")
        tap.ok("pid" not in public, "and no more")
        full = s.status()
        known = {"pid", "state", "request_id", "stage", "layer", "ms", "requests", "restarts",
                 "rss_bytes", "pss_bytes"}  # fmt: skip
        tap.ok(known <= set(full["workers"][0]), "internal: what each worker does", full)
        known = {"generation", "model_sha256", "workers", "queue", "reload", "reason", "ends",
                 "verdicts", "shed", "cpu_throttled_ms", "service_ms", "uptime_ms"}  # fmt: skip
        tap.ok(known <= set(full), "and the service as a whole", full)
        tap.equal(list(full["verdicts"]), ["running", "slow", "starved", "stuck"], "verdicts")
        tap.equal(full["queue"], {"depth": 0, "age_ms": 0}, "an empty queue has no age")
        paths = ["/sleep/600"] * 2 + ["/"] * 3
        held = [send(s.path("work.sock"), {"DOCUMENT_URI": path}) for path in paths]
        wait_for(lambda: s.status()["queue"]["depth"] == 3, "a queue of three")
        tap.ok(True, "two are served, three wait")
        wait_for(lambda: s.status()["queue"]["age_ms"] > 0, "their age")
        told = s.run("resnet-ctl", "status", "--json")
        tap.equal((told.returncode, list(json.loads(told.stdout))), (0, list(full)),
                  "resnet-ctl status --json")  # fmt: skip
        told = s.run("resnet-ctl", "status")
        tap.ok(told.returncode == 0 and "3 waiting" in told.stdout and
               all(str(w["pid"]) in told.stdout for w in full["workers"]),
               "resnet-ctl status: for people", told)  # fmt: skip
        told = s.run("resnet-ctl", "top")
        rows = [line.split() for line in told.stdout.splitlines()]
        shares = [row[row.index("s" if "s" in row else "ms") + 1] for row in rows if "busy" in row]
        tap.ok(told.returncode == 0 and len(shares) == 2 and all("%" in x for x in shares)
               and "\033" not in told.stdout, "resnet-ctl top, not on a terminal", told)  # fmt: skip
        for pid in s.pids().values():
            os.kill(pid, signal.SIGKILL)
        tap.equal([receive(c)[0] for c in held[2:]], [200] * 3, "the three are answered by their successors")
        for connection in held[:2]:
            connection.close()


def sheds_at_a_pace():
    with Supervisor() as s:
        s.until()
        body = os.urandom(300000)
        start = time.monotonic()
        held = [send(s.path("shed.sock"), {"REQUEST_METHOD": "POST", "DOCUMENT_URI": "/predict"},
                     body) for _ in range(100)]  # fmt: skip
        sent = time.monotonic()
        answers = [receive(c) for c in held]
        end = time.monotonic()
        tap.equal({a[0] for a in answers}, {503}, "a hundred requests with bodies: 503")
        tap.equal({json.loads(a[2])["code"] for a in answers}, {"overloaded"}, "overloaded")
        tap.ok(all(int(a[1]["retry-after"]) >= 1 for a in answers), "with Retry-After")
        tap.ok(end - start >= 0.2 and end - sent < 10, "each held 200 ms, all at once",
               f"{sent - start:.2f} s to send, then {end - sent:.2f} s")  # fmt: skip
        start = time.monotonic()
        s.get("/predict", "POST", "shed.sock")
        one = time.monotonic() - start
        tap.ok(one >= 0.2, "one alone is held, too", f"{one:.3f} s")


def more_than_can_be_held():
    with Supervisor() as s:
        s.until()
        params = {"REQUEST_METHOD": "POST", "DOCUMENT_URI": "/predict"}
        held = [send(s.path("shed.sock"), params) for _ in range(900)]
        tap.equal(s.get("/health/live")[0], 200, "health is answered meanwhile")
        tap.equal({receive(c)[0] for c in held}, {503}, "nine hundred at once: all are answered")


def silent_peers():
    with Supervisor() as s:
        s.until()
        whole = request({"REQUEST_METHOD": "GET", "DOCUMENT_URI": "/health"})
        silent = []
        for i in range(1500):  # more than there are places
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(30)
            connection.connect(s.path(("ctl.sock", "shed.sock")[i % 2]))
            connection.sendall(whole[: i % len(whole)])
            silent.append(connection)
        start = time.monotonic()
        tap.equal(s.get("/health/live")[0], 200, "1500 silent connections do not matter")
        tap.equal(s.get("/predict", "POST", "shed.sock")[0], 503, "to shedding neither")
        tap.note(f"answered after {time.monotonic() - start:.3f} s")
        for connection in silent:
            connection.close()
        tap.equal(s.get("/health/live")[0], 200, "and nothing is left of them")


def garbage():
    with Supervisor() as s:
        s.until()
        whole = request({"REQUEST_METHOD": "GET", "DOCUMENT_URI": "/health"})
        for name, data in (
            ("HTTP", b"GET / HTTP/1.0\r\n\r\n"),
            ("another version", b"\2" + whole[1:]),
            ("another role", whole[:9] + b"\2" + whole[10:]),
            ("STDIN first", whole[:16] + whole[-8:]),
            ("two BEGINs", whole[:16] + whole),
            ("a pair cut by the end", whole[:16] + b"\1\4\0\1\0\1\0\0\5" + b"\1\4\0\1\0\0\0\0"),
        ):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(30)
            connection.connect(s.path("ctl.sock"))
            try:
                connection.sendall(data)
                got = connection.recv(100)
            except OSError:
                got = b""
            connection.close()
            tap.equal(got, b"", f"{name}: closed without a word")
        tap.equal(s.get("/health")[0], 200, "and the next one is answered")


def clients_that_leave():
    with Supervisor() as s:
        s.until()
        for _ in range(1200):
            send(s.path("shed.sock"), {"REQUEST_METHOD": "POST", "DOCUMENT_URI": "/predict"}).close()
        tap.equal(s.get("/predict", "POST", "shed.sock")[0], 503, "clients that leave make room")


def live_asks_the_loop():
    with Supervisor() as s:
        s.until()
        s.signal(signal.SIGSTOP)
        live, ready = s.get("/health/live"), s.get("/health/ready")
        s.signal(signal.SIGCONT)
        tap.equal(live[0], 503, "a supervisor that does not answer is not alive")
        tap.ok(b"unhealthy" in live[2], "unhealthy", live)
        tap.equal(ready[0], 200, "its workers still serve")
        wait_for(lambda: s.get("/health/live")[0] == 200, "life")
        tap.equal(s.run("resnet-ctl", "health", "live").returncode, 0, "resnet-ctl health live: 0")


tap.run(
    paths_and_methods,
    request_ids,
    status_shapes,
    sheds_at_a_pace,
    more_than_can_be_held,
    silent_peers,
    garbage,
    clients_that_leave,
    live_asks_the_loop,
)
