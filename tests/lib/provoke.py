"""provoke.py: how to get each answer that the API's description lists, code by code.

A code belongs to a scene, a service in some state; within one, `ask(service, code, operation)` sends
what makes the server say it at that operation.
"""

import base64
import concurrent.futures
import contextlib
import json
import signal
import threading

import draw
import png
import web
from service import Service, until

PICTURE = draw.jpeg()
# A single pixel, lossless.
WEBP = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
PICTURES = {"image/jpeg": PICTURE, "image/png": png.image(png.drawing(8, 8, 8, png.RGB), 8, png.RGB), "image/webp": WEBP,
            "application/octet-stream": PICTURE}  # fmt: skip
LONG = "a" * 9000
SLEEP = "sleep=100000"  # longer than any scene
MANY = 17  # one more than RESNET_MAX_IMAGES


class Operation:
    def __init__(self, method, path, internal=False):
        self.method, self.path, self.internal = method, path, internal

    def ask(self, running, body=None, headers=None, path=None, method=None):
        port = running.inside if self.internal else running.port
        return web.request(port, method or self.method, path or self.path, body, headers)


# ---- bodies, by path -----------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


def text(picture):
    return base64.b64encode(picture).decode()


def as_json(value):
    return json.dumps(value).encode(), JSON


def raw(*pictures):
    """One as it is, several in a form."""
    if len(pictures) == 1:
        return pictures[0], {"Content-Type": "image/jpeg"}
    body, kind = web.multipart([("file", f"{i}.jpg", "image/jpeg", p) for i, p in enumerate(pictures)])
    return body, {"Content-Type": kind}


def instances(*pictures):
    return as_json({"instances": [{"b64": text(picture)} for picture in pictures]})


def tensors(*pictures):
    data = [text(picture) for picture in pictures]
    image = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return as_json({"inputs": [image], "outputs": [{"name": "classification"}]})


def nothing(*_):
    """POST that only asks."""
    return as_json({})


def wrap_of(path):
    if path.startswith("/v2/"):
        return tensors if path.endswith("/infer") else nothing
    return instances if path.endswith(":predict") else raw


def wrap(operation, *pictures):
    posts = operation.method in ("POST", "PUT")
    return wrap_of(operation.path)(*pictures) if posts else (None, {})


# ---- what is wrong with a request ----------------------------------------------------------------


def posting(*pictures, **headers):
    def ask(running, operation):
        body, more = wrap(operation, *pictures)
        sent = {**more, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return operation.ask(running, body, sent)

    return ask


def raw_head(*lines):
    """A request that nginx itself refuses; no body follows."""

    def ask(running, operation):
        top = [f"{operation.method} {operation.path} HTTP/1.1", "Host: x", "Connection: close", *lines]
        port = running.inside if operation.internal else running.port
        return web.exchange(port, "\r\n".join(top).encode() + b"\r\n\r\n")

    return ask


def sending(body, headers=None, query=""):
    return lambda running, o: o.ask(running, body, headers or JSON, path=o.path + query)


def tensor(shape, data):
    """An FP32 tensor, behind the JSON."""
    parameters = {"binary_data_size": len(data)}
    head = {"name": "input", "datatype": "FP32", "shape": shape, "parameters": parameters}
    top = json.dumps({"inputs": [head]}).encode()
    return top + data, {"Inference-Header-Content-Length": str(len(top))}


NO_BOUNDARY = {"Content-Type": "multipart/form-data"}
UNKNOWN_OUTPUT = b'{"inputs":[],"outputs":[{"name":"mood"}]}'
NOT_BASE64 = {
    raw: as_json({"image": "%%%%"}),
    instances: as_json({"instances": [{"b64": "%%%%"}]}),
    tensors: as_json({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%%%%"]}]}),
}
NAN = bytes.fromhex("0000c07f")


def bad_request(running, operation):
    bodies = {raw: (PICTURE, {}), instances: as_json({"instances": []}), tensors: (UNKNOWN_OUTPUT, JSON)}
    wrapped = wrap_of(operation.path)
    return operation.ask(running, *bodies[wrapped], path=operation.path + "?top_k=x" * (wrapped == raw))


# How to ask for a code, where an operation lists it.
PLAIN = {
    "bad_request": bad_request,
    "bad_multipart": sending(PICTURE, NO_BOUNDARY),
    "bad_json": sending(b'{"image":'),
    "bad_base64": lambda s, o: o.ask(s, *NOT_BASE64[wrap_of(o.path)]),
    "tensor_shape_mismatch": lambda s, o: o.ask(s, *tensor([1, 3, 224, 224], bytes(4))),
    "tensor_not_finite": lambda s, o: o.ask(s, *tensor([1, 3, 224, 224], NAN * (3 * 224 * 224))),
    "body_too_large": posting(draw.jpeg(comment_bytes=1_500_000)),
    "image_too_large": posting(draw.header_only(65500, 65500)),
    "too_many_images": posting(*[draw.jpeg(8, 8)] * MANY),
    "unsupported_media_type": posting(b"hello, no picture"),
    "image_undecodable": posting(PICTURE[:-300]),
    "deadline_exceeded": posting(PICTURE, X_Request_Timeout_Ms="0"),
    "not_found": lambda s, o: o.ask(s, path=o.path.rstrip("/") + "/nothing", method="GET"),
    "method_not_allowed": lambda s, o: o.ask(s, method="DELETE"),
    "uri_too_long": lambda s, o: o.ask(s, path=f"{o.path}?{LONG}"),
    "headers_too_large": raw_head(f"X: {LONG}"),
    "not_implemented": raw_head("Transfer-Encoding: gzip"),
}


def harmed(running, operation):
    body, headers = wrap(operation, PICTURE)
    return operation.ask(running, body, {**headers, "X-Request-ID": "poison-" + "0" * 8})


def quarantined(running, operation):
    """Two requests that kill; the second's second try may be refused already."""
    for _ in range(2):
        harmed(running, operation)
    refused = [None]

    def is_refused():
        refused[0] = plainly(running, operation)
        return refused[0].status == 422

    until(is_refused, 60, "the quarantine")
    return refused[0]


def plainly(running, operation):
    body, headers = wrap(operation, PICTURE)
    return operation.ask(running, body, headers)


def again_and_again(running, operation):
    """All at once: one after the other they may be slower than the limit."""
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: plainly(running, operation), range(12)))
    return next((answer for answer in answers if answer.status == 429), answers[-1])


# ---- scenes --------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(running, n):
    """n clients whose requests stay in the worker and in the queue, as far as there is room; one
    that finds none asks again. Afterwards the service is stopped, not drained: nobody waits."""
    over = threading.Event()

    def insist():
        while not over.is_set():
            with contextlib.suppress(web.Broken):
                running.post(PICTURE, {"X-Request-ID": "slow-" + "0" * 8})

    threads = [threading.Thread(target=insist) for _ in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        running.spawn.send_signal(signal.SIGINT)
        for thread in threads:
            thread.join()


def is_full(running):
    """The kernel takes one more than the backlog."""
    return running.status()["queue"]["depth"] >= 2


@contextlib.contextmanager
def plain():
    with Service(workers=2, RESNET_MAX_BODY="1m") as running:
        yield running


@contextlib.contextmanager
def limited():
    with Service(workers=1, RESNET_RATE_LIMIT=2) as running:
        yield running


@contextlib.contextmanager
def harmful():
    with Service(workers=2, faults="segv@decode~poison", RESNET_QUARANTINE="0") as running:
        yield running


@contextlib.contextmanager
def poisoned():
    with Service(workers=2, faults="segv@decode~poison") as running:
        yield running


@contextlib.contextmanager
def overloaded():
    """One worker that sleeps, and a full queue: the next finds no place."""
    with Service(workers=1, faults=f"{SLEEP}@decode~slow", RESNET_BACKLOG=1) as running:
        with held(running, 4):
            until(lambda: running.busy() and is_full(running), 60, "a full queue")
            yield running


@contextlib.contextmanager
def draining():
    with Service(workers=1, faults=f"{SLEEP}@decode~slow") as running:
        with held(running, 1):
            until(running.busy, 60, "a busy worker")
            running.spawn.send_signal(signal.SIGTERM)
            until(lambda: running.get("/health/ready").code() == "draining", 60, "the drain")
            yield running


@contextlib.contextmanager
def starting():
    """The workers load for long, and what fits into the queue is there already."""
    with Service(workers=1, cold=True, faults=f"{SLEEP}@load", RESNET_BACKLOG=1) as running:
        running.start_spawn()
        running.until_listening()
        until(lambda: running.get("/health/ready").code() == "starting", 60, "the start")
        with held(running, 4):
            until(lambda: is_full(running), 60, "a full queue")
            yield running


@contextlib.contextmanager
def deserted():
    with Service(workers=1, cold=True) as running:
        try:
            yield running
        finally:
            running.start_spawn()
            running.wait_ready()


def normal(running, code, operation):
    return PLAIN[code](running, operation)


# scene -> (how to be in it, the codes that it is for (None: all others), how to ask)
SCENES = {
    "plain": (plain, None, normal),
    "limited": (limited, {"too_many_requests"}, lambda s, c, o: again_and_again(s, o)),
    "harmful": (harmful, {"worker_failed"}, lambda s, c, o: harmed(s, o)),
    "poisoned": (poisoned, {"input_quarantined"}, lambda s, c, o: quarantined(s, o)),
    "overloaded": (overloaded, {"overloaded"}, lambda s, c, o: plainly(s, o)),
    "draining": (draining, {"draining"}, lambda s, c, o: plainly(s, o)),
    "starting": (starting, {"starting"}, lambda s, c, o: plainly(s, o)),
    "deserted": (deserted, {"unavailable"}, lambda s, c, o: plainly(s, o)),
}


def scene_of(code):
    for name, (_, codes, _) in SCENES.items():
        if codes and code in codes:
            return name
    return "plain"


# ---- what goes well ------------------------------------------------------------------------------


def success(running, operation, kind, name):
    """The 200 of this media type and example."""
    body, headers = wrap(operation, *[PICTURE, draw.jpeg(seed=2)][: 2 if name == "several" else 1])
    if name == "inputs":
        body, headers = as_json({"inputs": {"b64": text(PICTURE)}})
    elif name in ("classification", "probabilities"):
        asked = json.loads(body)
        asked.update({"id": "42"} if name == "classification" else {}, outputs=[{"name": name}])
        body, headers = as_json(asked)
    elif kind == "application/octet-stream":
        body, headers = as_json({**json.loads(body), "parameters": {"binary_data_output": True}})
    return operation.ask(running, body, headers)


def typed(operation, kind):
    """A body of this media type, and its headers."""
    if kind == "multipart/form-data":
        names = ("file", "image") if operation.path == "/predict" else ("data",)
        parts = [(name, f"{name}.jpg", None, PICTURE) for name in names]
        body, kind = web.multipart(parts + [("top_k", None, None, b"2")] * (len(names) > 1))
        return body, {"Content-Type": kind}
    if wrap_of(operation.path) == tensors:
        body, headers = tensor([1, 3, 224, 224], bytes(4 * 3 * 224 * 224))
        return body, {**headers, "Content-Type": kind}
    return PICTURES[kind], {"Content-Type": kind}
