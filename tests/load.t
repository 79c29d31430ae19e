#!/usr/bin/env python3
# timeout: 300
"""resnet-load counts what there is to count: as nginx's log does, as fast as wrk does, each failure
in its row, and it never hangs."""

import base64
import collections
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

import draw
import measure
import service
import standin
import tap
from front import Front

LOAD = service.program("resnet-load")
PATIENCE_S = 100


class Logging(Front):
    """nginx in front of a port; .log in the end: ids and statuses."""

    def __init__(self, behind):
        super().__init__(lambda port: f"""
            log_format ids '$http_x_request_id $status';
            upstream behind {{ server 127.0.0.1:{behind}; keepalive 32; }}
            server {{
                listen 127.0.0.1:{port}; access_log access.log ids;
                keepalive_requests 1000000; client_body_buffer_size 1m;
                location / {{
                    proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_next_upstream off;
                }}
            }}""")

    def stop(self):
        code = super().stop()  # it waits for requests, and writes its log
        with open(os.path.join(self.directory, "access.log"), encoding="ascii") as file:
            self.log = [line.split() for line in file]
        return code

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


def picture():
    if not os.path.exists(PICTURE):
        with open(PICTURE, "wb") as file:
            file.write(draw.jpeg())
    return PICTURE


def run(*options, path=None):
    return subprocess.run([LOAD, *options, path or picture()], capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False, env=service.clean_environment())  # fmt: skip


def load(*options, path=None):
    """The report. Its sums have to agree."""
    done = run("--json", "-q", *options, path=path)
    if done.returncode not in (0, 1):
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    assert done.returncode == (found["failed"] > 0 or found["interrupted"]), done
    assert sum(row["count"] for row in found["breakdown"]) == found["failed"] == len(found["failures"])
    return found


def rows(found):
    return {(row["row"], row["detail"]): row["count"] for row in found["breakdown"]}


# ---- one way of failing after the other ------------------------------------------------------------


def refused():
    with socket.socket() as bound:  # nobody else can listen there, and we do not
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = run(url)
        found = load("--no-probe", "-n", "5", url)
    tap.equal(done.returncode, 75, "nobody listens: exit code 75")
    tap.ok(re.fullmatch(r"resnet-load: nothing listens at \S+ \(.*refused.*\)\n", done.stderr),
           "and one sentence", done.stderr)  # fmt: skip
    tap.equal(rows(found), {("HTTP N/A", "refused"): 10}, "without the probe each one is refused")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


async def unfinished(_, writer):
    writer.write(HEAD + b'Content-Length: 100\r\n\r\n{"a":')
    await standin.silent(_, writer)


WAYS = {
    "an answer in chunks": (standin.raw(CHUNKED + b"3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n"), None),
    "an answer up to the connection's end": (standin.raw(HEAD + b'\r\n{"a":1}'), None),
    "chunks without the last": (standin.raw(CHUNKED + b"2\r\n{}\r\n"), ("HTTP N/A", "cut short")),
    "a body shorter than its length": (standin.raw(HEAD + b"Content-Length: 9\r\n\r\n{}"),
                                       ("HTTP N/A", "cut short")),  # fmt: skip
    "no answer at all": (standin.raw(b""), ("HTTP N/A", "closed without an answer")),
    "another protocol": (standin.raw(b"SSH-2.0-x\r\n"), ("HTTP N/A", "no HTTP")),
    "HTML with 200": (standin.answer(b"<html></html>", kind="text/html"), ("HTTP 200", "HTML")),
    "HTML with 502": (standin.answer(b" <p>", "502 Bad Gateway"), ("HTTP 502", "HTML")),
    "words": (standin.answer(b"ok"), ("HTTP 200", "no JSON")),
    "nothing": (standin.answer(b""), ("HTTP 200", "empty")),
    "success false": (standin.answer({"success": False}), ("HTTP 200", "success is false")),
    "our 503": (standin.answer({"success": False, "code": "overloaded"}, "503 Busy"),
                ("HTTP 503", "overloaded")),  # fmt: skip
    "a code that is none": (standin.answer({"code": "\x1b[2J"}, "500 No"), ("HTTP 500", "")),
    "a redirect": (standin.answer({}, "302 Found", more="Location: /x\r\n"), ("HTTP 302", "")),
    "silence": (standin.silent, ("timeout", "no answer")),
    "half an answer, then silence": (unfinished, ("timeout", "answer unfinished")),
}


TIMEOUTS = {"silence": ["--timeout", "3s"],
            "half an answer, then silence": ["--timeout", "20s"]}  # the half has come by then


def each_in_its_row():
    for name, (way, row) in WAYS.items():
        with standin.StandIn(way) as server:
            timeout = TIMEOUTS.get(name, [])
            found = load("-w", "1", "-n", "4", "-c", "4", *timeout, server.url)
            expected = {row: 4} if row else {}
            tap.equal((found["ok"], rows(found)), (0 if row else 4, expected), name)


def reset_while_sending():
    async def way(_, writer):
        linger = struct.pack("ii", 1, 0)  # close() resets
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    with standin.StandIn(way) as server:
        found = load("-n", "5", server.url)
        tap.equal(rows(found), {("HTTP N/A", "reset"): 10}, "a reset connection")


# Answers forty, and has the next ones under way for ever.
MORTAL = """
import asyncio, standin, sys
async def way(request, writer):
    await (asyncio.sleep(0.01) if len(server.requests) <= 40 else holding(request, writer))
    return await standin.answer()(request, writer)
async def holding(request, writer):
    print("held", flush=True)
    await standin.silent(request, writer)
with standin.StandIn(way) as server:
    print(server.port, flush=True)
    server.thread.join()
"""


def killed():
    server = subprocess.Popen([sys.executable, "-c", MORTAL], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        command = [LOAD, "--json", "-q", "-w", "1", "-n", "400", "-c", "8", url, picture()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            tap.equal([server.stdout.readline() for _ in range(8)], ["held\n"] * 8, "eight are under way")
            server.kill()
            found = json.loads(process.communicate(timeout=PATIENCE_S)[0])
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    tap.equal(process.returncode, 1, "a server is killed: exit code 1")
    tap.equal(found["ok"] + found["failed"], 400, "each request is counted")
    refused = rows(found).get(("HTTP N/A", "refused"), 0)
    tap.ok(found["ok"] == 40 and refused >= 300, "forty successes before, then refused", rows(found))
    tap.equal({row for row, _ in rows(found)}, {"HTTP N/A"}, "and those under way are no answers too")


def interrupted():
    with standin.StandIn(standin.silent) as server:
        command = [LOAD, "-w", "1", "-c", "3", server.url, picture()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            service.until(lambda: len(server.requests) == 3, PATIENCE_S, "three requests")
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=PATIENCE_S)[0]
        tap.equal(process.returncode, 1, "interrupted while nothing answers: exit code 1")
        tap.ok("0 of 1 waves" in out and "interrupted" in out, "and a report of what was", out)


# ---- what is sent ------------------------------------------------------------------------------------


def sent_once():
    """The second request on a kept connection is read, and the connection closed without an answer."""
    seen = collections.Counter()

    async def way(_, writer):
        seen[writer] += 1
        if seen[writer] == 2:
            return False
        return await standin.answer()(_, writer)

    with standin.StandIn(way) as server:
        found = load("--keep-alive", "-w", "1", "-n", "20", "-c", "1", server.url)
        ids = [request.headers["x-request-id"] for request in server.requests]
        tap.equal((len(ids), len(set(ids))), (20, 20), "kept connections break: nothing is sent twice")
        tap.equal((found["ok"], found["failed"]), (10, 10), "each one counts as it was")
        tap.equal({row for row, _ in rows(found)}, {"HTTP N/A"}, "as HTTP N/A")


def bodies():
    body = draw.jpeg()
    with standin.StandIn(standin.answer()) as server:
        for send in ("raw", "form", "json"):
            load("-w", "1", "-n", "1", "--send", send, "-H", "X-Key: secret", server.url)
        raw, form, text = server.requests
        tap.equal((raw.path, raw.body == body, raw.headers["content-type"]),
                  ("/predict", True, "image/jpeg"), "the picture itself, to /predict")  # fmt: skip
        tap.ok(b'name="file"; filename="picture.jpg"' in form.body and body in form.body, "a form")
        image = json.loads(text.body)["image"]
        tap.ok(base64.b64decode(image, validate=True) == body, "base64 in JSON")
        tap.equal(raw.headers["x-key"], "secret", "a header of one's own")
        load("-w", "1", "-n", "1", server.url + "/other?x=1")
        tap.equal(server.requests[-1].path, "/other?x=1", "another path is kept")


def many_pictures():
    with tempfile.TemporaryDirectory() as directory, standin.StandIn(standin.answer()) as server:
        for seed in range(3):
            with open(os.path.join(directory, f"{seed}.jpg"), "wb") as file:
                file.write(draw.jpeg(seed=seed + 1))
        with open(os.path.join(directory, "notes.txt"), "w", encoding="ascii") as file:
            file.write("no picture")
        found = load("-w", "1", "-n", "9", "--warm-up", "3", server.url, path=directory)
        counts = collections.Counter(request.body for request in server.requests)
        tap.equal(sorted(counts.values()), [4, 4, 4], "each picture of a directory in turn")
        tap.equal((found["ok"], found["warm_up"]), (9, 3), "what warms up is not counted")


def ids_of_failures():
    more = "X-Request-ID: theirs-0123456789\r\n"
    with standin.StandIn(standin.answer({}, "500 No", more=more)) as server:
        found = load("-w", "1", "-n", "2", server.url)
        tap.equal({f["request_id"] for f in found["failures"]}, {"theirs-0123456789"}, "the answer's id")
    with standin.StandIn(standin.raw(b"")) as server:
        found = load("-w", "1", "-n", "2", server.url)
        sent = {request.headers["x-request-id"] for request in server.requests}
        tap.equal({f["request_id"] for f in found["failures"]}, sent, "without an answer, ours")


def what_is_expected():
    """Only the answer that is known, with the id that was sent in body and header, is a success."""
    known = '{"id":"%s","class_id":13}'
    cases = {
        "the answer": (known, "{id}", "{id}", 0),
        "a digit more": (known.replace("13", "133"), "{id}", "{id}", 4),
        "a digit less": (known.replace("13", "1"), "{id}", "{id}", 4),
        "another digit": (known.replace("13", "14"), "{id}", "{id}", 4),
        "without an id": (known, "", "{id}", 4),
        "another's id": (known, "load-0000", "{id}", 4),
        "another's id in the header": (known, "{id}", "load-0000", 4),
    }
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "picture.jpg.json"), "w", encoding="ascii") as file:
            file.write(known % "")
        for name, (body, in_body, in_header, failed) in cases.items():

            async def way(request, writer, body=body, in_body=in_body, in_header=in_header):
                sent = request.headers["x-request-id"]
                more = f"X-Request-ID: {in_header.format(id=sent)}\r\n"
                writer.write(standin.whole((body % in_body.format(id=sent)).encode(), more=more))

            with standin.StandIn(way) as server:
                found = load("-w", "1", "-n", "4", "--expect", directory, server.url)
                expected = {("HTTP 200", "another answer"): failed} if failed else {}
                tap.equal((found["failed"], rows(found)), (failed, expected), f"expected: {name}")
        done = run("--no-probe", "--expect", os.path.join(directory, "nowhere"), "http://127.0.0.1:1")
        tap.ok(done.returncode == 64 and "nowhere" in done.stderr, "no such answers: 64", done)


def text():
    with standin.StandIn(standin.answer({"code": "overloaded"}, "503 Busy")) as server:
        out = run("-n", "50", server.url).stdout
        tap.ok("Progress: 10/50 (20%) — 0 ok, 10 err\n" in out, "progress", out)
        tap.ok("HTTP 503: 100 — overloaded" in out, "a breakdown", out)
        box = [line for line in out.splitlines() if line[0] in "┌├└│"]
        tap.equal({len(line) for line in box}, {70}, "a box with straight sides")
        tap.ok("id load-" in out and "and 80 more" in out, "failures with their ids", out)


def open_loop():
    with standin.StandIn(standin.answer(delay_s=0.3)) as server:
        found = load("-w", "1", "-n", "30", "--rate", "100", server.url)
        tap.equal(found["ok"], 30, "so many a second, whether or not answers come")
    with standin.StandIn(standin.answer(delay_s=0.1)) as server:
        found = load("-w", "1", "-n", "20", "--rate", "100", "-c", "1", server.url)
        # The last should start after 190 ms, and nineteen of 100 ms come before it.
        tap.ok(found["max_ms"] > 1700, "latency counts from the intended start", found["max_ms"])


# ---- beside nginx's log and wrk ------------------------------------------------------------------------


def as_nginx_logs():
    count = [0]

    async def way(_, writer):
        count[0] += 1
        status = "503 Busy" if count[0] % 7 == 0 else "200 OK"
        return await standin.answer(status=status, delay_s=0.02)(_, writer)

    with standin.StandIn(way) as server:
        with Logging(server.port) as nginx:
            found = [load("-n", "100", "-c", "8", *more, nginx.url) for more in ([], ["--keep-alive"])]
        ids = [log_id for log_id, _ in nginx.log]
        statuses = collections.Counter(status for _, status in nginx.log)
        tap.equal((len(ids), len(set(ids))), (400, 400), "nginx's log has each request once")
        tap.equal(statuses["200"], sum(f["ok"] for f in found), "and as many successes")
        tap.equal(statuses["503"], sum(f["failed"] for f in found), "and as many failures")
        failed = {log_id for log_id, status in nginx.log if status != "200"}
        mine = {f["request_id"] for one in found for f in one["failures"]}
        tap.equal(mine, failed, "the same ones, by id")


SCRIPT = 'wrk.method = "POST"; wrk.body = string.rep("x", 20000)\n'
UNITS = {"us": 1e-3, "ms": 1, "s": 1e3}


def wrk_found(out):
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)\b", out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), float(p50[1]) * UNITS[p50[2]]


def close(ratios):
    """Medians are within 5 %: of three where those lie together, else of nine at least."""
    columns = [sorted(column) for column in zip(*ratios)]
    together = all(column[-1] - column[0] < 0.1 for column in columns)
    enough = len(ratios) >= (3 if together else 9)
    return enough and all(0.95 < measure.median(column) < 1.05 for column in columns)


def turn(url, script):
    """(requests/s, p50) of ours by wrk's. Both run at the same time, so that both have the same
    machine, however busy it is."""
    command = [WRK, "-t1", "-c4", "-d2", "--latency", "-s", script, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        ours = load("-w", "1", "-d", "2", "-c", "4", "--keep-alive", url)
        rate, p50_ms = wrk_found(other.communicate(timeout=PATIENCE_S)[0])
    assert ours["failed"] == 0, ours
    return ours["per_second"] / rate, ours["p50_ms"] / p50_ms


def as_wrk_measures():
    if not WRK:
        tap.skip("as many requests a second, and the same median, as wrk", "wrk is not here")
        return
    tried = []
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        with standin.StandIn(standin.answer(delay_s=0.02)) as server, Logging(server.port) as nginx:
            while not close(tried) and len(tried) < 36:
                tried.append(turn(nginx.url, script.name))
    tap.ok(close(tried), "as many requests a second, and the same median, as wrk, within 5 %", tried)
    tap.note(f"ours by wrk's, requests/s and p50: {tried}")
    tap.ok(not close([(1, 1.06), (1, 1.07), (1, 1)]), "can fail: 6 %")
    tap.ok(not close([(1, 1.02), (1, 1.2), (1, 1)]), "can fail: three that lie apart")


def usage():
    for options, word in (([], "expected"), (["--wavs", "3"], "--waves"), (["--concurrency"], "a value"),
                          (["-n", "0", "u", "p"], "--requests"), (["ftp://x/", PICTURE], "expected a URL"),
                          (["--html", "x", "u", "p"], "--compare"), (["u", "/nowhere.jpg"], "/nowhere")):  # fmt: skip
        done = subprocess.run([LOAD, "--no-probe", *options], capture_output=True, text=True, check=False)
        lines = done.stderr.splitlines()
        tap.ok(done.returncode == 64 and len(lines) == 1 and word in lines[0], f"{options}: 64", done)
    for option, word in (("--help", "usage: resnet-load"), ("--version", "libcurl/")):
        done = subprocess.run([LOAD, option], capture_output=True, text=True, check=False)
        tap.ok(done.returncode == 0 and word in done.stdout, option, done)


WRK = shutil.which("wrk")
with tempfile.TemporaryDirectory() as temporary:
    PICTURE = os.path.join(temporary, "picture.jpg")
    picture()
    tap.run(refused, each_in_its_row, reset_while_sending, killed, interrupted, sent_once, bodies,
            many_pictures, ids_of_failures, what_is_expected, text, open_loop, as_nginx_logs, as_wrk_measures,
            usage)  # fmt: skip
