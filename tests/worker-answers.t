#!/usr/bin/env python3
"""POST /predict as a client of one worker sees it: answers, errors, headers."""
# timeout: 180

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

PHOTO = draw.jpeg()
NGINX_ID = "0123456789abcdef0123456789abcdef"


def form(*fields, boundary="B", end=True):
    """fields: (name, bytes) -> (body, its Content-Type)"""
    body = b""
    for name, content in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode() if end else b""
    return body, {"CONTENT_TYPE": f"multipart/form-data; boundary={boundary}"}


def good_answers():
    with Worker() as worker:
        answer = worker.predict(PHOTO, REQUEST_ID=NGINX_ID)
        json = answer.json
        tap.equal(answer.status, 200, "a picture: 200")
        tap.equal(list(json), ["success", "model", "version", "predictions", "request_id"], "keys")
        tap.equal((json["success"], json["request_id"]), (True, NGINX_ID), "success and id")
        tap.equal(json["model"], "ResNet-50 (synthetic weights)", "model")
        top = json["predictions"]
        tap.equal([list(p) for p in top], [["class_id", "label", "probability"]] * 5, "five classes")
        odds = [p["probability"] for p in top]
        tap.ok(odds == sorted(odds, reverse=True) and 0 < sum(odds) <= 1.00001, "best first", odds)

        headers = answer.headers
        tap.equal(headers["Content-Type"], "application/json", "Content-Type")
        tap.equal(headers["X-Request-ID"], NGINX_ID, "X-Request-ID is nginx's")
        tap.ok(re.fullmatch(r"[^/]+/0\.0", headers["X-Served-By"]), "X-Served-By", headers)
        tap.ok(re.fullmatch(r"[0-9a-f]{12}", headers["X-Model"]), "X-Model", headers)
        stages = re.findall(r"(\w+);dur=[\d.]+", headers["Server-Timing"])
        tap.equal(stages, ["queue", "read", "decode", "resize", "infer", "write"], "Server-Timing")

        tap.equal(worker.predict(PHOTO).json["predictions"], top, "the same again")
        for kind in ("application/octet-stream", "application/x-www-form-urlencoded", "", None):
            found = worker.predict(PHOTO, CONTENT_TYPE=kind).json["predictions"]
            tap.equal(found, top, f"Content-Type {kind!r}")
        found = worker.predict(PHOTO, QUERY_STRING="top_k=3&precision=fp32").json["predictions"]
        tap.equal(found, top[:3], "top_k=3")
        found = worker.predict(PHOTO, QUERY_STRING="top_k=1000").json["predictions"]
        tap.equal(sorted(p["class_id"] for p in found), list(range(1000)), "every class once")

        body, kind = form(("file", PHOTO))
        tap.equal(worker.predict(body, **kind).json["predictions"], top, "a form with one picture")
        body, kind = form(("image", PHOTO), ("top_k", b"2"))
        tap.equal(worker.predict(body, **kind).json["predictions"], top[:2], "a form with top_k")
        other = draw.jpeg(seed=7)
        body, kind = form(("file", PHOTO), ("image", other), ("file", PHOTO))
        found = worker.predict(body, **kind).json
        expected = [top, worker.predict(other).json["predictions"], top]
        tap.equal([r["predictions"] for r in found["results"]], expected, "three, in order")
        tap.ok("predictions" not in found, "results instead of predictions")


def ids():
    with Worker() as worker:
        answer = worker.predict(PHOTO, REQUEST_ID=NGINX_ID, HTTP_X_REQUEST_ID="my.Id_8-x")
        tap.equal(answer.headers["X-Request-ID"], "my.Id_8-x", "the client's id")
        line = worker.request_line("my.Id_8-x")
        tap.ok(f" nginx_id={NGINX_ID} " in line, "the log has both", line)
        answer = worker.predict(PHOTO, REQUEST_ID=NGINX_ID, HTTP_X_REQUEST_ID='evil"\r\nX: 1')
        tap.equal(answer.json["request_id"], NGINX_ID, "a malformed id is not repeated")
        own = {worker.predict(PHOTO).json["request_id"] for _ in range(3)}
        tap.ok(len(own) == 3 and all(re.fullmatch("[0-9a-f]{32}", i) for i in own), "own ids", own)


ERRORS = [
    # status, code, part of the sentence, body, parameters
    (400, "bad_request", "curl --data-binary", b"", {}),
    (400, "bad_request", "1 to 1000", PHOTO, {"QUERY_STRING": "top_k=1001"}),
    (400, "bad_request", "1 to 1000", PHOTO, {"QUERY_STRING": "top_k="}),
    (400, "bad_request", "fp32", PHOTO, {"QUERY_STRING": "precision=int8"}),
    (400, "bad_request", "top_k", PHOTO, {"QUERY_STRING": "topk=3"}),
    (400, "bad_request", "milliseconds", PHOTO, {"HTTP_X_REQUEST_TIMEOUT_MS": "1s"}),
    (400, "bad_multipart", "no boundary", PHOTO, {"CONTENT_TYPE": "multipart/form-data"}),
    (400, "bad_multipart", "closing boundary", *form(("file", PHOTO), end=False)),
    (400, "bad_multipart", '"photo"', *form(("photo", PHOTO))),
    (400, "bad_multipart", "64 parts", *form(*[("top_k", b"1")] * 65)),
    (413, "too_many_images", "more than 16", *form(*[("file", PHOTO)] * 17)),
    (413, "image_too_large", "65500", draw.header_only(65500, 65500), {}),
    (413, "body_too_large", "100001", b"x" * 100_001, {}),
    (415, "unsupported_media_type", "", b"GIF89a" + bytes(100), {}),
    (400, "bad_request", '"images"', b"{}", {"CONTENT_TYPE": "application/json"}),
    (415, "unsupported_media_type", "JPEG", PHOTO, {"CONTENT_TYPE": "application/json"}),
    (415, "unsupported_media_type", "", PHOTO, {"HTTP_CONTENT_ENCODING": "gzip"}),
    (422, "image_undecodable", "", PHOTO[: len(PHOTO) // 2], {}),
    (422, "image_undecodable", "", PHOTO[:20], {}),
    (404, "not_found", "/predict", PHOTO, {"DOCUMENT_URI": "/predict/"}),
    (405, "method_not_allowed", "POST", b"", {"REQUEST_METHOD": "GET"}),
    (504, "deadline_exceeded", "0 ms", PHOTO, {"HTTP_X_REQUEST_TIMEOUT_MS": "0"}),
]


def errors():
    with Worker(RESNET_MAX_BODY=100_000) as worker:
        for status, code, part, body, params in ERRORS:
            answer = worker.predict(body, HTTP_X_REQUEST_ID="error-id-1", **params)
            found = (answer.status, answer.code, answer.json["success"], answer.json["request_id"])
            name = f"{status} {code} {part}"
            tap.equal(found, (status, code, False, "error-id-1"), name)
            tap.ok(part in answer.json["error"], f"{name}: the sentence", answer.json["error"])
            if status == 405:
                tap.equal(answer.headers.get("Allow"), "POST", "Allow")
        tap.equal(worker.predict(PHOTO).status, 200, "and it goes on")


def health_when_alone():
    with Worker() as worker:
        for path in ("/health", "/health/live", "/health/ready", "/health/startup"):
            answer = worker.predict(b"", DOCUMENT_URI=path, REQUEST_METHOD="GET")
            tap.equal((answer.status, answer.json["status"]), (200, "healthy"), path)
        answer = worker.predict(b"", DOCUMENT_URI="/health", REQUEST_METHOD="DELETE")
        tap.equal((answer.status, answer.headers.get("Allow")), (405, "GET, HEAD"), "DELETE /health")


def time_is_up():
    """Budgets: spent in the queue, while the network runs; and a clock that was set."""
    now = time.time()
    with Worker(RESNET_REQUEST_TIMEOUT="60s") as worker:
        answer = worker.predict(PHOTO, MSEC=f"{now - 61:.3f}")
        tap.equal((answer.status, answer.code), (504, "deadline_exceeded"), "spent in the queue")
        tap.ok("queue" in answer.json["error"], "and says so", answer.json["error"])
        request_id = answer.json["request_id"]
        tap.ok(" infer_ms=0.000 " in worker.request_line(request_id), "nothing was computed")
        answer = worker.predict(PHOTO, MSEC=f"{time.time() - 2:.3f}")
        queued = float(re.search(r"queue;dur=([\d.]+)", answer.headers["Server-Timing"])[1])
        tap.ok(answer.status == 200 and queued >= 1998, "two seconds in the queue", queued)
        for far in (-3600, 3600):
            answer = worker.predict(PHOTO, MSEC=f"{time.time() + far:.3f}")
            tap.ok("queue;dur=0.000" in answer.headers["Server-Timing"], f"clock {far} s away")
        tap.equal(len(worker.events("clock_stepped")), 1, "logged once")
        body, kind = form(*[("file", draw.jpeg(width=640, height=480))] * 16)
        answer = worker.predict(body, HTTP_X_REQUEST_TIMEOUT_MS="5", **kind)
        tap.equal((answer.status, answer.code), (504, "deadline_exceeded"), "while it works")


def hang_up():
    """A client that hung up is not computed for, and the next one is not kept waiting."""
    body, kind = form(*[("file", draw.jpeg(width=640, height=480))] * 16)
    layers = 53  # at least, and a second for each: whoever leaves is gone by then
    with Worker(faults="sleep=1000@*~hang-up") as worker:
        for i in range(5):
            with worker.connect() as peer:
                peer.sendall(fcgi.request(body, HTTP_X_REQUEST_ID=f"hang-up-{i}", **kind))
        for i in range(5):
            line = worker.request_line(f"hang-up-{i}")
            tap.ok(" code=cancelled sent=no " in line, "cancelled", line)
        begun = worker.times_done()
        tap.ok(begun < layers, "for five, fewer layers were begun than one has", begun)
        tap.equal(worker.predict(PHOTO).status, 200, "and it goes on")


def half_closed_is_not_gone():
    with Worker() as worker:
        with worker.connect() as peer:
            peer.sendall(fcgi.request(PHOTO))
            peer.shutdown(1)  # SHUT_WR
            tap.equal(fcgi.Answer(fcgi.read_to_end(peer)).status, 200, "a peer that only listens")


tap.run(
    good_answers, ids, errors, health_when_alone, time_is_up, hang_up, half_closed_is_not_gone
)
