#!/usr/bin/env python3
"""MIGRATING.md keeps its word: each of its configurations is run by a real nginx between a stand-in
for the old application and the real service, and each piece of Python against the real service."""
# timeout: 300

import array
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import types

import draw
import kserve_client
import service
import tap
import web
from front import Front

PAGE = os.path.join(service.TOP, "MIGRATING.md")
PICTURE = draw.jpeg(seed=3)
HOST = "api.example.org"
TOKEN = "Bearer of-somebody"
run_blocks = set()


def blocks(text):
    """{its first comment's file name: text} of each piece of nginx and Python."""
    found = re.findall(r"^```(?:nginx|python)\n(# ([\w.]+)[^\n]*\n.*?)^```$", text, re.M | re.S)
    return {name: body for body, name in found}


with open(PAGE, encoding="utf-8") as page:
    TEXT = page.read()
BLOCKS = blocks(TEXT)


def block(name):
    run_blocks.add(name)
    return BLOCKS[name]


def replaced(text, *pairs):
    """Each pair's first has to be there: a substitution that finds nothing would test nothing."""
    for old, new in pairs:
        if old not in text:
            raise AssertionError(f"{old!r} is not in it any more")
        text = text.replace(old, new)
    return text


# ---- the old application, as far as nginx sees it ------------------------------------------------


class Old(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(body, 200, b'{"predictions":[],"by":"python"}')

    def do_GET(self):
        allowed = self.path != "/auth" or self.headers.get("Authorization") == TOKEN
        self.answer(b"", 200 if allowed else 401, b"{}")

    def answer(self, body, status, data):
        self.server.seen.append((self.path, body, dict(self.headers.items())))
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class OldServer:
    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old)
        self.server.seen = self.seen = []
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


# ---- one configuration ---------------------------------------------------------------------------


class Tls:
    """A certificate of our own, and requests that check it."""

    def __init__(self, directory):
        self.directory = directory
        self.chain = os.path.join(directory, "fullchain.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
             "-keyout", os.path.join(directory, "privkey.pem"), "-out", self.chain],
            check=True, capture_output=True, timeout=60)  # fmt: skip

    def request(self, port, method, path, body=None, headers=None):
        context = ssl.create_default_context(cafile=self.chain)
        with socket.create_connection(("127.0.0.1", port), web.TIMEOUT_S) as raw:
            with context.wrap_socket(raw, server_hostname=HOST) as connection:
                connection.sendall(web.compose(method, path, body, headers))
                return web.parse(web.read_all(connection))


def front(name, old_port, our_port, *pairs, tls=None):
    text = replaced(block(name), ("127.0.0.1:8080", f"127.0.0.1:{our_port}"), *pairs)
    if "upstream python" in text:
        text = replaced(text, ("127.0.0.1:8000", f"127.0.0.1:{old_port}"))
    if tls:
        text = replaced(text, ("/etc/nginx/tls", tls.directory))

    def inside(port):
        listen = "listen 443 ssl;" if tls else "listen 80;"
        return replaced(text, (listen, listen.replace("443" if tls else "80", f"127.0.0.1:{port}")))

    return Front(inside)


def ours(answer):
    return answer.status == 200 and answer.json().get("model", "").startswith("ResNet")


def pythons(answer):
    return answer.status == 200 and answer.json().get("by") == "python"


def mirror(served, old):
    with front("mirror.conf", old.port, served.port) as nginx:
        answer = web.request(nginx.port, "POST", "/predict?top_k=3", PICTURE)
        tap.ok(pythons(answer), "mirror: Python answers", answer)
        path, body, headers = old.seen[-1]
        tap.equal((path, body == PICTURE), ("/predict?top_k=3", True), "mirror: it has the picture")

        def copied():
            found = [x for x in served.access() if x["request_id"] == headers["X-Request-ID"]]
            return [(x["request"].split()[:2], x["status"]) for x in found]

        found = service.until(copied, service.START_S, "the copy's line in our log")
        tap.equal(found, [(["POST", "/predict?top_k=3"], 200)], "mirror: we answer the copy, same id")
        tap.ok(pythons(web.request(nginx.port, "POST", "/else", b"x")), "mirror: the rest is Python's")


def ask_as(port, agent):
    return web.request(port, "POST", "/predict", PICTURE, {"User-Agent": agent})


def split(served, old):
    agents = [f"client {n}" for n in range(24)]
    with front("split.conf", old.port, served.port, ("1% ", "50% ")) as nginx:
        first = [ask_as(nginx.port, agent) for agent in agents]
        good = [ours(a) or pythons(a) for a in first]
        tap.ok(all(good), "split, 50 %: each is answered", first)
        sides = [a.header("x-classifier") for a in first]
        tap.equal(set(sides), {"resnet", "python"}, "split, 50 %: by one or the other")
        tap.equal([ours(a) for a in first], [s == "resnet" for s in sides], "split: the header is right")
        again = [ask_as(nginx.port, agent).header("x-classifier") for agent in agents]
        tap.equal(again, sides, "split: a client stays on its side")
    with front("split.conf", old.port, served.port) as nginx:
        tap.ok(web.request(nginx.port, "GET", "/x").status == 200, "split, 1 %: as it stands there")
    with front("split.conf", old.port, served.port, ("1% ", "100% ")) as nginx:
        found = [ours(ask_as(nginx.port, agent)) for agent in agents[:6]]
        tap.equal(found, [True] * 6, "split, 100 %: all ours")
    with front("split.conf", old.port, served.port, ("    1%      resnet;\n", "")) as nginx:
        found = [pythons(ask_as(nginx.port, agent)) for agent in agents[:6]]
        tap.equal(found, [True] * 6, "split, taken back: all Python's")


def nobody():
    """A port at which nobody listens, as long as the socket is open."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def split_without_us(old):
    with nobody() as held:
        with front("split.conf", old.port, held.getsockname()[1], ("1% ", "100% ")) as nginx:
            answer = ask_as(nginx.port, "x")
            tap.ok(pythons(answer), "split: where we are not there, Python answers", answer)
            tap.equal(old.seen[-1][1], PICTURE, "split: and has the picture")


def key(served, tls):
    with front("key.conf", 0, served.port, tls=tls) as nginx:
        answer = tls.request(nginx.port, "POST", "/predict", PICTURE)
        tap.equal((answer.status, answer.code()), (401, "unauthorized"), "key: none, 401 in JSON")
        wrong = tls.request(nginx.port, "POST", "/predict", PICTURE, {"X-API-Key": "guess"})
        tap.equal(wrong.status, 401, "key: a wrong one, 401")
        right = {"X-API-Key": "change-me-32-characters-at-least"}
        answer = tls.request(nginx.port, "POST", "/predict", PICTURE, right)
        tap.ok(ours(answer), "key: the right one, a classification over TLS", answer)
        tap.equal(tls.request(nginx.port, "GET", "/health").status, 200, "key: health without any")


def auth(served, old, tls):
    with front("auth.conf", old.port, served.port, tls=tls) as nginx:
        answer = tls.request(nginx.port, "POST", "/predict", PICTURE)
        tap.equal(answer.status, 401, "auth: Python says no")
        answer = tls.request(nginx.port, "POST", "/predict", PICTURE, {"Authorization": TOKEN})
        tap.ok(ours(answer), "auth: Python says yes, we answer", answer)
        path, body, headers = old.seen[-1]
        tap.equal((path, body, headers.get("X-Original-URI")), ("/auth", b"", "/predict"),
                  "auth: it was asked without the picture")  # fmt: skip
        tap.ok(pythons(tls.request(nginx.port, "POST", "/x", b"y")), "auth: the rest is Python's")


def beside_our_site(tls):
    """In the same nginx, nothing has the same name twice."""
    for name in sorted(n for n in BLOCKS if n.endswith(".conf")):
        with tempfile.TemporaryDirectory() as directory:
            service.render(directory, service.free_port(), {})
            text = block(name).replace("/etc/nginx/tls", tls.directory)
            with open(os.path.join(directory, "conf.d", name), "w", encoding="utf-8") as file:
                file.write(text)
            conf = os.path.join(directory, "nginx.conf")
            done = subprocess.run([service.NGINX, "-t", "-p", directory, "-c", conf], text=True,
                                  capture_output=True, check=False, timeout=60)  # fmt: skip
            tap.ok(done.returncode == 0, f"{name}: beside our site, nginx -t", done.stderr)


# ---- the Python ----------------------------------------------------------------------------------


def client(port):
    """resnet_client, as it stands on the page."""
    found = types.ModuleType("resnet_client")
    os.environ["CLASSIFIER"] = f"127.0.0.1:{port}"
    try:
        exec(compile(block("resnet_client.py"), "resnet_client.py", "exec"), found.__dict__)
    finally:
        del os.environ["CLASSIFIER"]
    return found


def refused(module, photograph):
    try:
        return module.classify(photograph)
    except module.Refused as refusal:
        return refusal.status, refusal.code, refusal.headers.get("Retry-After")


def classify(served):
    module = client(served.port)
    expected = served.post(PICTURE, path="/predict?top_k=3").json()["predictions"]
    tap.equal(module.classify(PICTURE, 3, "migrating-0001"), expected, "classify(): as by HTTP")
    sent = service.until(lambda: [x for x in served.access() if x["request_id"] == "migrating-0001"],
                         service.START_S, "its line in the log")  # fmt: skip
    tap.equal(len(sent), 1, "classify(): passes its request's id on")
    tap.equal(refused(module, b"no picture"), (415, "unsupported_media_type", None),
              "classify(): what is no picture is refused")  # fmt: skip
    with nobody() as held:
        found = refused(client(held.getsockname()[1]), PICTURE)
    tap.equal(found, (503, "unavailable", "1"), "classify(): where nobody listens, 503")


def model(served):
    shape = [2, 3, 224, 224]
    flat = array.array("f", (((i * 37) % 101) / 50 - 1 for i in range(2 * 3 * 224 * 224)))
    found = client(served.port).model(memoryview(flat).cast("B").cast("f", shape))
    with kserve_client.Client("127.0.0.1", served.port) as oip:
        tensor = kserve_client.Input("input", shape, "FP32").binary(flat)
        expected = oip.infer("resnet50", [tensor], [kserve_client.Output("logits", binary=True)])
    tap.equal(found.shape, (2, 1000), "model(): two rows of logits")
    tap.ok([x for row in found.tolist() for x in row] == list(expected.values("logits")),
           "model(): those of the Open Inference Protocol")  # fmt: skip


def python_with_fastapi():
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [python, "-c", "import fastapi, uvicorn, multipart"]
        if os.access(python, os.X_OK) and not subprocess.run(
            probe, capture_output=True, check=False, timeout=120
        ).returncode:
            return python
    return None


def application(served):
    """The page's main.py and resnet_client.py under uvicorn, asked as its clients always did."""
    program = block("main.py"), block("resnet_client.py")
    python = python_with_fastapi()
    if python is None:
        return tap.skip("the application", "no Python here has fastapi, uvicorn and multipart")
    with tempfile.TemporaryDirectory() as directory, socket.socket() as listener:
        for name, text in zip(("main.py", "resnet_client.py"), program):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        environment = service.clean_environment(CLASSIFIER=f"127.0.0.1:{served.port}")
        uvicorn = subprocess.Popen(
            [python, "-m", "uvicorn", "main:app", "--fd", str(listener.fileno()), "--log-level",
             "warning"], cwd=directory, env=environment, pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            return asked(served, listener.getsockname()[1])
        finally:
            uvicorn.terminate()
            uvicorn.wait(service.STOP_S)


def asked(served, port):
    def post(data):
        body, kind = web.multipart([("file", "a.jpg", "image/jpeg", data)])
        return web.request(port, "POST", "/predict", body, {"Content-Type": kind})

    answer = post(PICTURE)
    expected = [{"class": p["label"], "index": p["class_id"], "probability": p["probability"]}
                for p in served.post(PICTURE).json()["predictions"]]  # fmt: skip
    tap.ok(answer.status == 200, "the application: answers a form", answer)
    tap.equal(answer.json(), {"predictions": expected}, "the application: in its old shape")
    answer = post(b"no picture")
    tap.equal((answer.status, list(answer.json())), (415, ["detail"]), "the application: our refusal")
    tap.equal(web.request(port, "GET", "/health").json(), {"status": "ok"}, "the application: health")


def nothing_left_out():
    tap.ok(len(BLOCKS) >= 6, "the page has its pieces", sorted(BLOCKS))
    tap.equal(len(BLOCKS), len(re.findall(r"^```(?:nginx|python)$", TEXT, re.M)), "each has a name")
    tap.equal(sorted(run_blocks), sorted(BLOCKS), "and each was run")
    tap.equal(list(blocks("```nginx\n# a.conf\nx;\n```\n```python\n# b.py: c\ny\n```\n")),
              ["a.conf", "b.py"], "can fail: pieces are found")  # fmt: skip


def everything():
    with tempfile.TemporaryDirectory() as directory, OldServer() as old:
        tls = Tls(directory)
        with service.Service(workers=2) as served:
            mirror(served, old)
            split(served, old)
            split_without_us(old)
            key(served, tls)
            auth(served, old, tls)
            beside_our_site(tls)
            classify(served)
            model(served)
            application(served)
    nothing_left_out()


if not shutil.which("openssl"):
    tap.skip_all("openssl, which makes the certificate, is not installed")
tap.run(everything)
