#!/usr/bin/env python3
"""nginx without room for its temporary files, and with few connections: who needs none is answered
as ever, who does gets an error of the usual shape, and when there is room again all are answered."""

import base64
import collections
import concurrent.futures
import contextlib
import json
import os
import re
import socket

import draw
import mounts
import service
import tap
import web
from load import known, without_id
from service import Service, until

SMALL = draw.jpeg()
LARGE = draw.jpeg(comment_bytes=3 << 20)  # nginx keeps 1 MiB of a body in memory
MANY = 32  # pictures, whose answer is larger than nginx's 272 KiB of buffers


def check_error(answer, name):
    tap.equal((answer.status, answer.code()), (500, "internal_error"), f"{name}: an error of ours")
    tap.equal(answer.header("content-type"), "application/json", f"{name}: as JSON")
    tap.equal(answer.header("x-request-id"), answer.json()["request_id"], f"{name}: with its id")


def same(service, large, expected, name):
    """Small ones are answered, and large ones as `large` says."""
    small = service.post(SMALL)
    tap.equal((small.status, small.json()["predictions"]), (200, expected), f"{name}: a small body")
    answer = service.post(LARGE)
    if large == 200:
        tap.equal((answer.status, answer.json().get("predictions")), (200, expected),
                  f"{name}: a large body")  # fmt: skip
    else:
        check_error(answer, f"{name}: a large body")


def bodies(service, room):
    expected = service.post(SMALL).json()["predictions"]
    same(service, 200, expected, "room")
    for _ in range(2):
        filler = fill(service, room)
        same(service, 500, expected, "no room")
        tap.equal(service.get("/health/ready").status, 200, "no room: ready")
        os.unlink(filler)
        same(service, 200, expected, "room again")


def temporary(running):
    """What nginx's processes have open of their temporary files, which have no names any more."""
    found = []
    for pid in service.children(running.nginx.process.pid, "nginx"):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return [path for path in found if re.search("/tmp/(body|fastcgi)/", path)]


def fill(running, room):
    """nginx gives back what a body took a little after its answer."""

    def is_full():
        mounts.fill(room)
        return running.post(LARGE).status == 500

    until(is_full, 60, "no room")
    until(lambda: not temporary(running), 60, "what nginx gives back")
    return mounts.fill(room)


def together(service):
    """Eight large bodies at once, where about two have room: each is answered, one way or another."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.post(LARGE), range(8)))
    said = {(answer.status, answer.code()) for answer in answers}
    tap.ok(said <= {(200, None), (500, "internal_error")}, "eight at once: eight whole answers", said)
    until(lambda: service.post(LARGE).status == 200, 60, "room afterwards")


def ask_for_much(port, rcvbuf=None):
    """A connection that asked for everything about MANY pictures."""
    pictures = [base64.b64encode(SMALL).decode()] * MANY
    body = json.dumps({
        "inputs": [{"name": "image", "shape": [MANY], "datatype": "BYTES", "data": pictures}],
        "outputs": [{"name": name} for name in ("probabilities", "logits", "features")],
    }).encode()  # fmt: skip
    connection = socket.socket()
    connection.settimeout(web.TIMEOUT_S)
    if rcvbuf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    connection.connect(("127.0.0.1", port))
    head, rest = web.compose("POST", "/v2/models/resnet50/infer", body), b""
    connection.sendall(head + rest)
    return connection


def was_cut(service):
    """Whether nginx has found no room for an answer."""
    with open(os.path.join(service.directory, "error.log"), encoding="utf-8") as file:
        return re.search(r'tmp/fastcgi/\S+" failed \(28:', file.read())


def answers(service, room):
    """A slow reader's large answer waits in a file."""
    with ask_for_much(service.port) as connection:
        whole = web.parse(web.read_all(connection))
    tap.equal(whole.status, 200, f"an answer of {len(whole.body)} bytes")
    filler = fill(service, room)
    with ask_for_much(service.port, rcvbuf=4096) as slow:
        until(lambda: was_cut(service), 60, "nginx's line")
        tap.equal(service.post(SMALL).status, 200, "no room for a large answer: others are answered")
        try:
            answer = web.parse(web.read_all(slow))
            tap.ok(False, "no room for a large answer", answer)
        except (web.Broken, ConnectionError) as error:
            tap.ok(True, f"no room for a large answer: its slow reader sees that it is cut ({error})"[:160])
    os.unlink(filler)
    with ask_for_much(service.port, rcvbuf=4096) as slow:
        tap.equal(len(web.parse(web.read_all(slow)).body), len(whole.body), "room again: a slow reader")


@contextlib.contextmanager
def rendered(pattern, text):
    """nginx's configuration with something of its own in it."""
    before = service.render

    def render(directory, port, environment):
        before(directory, port, environment)
        found = 0
        for name in ("nginx.conf", "conf.d/resnet.conf"):
            path = os.path.join(directory, name)
            with open(path, encoding="utf-8") as file:
                changed, n = re.subn(pattern, text, file.read())
            with open(path, "w", encoding="utf-8") as file:
                file.write(changed)
            found += n
        if not found:
            raise AssertionError(f"nothing in nginx's configuration is {pattern}")

    service.render = render
    try:
        yield
    finally:
        service.render = before


def temporary_files():
    running = Service(workers=2, cold=True, RESNET_MAX_IMAGES=MANY)
    room = os.path.join(running.directory, "tmp")
    running.environment["NGINX_ACCESS_LOG"] = os.path.join(room, "access.log")
    # nor may the kernel keep what the client does not read
    with mounts.small(room, "size=8m"), rendered("default_server;", "default_server sndbuf=16k;"):
        with running:
            running.start_spawn()
            running.wait_ready()
            bodies(running, room)
            together(running)
            answers(running, room)


def few_connections():
    """Eight: two listen, one is the master's channel, and a request takes two."""
    with rendered("worker_connections 1024;", "worker_connections 8;"), Service(workers=2) as running:
        pictures = known(running, 1)
        tally = collections.Counter()

        def crowd():
            """Who comes when nobody else does is answered; that may be none of them."""
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                tally.update(pool.map(lambda _: outcome(running, pictures[0]), range(48)))
            return tally["200"]

        with contextlib.suppress(TimeoutError):
            until(crowd, 60, "an answer")
        tap.note(dict(tally))
        tap.ok(tally["200"] > 0, "few connections: some are answered", tally)
        tap.ok(all(re.fullmatch("200|none|5.. [a-z_]+", name) for name in tally),
               "few connections: whole answers, errors of ours, or none at all", tally)  # fmt: skip
        until(lambda: outcome(running, pictures[0]) == "200", 60, "an answer")
        after = [outcome(running, pictures[0]) for _ in range(8)]
        tap.equal(after, ["200"] * 8, "few connections: one after the other, all are answered")


def outcome(service, pair):
    picture, expected = pair
    try:
        answer = service.post(picture)
    except web.Broken as error:
        return "none" if " in 0 bytes" in str(error) or "reset" in str(error) else str(error)
    if answer.status != 200:
        return f"{answer.status} {answer.code() or 'without-code'}"
    return "200" if without_id(answer) == expected else "a 200 of something else"


mounts.private()
tap.run(temporary_files, few_connections)
