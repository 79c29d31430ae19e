#!/usr/bin/env python3
"""Whatever nginx has to refuse or to report itself, the client reads our JSON, never HTML."""

import contextlib
import os
import re
import socket
import tempfile

import service
import tap
import web

ERROR_KEYS = ["success", "error", "code", "request_id"]
LONG = "a" * 9000
TOO_LONG = "Connection: close\r\nContent-Length: 2049\r\n\r\n" + "x" * 2045  # and the line's own end
BROKEN = "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n-1"


def check(answer, status, code, name):
    body = answer.json() if answer.body.startswith(b"{") else {}
    good = (
        (answer.status, body.get("code")) == (status, code)
        and answer.header("content-type") == "application/json"
        and list(body) == ERROR_KEYS
        and body["success"] is False
        and len(body["error"]) > 20
        and body["request_id"] == answer.header("x-request-id")
        and bool(re.fullmatch("[0-9a-f]{32}", body["request_id"]))
    )
    tap.ok(good, f"{name}: {status} {code}", repr(answer))


def raw(port, *lines):
    return web.exchange(port, "\r\n".join(lines).encode() + b"\r\n\r\n")


def refused_by_nginx(nginx):
    host = "Host: x"
    cases = [
        (("GARBAGE",), 400, "bad_request"),
        (("GET / HTTP/1.1",), 400, "bad_request"),
        (("GET /../.. HTTP/1.1", host), 400, "bad_request"),
        (("GET /%00 HTTP/1.1", host), 400, "bad_request"),
        (("POST /predict HTTP/1.1", host, "Content-Length: -5"), 400, "bad_request"),
        (("POST /predict HTTP/1.1", host, "Content-Length: 5x"), 400, "bad_request"),
        (("TRACE / HTTP/1.1", host, "Connection: close"), 405, "method_not_allowed"),
        (("POST / HTTP/1.1", host, "Connection: close"), 405, "method_not_allowed"),
        (("GET / HTTP/1.1", host, "Connection: close", 'If-Match: "x"'), 412, "precondition_failed"),
        (("POST /predict HTTP/1.1", host, "Content-Length: 2049"), 413, "body_too_large"),
        ((f"GET /{LONG} HTTP/1.1", host), 414, "uri_too_long"),
        (("GET / HTTP/1.1", host, f"X: {LONG}"), 431, "headers_too_large"),
        (("POST /predict HTTP/1.1", host, "Transfer-Encoding: gzip"), 501, "not_implemented"),
        (("GET / HTTP/3.0", host), 505, "http_version_not_supported"),
        (("GET /page.php HTTP/1.1", host, "Connection: close"), 503, "unavailable"),
        (("GET /.resnet/error HTTP/1.1", host, "Connection: close"), 404, "not_found"),
        # wrong already, and too long as well
        (("POST /.resnet/error HTTP/1.1", host, TOO_LONG), 404, "not_found"),
        (("POST /predict HTTP/1.1", host, "Transfer-Encoding: gzip", TOO_LONG), 501, "not_implemented"),
        (("OPTIONS /page/ HTTP/1.1", host, BROKEN), 400, "bad_request"),
        (("POST /.resnet/error HTTP/1.1", host, BROKEN), 400, "bad_request"),
    ]
    for lines, status, code in cases:
        check(raw(nginx.port, *lines), status, code, lines[0][:40])


def allow(nginx):
    for path, methods in (("/", "GET, HEAD"), ("/predict", "POST"), ("/predict?top_k=1", "POST")):
        answer = raw(nginx.port, f"TRACE {path} HTTP/1.1", "Host: x", "Connection: close")
        tap.equal(answer.header("allow"), methods, f"TRACE {path}: Allow")


def no_backend(nginx):
    for method, path in (("POST", "/predict"), ("GET", "/health"), ("PUT", "/predict")):
        answer = web.request(nginx.port, method, path, b"x" if method == "POST" else None)
        check(answer, 503, "unavailable", f"no backend: {method} {path}")
        tap.equal(answer.header("retry-after"), "1", f"no backend: {method} {path}: Retry-After")
    answer = web.request(nginx.port, "HEAD", "/health")
    tap.equal((answer.status, answer.body), (503, b""), "no backend: HEAD has no body")
    for inside in ("/metrics", "/status"):
        answer = web.request(nginx.port + 1, "GET", inside)
        check(answer, 503, "unavailable", f"no backend: second listener {inside}")


def request_ids(nginx):
    def id_of(sent):
        headers = {"X-Request-ID": sent} if sent is not None else {}
        answer = web.request(nginx.port, "GET", "/health", headers=headers)
        tap.equal(answer.header("x-request-id"), answer.json()["request_id"], f"{sent}: both agree")
        return answer.header("x-request-id")

    for sent in ("abcd.EF_0-9", "a" * 8, "b" * 128):
        tap.equal(id_of(sent), sent, f"{sent[:20]}: a good id is kept")
    for sent in (None, "short", "c" * 129, 'quote"quote', "with blank", "semi;colon", "ä" * 9):
        tap.ok(re.fullmatch("[0-9a-f]{32}", id_of(sent)), f"{sent and sent[:20]}: nginx's own")


def page(nginx):
    answer = web.request(nginx.port, "GET", "/")
    tap.equal(answer.header("content-type"), "text/html; charset=utf-8", "page: type")
    policy = answer.header("content-security-policy") or ""
    tap.ok("default-src 'none'" in policy and "unsafe" not in policy, "page: a strict policy", policy)
    text = answer.body.decode()
    tap.ok(not re.search(r"https?://|//[a-z]", text), "page: nothing from anywhere else", text)
    parts = re.findall(r'(?:src|href)="(page/[^"]+)"', text)
    tap.ok(len(parts) >= 3, "page: icon, style, script", parts)
    for name in parts + ["openapi.json"]:
        tap.equal(web.request(nginx.port, "GET", "/" + name).status, 200, f"page: {name} is there")
    for name in ("page/", "page/nothing.js", "page/../../templates/resnet.conf.template"):
        tap.ok(web.request(nginx.port, "GET", "/" + name).status >= 400, f"page: no {name}")
    tap.equal(web.request(nginx.port, "HEAD", "/").status, 200, "page: HEAD")


def at_once(nginx, requests):
    """The answers to so many, all sent before one is read: connecting takes time, sending none."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port), web.TIMEOUT_S))
                 for _ in range(requests)]  # fmt: skip
        for peer in peers:
            peer.sendall(web.compose("POST", "/predict", b"x"))
        return [web.parse(web.read_all(peer)) for peer in peers]


def rate_limit():
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        nginx = service.Nginx(directory, {"RESNET_RATE_LIMIT": "2"})
        nginx.start()
        try:
            answers = at_once(nginx, 12)
        finally:
            nginx.stop()
        limited = [a for a in answers if a.status == 429]
        tap.ok(len(limited) >= 5, "RESNET_RATE_LIMIT=2: most of twelve at once are refused",
               [a.status for a in answers])  # fmt: skip
        check(limited[0], 429, "too_many_requests", "rate limit")
        tap.equal(limited[0].header("retry-after"), "1", "rate limit: Retry-After")


def access_log(directory):
    with open(os.path.join(directory, "access.log"), encoding="utf-8") as file:
        lines = [tap.json.loads(line) for line in file]
    tap.ok(len(lines) > 20, "every line of the access log is JSON")
    tap.ok(all(len(line["nginx_id"]) == 32 for line in lines), "and has nginx's own id")
    shed = [line for line in lines if "shed.sock" in line["upstream"]]
    tap.equal({line["attempts"] for line in shed}, {9}, "a POST without a backend: nine attempts")


def everything():
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        nginx = service.Nginx(directory, {"RESNET_MAX_BODY": "2k"})
        nginx.start()
        try:
            for test in (refused_by_nginx, allow, no_backend, request_ids, page):
                test(nginx)
        finally:
            code = nginx.stop()
        access_log(directory)
        tap.equal(code, 0, "nginx ends with 0")


tap.run(everything, rate_limit)
