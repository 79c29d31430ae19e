#!/usr/bin/env python3
"""Headers that every answer has, whoever gives it; HEAD where GET is; other origins; traceparent."""

import contextlib
import re

import draw
import tap
import web
from service import Service, until

PICTURE = draw.jpeg()
STAGES = ["queue", "read", "decode", "resize", "infer", "write"]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
READABLE = ["/", "/page/main.js", "/health", "/health/live", "/health/ready", "/health/startup",
            "/status"]  # fmt: skip
MINE = "https://app.example.org"


def kinds(service):
    """Every kind of answer: (who gives it, answer)."""
    return {
        "worker, 200": service.post(PICTURE),
        "worker, 415": service.post(b"no picture"),
        "worker, 400": service.post(PICTURE, path="/predict?top_k=x"),
        "worker, 504": service.post(PICTURE, {"X-Request-Timeout-Ms": "0"}),
        "control, 200": service.get("/health"),
        "control, 404": service.get("/nope"),
        "control, 405": service.get("/predict"),
        "nginx, page": service.get("/"),
        "nginx, 405": service.post(b"x", path="/"),
        "nginx, 413": service.post(b"x" * 70_000),
    }


def on_all(service):
    for name, answer in kinds(service).items():
        ids = [value for key, value in answer.headers if key == "x-request-id"]
        tap.ok(len(ids) == 1 and re.fullmatch("[0-9a-f]{32}", ids[0]), f"{name}: X-Request-ID", ids)
        ours = not name.startswith("nginx")
        served = answer.header("x-served-by") or ""
        form = r"[\w.-]+/\d+\.\d+" if name.startswith("worker") else r"[\w.-]+/control"
        tap.ok(bool(re.fullmatch(form, served)) == ours, f"{name}: X-Served-By", served)
        model = answer.header("x-model") or ""
        tap.ok(bool(re.fullmatch("[0-9a-f]{12}", model)) == ours, f"{name}: X-Model", model)
        timing = re.findall(r"([a-z]+);dur=\d+\.\d{3}", answer.header("server-timing") or "")
        tap.equal(timing, STAGES if name == "worker, 200" else [], f"{name}: Server-Timing")
        tap.equal(bool(answer.header("allow")), answer.status == 405, f"{name}: Allow")
        tap.equal(answer.header("retry-after"), None, f"{name}: nothing to retry")
        tap.equal(answer.header("access-control-allow-origin"), None, f"{name}: no CORS")


def timings(service):
    answer = service.post(PICTURE)
    times = dict(re.findall(r"([a-z]+);dur=([0-9.]+)", answer.header("server-timing")))
    line = until(lambda: [r for r in service.logged("request")
                          if r["request_id"] == answer.header("x-request-id")], 60, "its line")[0]
    for stage in STAGES:
        tap.equal(times[stage], line[f"{stage}_ms"], f"Server-Timing: {stage} as in the log")


def head(service):
    for path in READABLE:
        get, bare = service.get(path), service.get(path, method="HEAD")
        tap.equal((get.status, bare.status, bare.body), (200, 200, b""), f"HEAD {path}")
        same = ("content-type", "cache-control", "x-served-by", "x-model")
        tap.equal([bare.header(k) for k in same], [get.header(k) for k in same], f"HEAD {path}: as GET")
        if not path.startswith("/health") and path != "/status":
            tap.equal(bare.header("content-length"), get.header("content-length"), f"HEAD {path}: length")
    for path in READABLE:
        answer = service.post(b"", path=path)
        tap.equal((answer.status, answer.header("allow")), (405, "GET, HEAD"), f"POST {path}: Allow")


def traces(service):
    def logged(event, trace):
        answer = {
            "request": lambda: service.post(PICTURE, {"traceparent": trace}),
            "answer": lambda: service.get("/status", {"traceparent": trace}),
        }[event]()
        request_id = answer.header("x-request-id")
        found = until(lambda: [line for line in service.logged(event)
                               if line["request_id"] == request_id], 60, "its line")  # fmt: skip
        return found[0].get("traceparent")

    for event in ("request", "answer"):
        tap.equal(logged(event, TRACE), TRACE, f"{event}: traceparent is in its line")
        tap.equal(logged(event, TRACE.upper()), None, f"{event}: a malformed one is not")
        tap.equal(logged(event, "00-" + "0" * 32 + TRACE[35:]), None, f"{event}: nor one of zeros")
        later = "7a" + TRACE[2:] + "-more"
        tap.equal(logged(event, later), TRACE.replace("00", "7a", 1), f"{event}: a later version's")
    seen = lambda: [line["traceparent"] for line in service.access()]  # noqa: E731
    with contextlib.suppress(TimeoutError):
        until(lambda: seen().count(TRACE) >= 2, 60, "nginx's lines")
    tap.ok(seen().count(TRACE) == 2, "and nginx's log has them", seen()[-8:])


def without():
    with Service(workers=1, RESNET_MAX_BODY="64k", RESNET_LOG_LEVEL="debug") as service:
        for test in (on_all, timings, head, traces):
            test(service)
        answer = service.get("/predict", ask_first("POST", MINE), method="OPTIONS")
        tap.equal((answer.status, cors(answer)), (405, {}), "no CORS: a preflight is refused")


# ---- other origins -------------------------------------------------------------------------------


def ask_first(method, origin):
    return {"Origin": origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type,x-request-id"}  # fmt: skip


def cors(answer):
    """{header without its prefix: value}"""
    prefix = "access-control-"
    return {k[len(prefix):]: v for k, v in answer.headers if k.startswith(prefix)}


def allowed(service, origin, expected):
    answers = {
        "200": service.post(PICTURE, {"Origin": origin}),
        "415": service.post(b"?", {"Origin": origin}),
        "health": service.get("/health", {"Origin": origin}),
        "nginx's 413": service.post(b"x" * 70_000, {"Origin": origin}),
    }
    for name, answer in answers.items():
        found = cors(answer)
        tap.equal(found.get("allow-origin"), expected, f"{origin}: {name}: Access-Control-Allow-Origin")
        exposed = set((found.get("expose-headers") or "").split(", "))
        wanted = {"X-Request-ID", "X-Served-By", "X-Model", "Server-Timing", "Retry-After"}
        tap.equal(wanted <= exposed, expected is not None, f"{origin}: {name}: headers to be read")
        tap.equal(answer.header("vary"), "Origin", f"{origin}: {name}: Vary")
        tap.equal([k for k, _ in answer.headers].count("x-request-id"), 1, f"{origin}: {name}: one id")


def asked_first(service, origin):
    for path in ("/predict", "/status"):
        answer = service.get(path, ask_first("POST", origin), method="OPTIONS")
        found = cors(answer)
        tap.equal((answer.status, answer.body), (204, b""), f"{origin}: OPTIONS {path}")
        tap.equal(found.get("allow-methods"), "GET, HEAD, POST, PUT", f"{origin}: OPTIONS {path}: methods")
        for name in ("Content-Type", "X-Request-ID", "X-Request-Timeout-Ms", "traceparent"):
            tap.ok(name in found.get("allow-headers", "").split(", "), f"OPTIONS {path}: {name}", found)
        tap.ok(int(found.get("max-age", 0)) > 0, f"OPTIONS {path}: may be kept")
        tap.ok("allow-credentials" not in found, f"OPTIONS {path}: no credentials")
        tap.ok(answer.header("x-request-id"), f"OPTIONS {path}: X-Request-ID")
    asked = lambda: [x for x in service.access() if x["request"].startswith("OPTIONS")]  # noqa: E731
    until(lambda: len(asked()) >= 2, 60, "nginx's lines")
    tap.equal({line["attempts"] for line in asked()}, {0}, "nginx answers by itself")


def listed():
    origins = f"{MINE} http://localhost:3000"
    with Service(workers=1, RESNET_MAX_BODY="64k", NGINX_CORS_ORIGIN=origins) as service:
        for origin in origins.split():
            allowed(service, origin, origin)
            asked_first(service, origin)
        for origin in ("https://evil.example", "null", MINE + ".evil.example", MINE + ":444"):
            allowed(service, origin, None)
            answer = service.get("/predict", ask_first("POST", origin), method="OPTIONS")
            tap.equal((answer.status, cors(answer)), (405, {}), f"{origin}: its preflight is refused")
        answer = service.get("/predict", {"Origin": MINE}, method="OPTIONS")
        tap.equal((answer.status, answer.header("allow")), (405, "POST"), "OPTIONS that asks for nothing")
        tap.equal(cors(service.get("/health")), {}, "without Origin: as ever")


def everybody():
    with Service(workers=1, RESNET_MAX_BODY="64k", NGINX_CORS_ORIGIN="*") as service:
        allowed(service, "https://anybody.example", "*")
        asked_first(service, "https://anybody.example")


tap.run(without, listed, everybody)
