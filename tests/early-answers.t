#!/usr/bin/env python3
"""An answer given without reading the body to its end becomes a 502 now and then. So: every early
answer many times, with a body, and not one may be anything but itself. nginx's retries would hide
most of it from the client: its log has to say that each came at the first attempt."""

import concurrent.futures

import draw
import tap
import web
from service import Service, until

TIMES = 200
CLIENTS = 4


def cases():
    """name, body, headers, path, status, code"""
    good = draw.jpeg(comment_bytes=150_000)
    cut, kind = web.multipart([("file", "a.jpg", "image/jpeg", good)])
    unknown, unknown_kind = web.multipart([("photo", "a.jpg", "image/jpeg", good)])
    large = draw.header_only(65500, 65500) + b"\0" * 150_000
    return [
        ("413 picture", large, {}, "/predict", 413, "image_too_large"),
        ("413 body", b"x" * 400_000, {}, "/predict", 413, "body_too_large"),
        ("415 small", b"hello" * 200, {}, "/predict", 415, "unsupported_media_type"),
        ("415 large", b"hello" * 30_000, {}, "/predict", 415, "unsupported_media_type"),
        ("415 encoding", good, {"Content-Encoding": "gzip"}, "/predict", 415, "unsupported_media_type"),
        ("400 query", good, {}, "/predict?top_k=none", 400, "bad_request"),
        ("400 form", cut[:-20], {"Content-Type": kind}, "/predict", 400, "bad_multipart"),
        ("400 field", unknown, {"Content-Type": unknown_kind}, "/predict", 400, "bad_multipart"),
        ("422 cut", good[:-300], {}, "/predict", 422, "image_undecodable"),
        ("404 path", good, {}, "/nope", 404, "not_found"),
        ("405 method", good, {}, "/health", 405, "method_not_allowed"),
    ]


def outcome(service, body, headers, path):
    try:
        answer = service.post(body, headers, path)
        return answer.status, answer.code()
    except web.Broken as error:
        return "broken", str(error)[:30]


def posts(service):
    """Their lines in nginx's log; readiness was asked for, too."""
    return [line for line in service.access() if line["request"].startswith("POST ")]


def attempts(lines):
    """{(status, how many sockets nginx tried): requests}"""
    found = {}
    for line in lines:
        key = (line["status"], line["attempts"])
        found[key] = found.get(key, 0) + 1
    return found


def everything():
    with Service(workers=2, RESNET_MAX_BODY="300k") as service:
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            for name, body, headers, path, status, code in cases():
                jobs = [pool.submit(outcome, service, body, headers, path) for _ in range(TIMES)]
                found = {}
                for job in jobs:
                    found[job.result()] = found.get(job.result(), 0) + 1
                tap.equal(found, {(status, code): TIMES}, f"{name}: {TIMES} times, and nothing else")
        tap.equal(service.post(draw.jpeg()).status, 200, "and a picture is still classified")
        asked = TIMES * len(cases()) + 1
        until(lambda: len(posts(service)) >= asked, 60, "nginx's last lines")
        found = attempts(posts(service))
        tap.note(f"(status, attempts): requests: {found}")
        tried_again = {key: n for key, n in found.items() if key[1] > 1}
        tap.ok(sum(found.values()) >= asked, "all are in nginx's log")
        tap.equal(tried_again, {}, "not one needed a second attempt")


tap.run(everything)
