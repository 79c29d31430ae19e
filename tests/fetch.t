#!/usr/bin/env python3
"""weights/fetch.sh against a server of ours: what arrives is the published file or nothing, what
broke off goes on, and each way of failing has its exit code, since `make demo` falls back to
synthetic weights for one of them only."""
# timeout: 240

import hashlib
import http.server
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading

import tap

FETCH = os.path.abspath("weights/fetch.sh")
DATA = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2

USAGE, WRONG, REFUSED, UNWRITABLE, BROKEN, UNREACHABLE = 64, 65, 69, 73, 74, 75
# A server that says nothing says it for longer than who gives it up waits; all others are patient.
GIVE_UP, PATIENCE_S, STALL_S = ["-t", "5"], 100, 120


class Handler(http.server.BaseHTTPRequestHandler):
    """/KIND/FILE: answers as KIND says, and notes each request."""

    def log_message(self, format, *arguments):
        pass

    def start(self, status, length, first=0):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(DATA) - 1}/{len(DATA)}")
        self.end_headers()

    def wanted(self):
        """The first byte that the client wants."""
        value = self.headers.get("Range", "bytes=0-")
        return int(value.removeprefix("bytes=").rstrip("-"))

    def send_from(self, first, last=len(DATA)):
        if first >= len(DATA):
            self.start(416, 0)
            return
        self.start(206 if first else 200, len(DATA) - first, first)
        self.wfile.write(DATA[first:last])

    def do_GET(self):
        kind, first = self.path.split("/")[1], self.wanted()
        self.server.seen.append((kind, first))
        if kind == "good":
            self.send_from(first)
        elif kind == "other":  # a proxy's page, say
            self.start(200, 5)
            self.wfile.write(b"hello")
        elif kind == "once":  # breaks off the first time
            self.send_from(first, len(DATA) if first else HALF)
        elif kind == "dead":  # breaks off in the same place each time
            self.send_from(first, max(first, HALF))
        elif kind == "whole":  # has never heard of ranges
            self.start(200, len(DATA))
            self.wfile.write(DATA)
        elif kind == "stalled":
            self.send_from(first, HALF)
            self.wfile.flush()
            self.server.ended.wait(STALL_S)
        elif kind == "silent":
            self.server.ended.wait(STALL_S)
        else:
            self.start(int(kind), 0)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.ended = [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.ended.set()
        self.shutdown()
        self.server_close()


class Case:
    """A server, a list and an empty cache."""

    def __enter__(self):
        self.directory, self.server = tempfile.mkdtemp(), Server()
        self.held = socket.socket()
        self.held.bind(("127.0.0.1", 0))
        self.nobody = f"http://127.0.0.1:{self.held.getsockname()[1]}"  # where nothing listens
        self.cache = os.path.join(self.directory, "cache")
        self.file = os.path.join(self.cache, "net.pth")
        self.part = self.file + ".part"
        return self

    def __exit__(self, *_):
        self.server.close()
        self.held.close()
        shutil.rmtree(self.directory)

    def path(self, kind):
        return f"{self.server.url}/{kind}/net.pth"

    def list(self, *rows):
        path = os.path.join(self.directory, "list.tsv")
        with open(path, "w") as file:
            file.write("name\turl\tsha256\ttitle\n# a comment\n\n")
            for name, url, sha256 in rows:
                file.write(f"{name}\t{url}\t{sha256}\ttitle\n")
        return path

    def fetch(self, *rows, arguments=(), environment=None):
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return subprocess.run(
            [FETCH, "-l", self.list(*rows), "-t", str(PATIENCE_S), *arguments, self.cache],
            env=clean | (environment or {}), text=True, timeout=2 * PATIENCE_S, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def leave(self, path, data):
        os.makedirs(self.cache, exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def fetched(self, result, name):
        """The path was printed, and is the only file left."""
        there = sorted(f for f in os.listdir(self.cache) if not f.startswith("."))
        data = open(self.file, "rb").read() if there == ["net.pth"] else b""
        same = data == DATA
        tap.ok(
            result.returncode == 0 and result.stdout == self.file + "\n" and same,
            name, f"{result} {there}",
        )  # fmt: skip

    def failed(self, result, code, words, name, part=None):
        """The exit code, a sentence, no file; and how long the .part is that stays."""
        length = os.path.getsize(self.part) if os.path.exists(self.part) else None
        tap.ok(
            result.returncode == code and result.stdout == "" and words in result.stderr
            and not os.path.exists(self.file) and length == part,
            name, f"{result} part: {length}",
        )  # fmt: skip


def right():
    with Case() as c:
        result = c.fetch(("net", c.path("good"), SHA256[:8]))
        c.fetched(result, "the right file, 8 digits of its hash published")
        tap.ok(SHA256 in result.stderr, "the full hash is printed", result)
        c.fetched(c.fetch(("net", c.path("good"), SHA256)), "from the cache")
        tap.equal(c.server.seen, [("good", 0)], "which takes no second request")


def wrong():
    with Case() as c:
        other = ("net", c.path("other"), SHA256[:8])
        rows = [other, ("net-mirror", c.path("good"), SHA256)]
        c.failed(c.fetch(*rows), WRONG, SHA256[:8], "a wrong hash is an error, no fall-back")
        c.leave(c.file, b"rotten")
        result = c.fetch(("net", c.path("good"), SHA256))
        tap.ok(result.returncode == WRONG and "remove it" in result.stderr, "also of a cached file")
    with Case() as c:
        result = c.fetch(("net", c.path("good"), "0" * 64))
        c.failed(result, WRONG, SHA256, "the hash that was found is said")


def resumed():
    with Case() as c:
        c.leave(c.part, DATA[:HALF])
        c.fetched(c.fetch(("net", c.path("good"), SHA256)), "goes on where an older run stopped")
        tap.equal(c.server.seen, [("good", HALF)], "with a range")
    with Case() as c:
        c.leave(c.part, DATA)
        c.fetched(c.fetch(("net", c.path("good"), SHA256)), "a complete .part")
        tap.equal(c.server.seen, [], "needs no request")
    with Case() as c:
        c.leave(c.part, DATA[:HALF])
        c.fetched(c.fetch(("net", c.path("whole"), SHA256)), "a server without ranges: from 0")
    with Case() as c:
        c.leave(c.part, DATA + b"more")
        c.fetched(c.fetch(("net", c.path("good"), SHA256)), "a .part that is too long: from 0")
    with Case() as c:
        c.leave(c.part, b"x" * HALF)
        result = c.fetch(("net", c.path("good"), SHA256))
        c.failed(result, WRONG, "removed", "the .part of another file does not survive")


def broken():
    with Case() as c:
        c.fetched(c.fetch(("net", c.path("once"), SHA256)), "a transfer that breaks off goes on")
        tap.equal(c.server.seen, [("once", 0), ("once", HALF)], "in the same run")
    with Case() as c:
        rows = [("net", c.path("dead"), SHA256), ("net-mirror", c.path("good"), SHA256)]
        result = c.fetch(*rows)
        c.failed(result, BROKEN, "broke off", "truncated for good: an error", part=HALF)


def refused():
    for status in (404, 403, 500, 503):
        with Case() as c:
            result = c.fetch(("net", c.path(status), SHA256))
            c.failed(result, REFUSED, str(status), f"{status} has its own exit code")
    with Case() as c:
        rows = [("net", c.path(404), SHA256), ("net-mirror", c.path("good"), SHA256)]
        c.failed(c.fetch(*rows), REFUSED, "404", "and is no reason to look elsewhere")


def unreachable():
    with Case() as c:
        dead = ("net", c.nobody + "/net.pth", SHA256)
        c.failed(c.fetch(dead), UNREACHABLE, "reached", "connection refused")
        result = c.fetch(dead, ("net-mirror", c.path("good"), SHA256))
        c.fetched(result, "the first source is down: the second one")
    with Case() as c:
        result = c.fetch(("net", c.path("silent"), SHA256), arguments=GIVE_UP)
        c.failed(result, UNREACHABLE, "reached", "a server that says nothing")
    with Case() as c:
        result = c.fetch(("net", c.path("stalled"), SHA256), arguments=GIVE_UP)
        c.failed(result, UNREACHABLE, "reached", "a transfer that stalls", part=HALF)
    with Case() as c:
        environment = {"http_proxy": c.nobody, "https_proxy": c.nobody}
        for scheme in ("http", "https"):
            result = c.fetch(("net", f"{scheme}://host.invalid/net.pth", SHA256),
                             environment=environment)  # fmt: skip
            c.failed(result, UNREACHABLE, "reached", f"{scheme}: the proxy is down")
        environment = {"https_proxy": c.server.url}  # answers CONNECT with 501
        result = c.fetch(("net", "https://host.invalid/net.pth", SHA256), environment=environment)
        c.failed(result, UNREACHABLE, "reached", "the proxy refuses")


def rows():
    with Case() as c:
        first, other = ("net", c.path(404), SHA256), ("net2", c.path("good"), SHA256)
        c.fetched(c.fetch(first, other, arguments=["-n", "net2"]), "-n names another row")
    with Case() as c:
        result = c.fetch(("net", c.nobody + "/x", SHA256), ("net2", c.path("good"), SHA256))
        c.failed(result, UNREACHABLE, "reached", "other weights are never taken instead")
        tap.equal(c.server.seen, [], "nor asked for")
        for row in ("abc", SHA256.upper(), "0123456z"):
            result = c.fetch(("net", c.path("good"), row))
            c.failed(result, USAGE, "hexadecimal", f"{row}: refused as a hash")
        result = c.fetch(("net", c.path("good"), SHA256), arguments=["-n", "nix"])
        c.failed(result, USAGE, "nix", "a name that is not there")
        result = c.fetch(("net", c.path("good"), SHA256), arguments=["-t", "soon"])
        c.failed(result, USAGE, "seconds", "no number of seconds")
        result = c.fetch(("net", c.path("good"), SHA256), arguments=["-z"])
        c.failed(result, USAGE, "usage", "an unknown option")


def unwritable():
    with Case() as c:
        with open(c.cache, "w"):
            pass
        result = c.fetch(("net", c.path("good"), SHA256))
        c.failed(result, UNWRITABLE, "made", "a cache that cannot be made")


def published():
    """The list that is shipped: the default rows are torchvision's V1 and its copy."""
    with open("weights/sources.tsv") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    tap.equal(rows[0][:3], ["name", "url", "sha256"], "sources.tsv: the header")
    first = rows[1][0]
    default = [row[1].split("/")[2] for row in rows[1:]
               if row[0] == first or row[0].startswith(first + "-")]  # fmt: skip
    tap.equal(default, ["download.pytorch.org", "huggingface.co"], "sources.tsv: the default rows")
    files = [row[1].rsplit("/")[-1] for row in rows[1:]]
    tap.equal(len(set(files)), len(files), "sources.tsv: no two rows share a file's name")


tap.run(right, wrong, resumed, broken, refused, unreachable, rows, unwritable, published)
