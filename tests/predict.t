#!/usr/bin/env python3
"""POST /predict through nginx: raw pictures and forms, top_k, headers; and what GET, HEAD and wrong
paths or methods are told."""

import re

import draw
import tap
import web
from service import Service

PICTURE = draw.jpeg()
STAGES = ["queue", "read", "decode", "resize", "infer", "write"]


def predictions(answer):
    return answer.json()["predictions"]


def raw(service):
    answer = service.post(PICTURE, {"Content-Type": "image/jpeg"})
    body = answer.json()
    tap.equal(answer.status, 200, "raw JPEG: 200")
    keys = ["success", "model", "version", "predictions", "request_id"]
    tap.equal(list(body), keys, "raw JPEG: the documented members, in order")
    tap.equal((body["success"], body["version"]), (True, "1.0.0"), "raw JPEG: success, version")
    tap.ok(body["model"].startswith("ResNet-50"), "raw JPEG: model", body["model"])
    tap.equal(answer.header("content-type"), "application/json", "raw JPEG: Content-Type")
    found = body["predictions"]
    tap.equal(len(found), 5, "raw JPEG: five predictions")
    tap.ok(all(list(p) == ["class_id", "label", "probability"] for p in found), "their members", found)
    values = [p["probability"] for p in found]
    tap.equal(values, sorted(values, reverse=True), "the most probable first")
    tap.ok(0 < values[-1] and sum(values) <= 1.00001, "probabilities", values)
    tap.ok(all(isinstance(p["label"], str) and p["label"] for p in found), "labels", found)


def headers(service):
    answer = service.post(PICTURE)
    request_id = answer.header("x-request-id")
    tap.ok(re.fullmatch("[0-9a-f]{32}", request_id), "X-Request-ID: nginx's own", request_id)
    tap.equal(answer.json()["request_id"], request_id, "X-Request-ID: the same in the body")
    tap.equal([k for k, _ in answer.headers].count("x-request-id"), 1, "X-Request-ID: once")
    served = answer.header("x-served-by") or ""
    tap.ok(re.fullmatch(r"[A-Za-z0-9._-]+/\d+\.\d+", served), "X-Served-By: host/slot.generation", served)
    tap.ok(re.fullmatch("[0-9a-f]{12}", answer.header("x-model") or ""), "X-Model", answer.headers)
    timing = answer.header("server-timing") or ""
    names = re.findall(r"([a-z]+);dur=[0-9.]+", timing)
    tap.equal(names, STAGES, "Server-Timing: every stage in milliseconds")
    mine = service.post(PICTURE, {"X-Request-ID": "my-own.id_1"})
    tap.equal(mine.header("x-request-id"), "my-own.id_1", "X-Request-ID: a good one is kept")
    tap.equal(mine.json()["request_id"], "my-own.id_1", "X-Request-ID: and in the body")
    forged = service.post(PICTURE, {"X-Request-ID": "a b"})
    tap.ok(re.fullmatch("[0-9a-f]{32}", forged.header("x-request-id")), "X-Request-ID: a bad one is not")


def top_k(service):
    for k, expected in ((1, 1), (3, 3), (1000, 1000)):
        answer = service.post(PICTURE, path=f"/predict?top_k={k}")
        tap.equal(len(predictions(answer)), expected, f"top_k={k}")
    every = predictions(service.post(PICTURE, path="/predict?top_k=1000"))
    total = sum(p["probability"] for p in every)
    tap.ok(abs(total - 1) < 1e-4, "all probabilities sum to 1", total)
    tap.equal(sorted(p["class_id"] for p in every), list(range(1000)), "every class once")
    for k in ("0", "-1", "x", "", "1e9"):
        answer = service.post(PICTURE, path=f"/predict?top_k={k}")
        tap.equal((answer.status, answer.code()), (400, "bad_request"), f"top_k={k!r} is refused")
        tap.ok("top_k" in answer.json()["error"], f"top_k={k!r}: named", answer.body)


def forms(service):
    pictures = [draw.jpeg(seed=seed) for seed in (1, 2, 3)]
    alone = [predictions(service.post(picture)) for picture in pictures]
    tap.ok(alone[0] != alone[1], "two pictures, two answers")
    for field in ("file", "image"):
        body, kind = web.multipart([(field, "a.jpg", "image/jpeg", pictures[0])])
        answer = service.post(body, {"Content-Type": kind})
        tap.equal(answer.status, 200, f"form with {field}: 200")
        tap.equal(predictions(answer), alone[0], f"form with {field}: as the raw picture")
    body, kind = web.multipart([("file", f"{i}.jpg", None, p) for i, p in enumerate(pictures)])
    answer = service.post(body, {"Content-Type": kind})
    results = [result["predictions"] for result in answer.json()["results"]]
    tap.equal(results, alone, "three in one form: each as alone, bit for bit, in order")


def bodies(service):
    expected = predictions(service.post(PICTURE))
    tap.equal(predictions(service.post(PICTURE)), expected, "the same picture again: the same bits")
    large = draw.jpeg(comment_bytes=3_000_000)
    tap.equal(predictions(service.post(large)), expected, "3 MB: more than any socket buffer")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (PICTURE[:1000], PICTURE[1000:]))
    top = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = web.exchange(service.port, top + chunks + b"0\r\n\r\n")
    tap.equal(predictions(answer), expected, "a chunked upload")
    answer = service.post(PICTURE, {"Content-Type": "application/octet-stream"})
    tap.equal(predictions(answer), expected, "the type is read off the bytes, not off Content-Type")
    for name, picture in (("gray", draw.jpeg(components=1)), ("one pixel", draw.jpeg(1, 1)),
                          ("progressive", draw.jpeg(progressive=True)),
                          ("long", draw.jpeg(2000, 8))):  # fmt: skip
        tap.equal(service.post(picture).status, 200, f"{name}: 200")


def methods(service):
    cases = [
        ("GET", "/predict", 405, "POST"), ("DELETE", "/predict", 405, "POST"),
        ("PUT", "/predict", 405, "POST"), ("OPTIONS", "/predict", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"), ("DELETE", "/health/live", 405, "GET, HEAD"),
        ("POST", "/", 405, "GET, HEAD"), ("GET", "/nope", 404, None), ("POST", "/nope", 404, None),
        ("GET", "/predict/x", 404, None), ("GET", "/metrics", 404, None),
    ]  # fmt: skip
    for method, path, status, allow in cases:
        answer = service.get(path, method=method)
        code = "not_found" if status == 404 else "method_not_allowed"
        tap.equal((answer.status, answer.code(), answer.header("allow")), (status, code, allow),
                  f"{method} {path}: {status}")  # fmt: skip
        tap.equal(answer.json()["request_id"], answer.header("x-request-id"), f"{method} {path}: id")


def health(service):
    answer = service.get("/health")
    body = answer.json()
    tap.equal((answer.status, body["success"], body["status"]), (200, True, "healthy"), "/health")
    tap.ok(body["model"].startswith("ResNet-50"), "/health: model", body)
    tap.equal(body["version"], "1.0.0", "/health: version")
    for path in ("/health/live", "/health/ready", "/health/startup"):
        tap.equal(service.get(path).status, 200, path)
    for path in ("/health", "/health/ready", "/status", "/"):
        get, head = service.get(path), service.get(path, method="HEAD")
        tap.equal((head.status, head.body), (200, b""), f"HEAD {path}: no body")
        tap.equal(head.header("content-type"), get.header("content-type"), f"HEAD {path}: as GET")
    tap.equal(service.get("/nope", method="HEAD").status, 404, "HEAD /nope")
    tap.equal(service.get("/predict", method="HEAD").status, 405, "HEAD /predict")


def status(service):
    public, full = service.get("/status"), service.get("/status", port=service.inside)
    tap.equal((public.status, full.status), (200, 200), "/status on both listeners")
    tap.equal(len(full.json()["workers"]), 2, "second listener: both workers, one by one")
    pids = sorted(worker["pid"] for worker in full.json()["workers"])
    tap.equal(pids, service.all_workers(), "second listener: their pids")
    tap.ok(b'"pid"' not in public.body, "public listener: counts only", public.body)


def everything():
    with Service(workers=2) as service:
        for test in (raw, headers, top_k, forms, bodies, methods, health, status):
            test(service)
        tap.equal(len(service.workers()), 2, "both workers are still there")


tap.run(everything)
