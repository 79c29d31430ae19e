#!/usr/bin/env python3
"""A worker whose memory runs out, at each allocation of each kind of request in turn: the client
gets its 200, a whole error that says so, or a connection that ends before the first byte, for which
the web server asks another worker. The next request is served."""
# timeout: 300

import base64
import io
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import png
import provoke
import service
import tap
from scarce import FOR_EVER, Scarce
from worker import Worker

LONG = tap.T >= 60
PHOTO, BASE64 = draw.jpeg(), base64.b64encode(draw.jpeg()).decode()
LARGE = draw.jpeg(width=1600, height=1200, seed=4)
FORM = b"".join(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + p +
                b"\r\n" for p in (PHOTO, PHOTO)) + b"--x--\r\n"  # fmt: skip
OIP = "/v2/models/resnet50/infer"
ALL_OUTPUTS = [{"name": name} for name in ("logits", "features", "probabilities", "classification")]

# libfcgi ends the process when it gets nothing, libwebp reads what it did not get: the worker asks
# whether there is enough before it calls them, which is_enough_before() tries with a real limit.
SPARED = ("libfcgi", "libwebp", "libwebpdemux")


def picture(bytes_, **params):
    return fcgi.request(bytes_, **params)


def json_(value, path="/predict", query=""):
    return fcgi.request(tap.compact(value).encode(), CONTENT_TYPE="application/json",
                        DOCUMENT_URI=path, QUERY_STRING=query)  # fmt: skip


def oip(data, datatype, shape, outputs):
    name = "image" if datatype == "BYTES" else "input"
    tensor = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return json_({"inputs": [tensor], "outputs": outputs}, OIP)


KINDS = {
    "JPEG": picture(PHOTO),
    "progressive JPEG": picture(draw.jpeg(progressive=True, seed=2)),
    "large JPEG": picture(LARGE),
    "PNG": picture(png.image(png.drawing(40, 30, 8, png.RGB), 8, png.RGB)),
    "interlaced PNG with alpha": picture(
        png.image(png.drawing(40, 30, 16, png.RGBA), 16, png.RGBA, interlaced=True)
    ),
    "WebP": picture(provoke.WEBP),
    "JSON, all classes": json_({"image": BASE64, "top_k": 1000}),
    "JSON, two": json_({"images": [BASE64, BASE64]}),
    "form, two": picture(FORM, CONTENT_TYPE="multipart/form-data; boundary=x"),
    "TorchServe": picture(PHOTO, DOCUMENT_URI="/predictions/resnet50"),
    "TensorFlow Serving": json_({"instances": [{"b64": BASE64}]}, "/v1/models/resnet50:predict"),
    "OIP, picture": oip([BASE64], "BYTES", [1], ALL_OUTPUTS),
    "OIP, tensor": oip([0.5] * (3 * 224 * 224), "FP32", [1, 3, 224, 224], ALL_OUTPUTS[:1]),
    "health": picture(b"", DOCUMENT_URI="/health", REQUEST_METHOD="GET"),
    "no picture": picture(b"no picture"),
}


def told(answer):
    """What a client is told, without what differs from request to request."""
    value = answer.json
    if isinstance(value, dict):
        value.pop("request_id", None)
        value.pop("id", None)
    return answer.status, value


def ask(worker, wire):
    """What the client is told; None: the connection ended before the first byte of an answer."""
    try:
        return told(worker.exchange(wire))
    except fcgi.Broken as broken:
        if broken.got:
            raise
    except BrokenPipeError:  # before all of the body was taken
        pass
    return None


def is_honest(found, good):
    if found is None or found == good:
        return True
    status, value = found
    return status in (413, 500) and value["success"] is False and "memory" in value["error"]


class Sweep:
    """Every n of one kind of request, in one worker."""

    def __init__(self, name, wire, **environment):
        self.name, self.wire, self.environment = name, wire, environment
        self.wrong, self.tries, self.failures = [], 0, 0

    def attempt(self, worker, memory, good, n, how_many):
        memory.fail(n, how_many)
        found = ask(worker, self.wire)
        failed = memory.failed
        memory.enough()
        if not is_honest(found, good):
            self.wrong.append((n, how_many, found))
        again = ask(worker, self.wire)
        if again != good:
            self.wrong.append((n, how_many, "then", again))
        self.tries += 1
        self.failures += found != good
        return failed

    def run(self):
        with Scarce("resnet-fcgi", SPARED) as memory:
            with Worker(**memory.environment, **self.environment) as worker:
                worker.wait_ready()
                good = ask(worker, self.wire)
                for how_many in (1, FOR_EVER):
                    n = 1
                    while not self.wrong and self.attempt(worker, memory, good, n, how_many):
                        n += 1
        tap.ok(not self.wrong and self.failures > 0,
               f"{self.name}: {self.tries} tries, {self.failures} without enough memory",
               self.wrong)  # fmt: skip


def every_allocation_of_every_kind():
    for name, wire in KINDS.items():
        Sweep(name, wire).run()
    Sweep("large JPEG, decoded fast", KINDS["large JPEG"], RESNET_DECODE="fast").run()


def a_first_request():
    """Buffers are as small as they will ever be."""
    name = "JSON, all classes"
    with Scarce("resnet-fcgi", SPARED) as memory:
        wrong, n, good, failed = [], 0, None, 1
        while failed and not wrong:
            with Worker(**memory.environment) as worker:
                worker.wait_ready()
                memory.fail(n, FOR_EVER)
                found = ask(worker, KINDS[name])
                failed = memory.failed or n == 0
                good = good or found
                if not is_honest(found, good):
                    wrong.append((n, found))
                memory.enough()
            n += 1
        tap.ok(not wrong and n > 5, f"a worker's first request: {n} tries", wrong)


def data_kib(worker):
    """What RLIMIT_DATA looks at: private writable pages."""
    with open(f"/proc/{worker.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize() // 1024


def large_ones():
    """Pictures that take megabytes to decode."""
    pixels = png.drawing(900, 700, 8, png.RGBA)
    kinds = {
        "large progressive JPEG": picture(draw.jpeg(1600, 1200, progressive=True, seed=5)),
        "large interlaced PNG": picture(png.image(pixels, 8, png.RGBA, interlaced=True)),
    }
    try:
        from PIL import Image  # only it can draw a large WebP
    except ImportError:
        tap.skip("large WebP", "Pillow (python3-pil) is not here to draw with")
        return kinds
    for lossless in (False, True):
        image, file = Image.effect_noise((900, 700), 60).convert("RGB"), io.BytesIO()
        image.save(file, "WEBP", lossless=lossless)
        kinds[f"large {'lossless' if lossless else 'lossy'} WebP"] = picture(file.getvalue())
    return kinds


def is_enough_before():
    """No allocation is made to fail here: the process may have so many KiB more, and no more."""
    if service.SANITIZED:
        return tap.skip("real limits", "a sanitizer's own memory counts, and it ends the process")
    step = 64 if LONG else 512
    for name, wire in {**large_ones(), "JPEG": KINDS["JPEG"]}.items():
        wrong, refused, more, enough = [], 0, 0, 0
        with Worker(RESNET_SANDBOX="off") as worker:
            worker.wait_ready()
            good = ask(worker, wire)
            _, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_DATA)
            while enough < 2 and not wrong and more < 1 << 16:
                limit = (data_kib(worker) + more) * 1024
                resource.prlimit(worker.process.pid, resource.RLIMIT_DATA, (limit, hard))
                found = ask(worker, wire)
                resource.prlimit(worker.process.pid, resource.RLIMIT_DATA, (hard, hard))
                again = ask(worker, wire)
                if not is_honest(found, good) or again != good:
                    wrong.append((more, found, again))
                refused += found != good
                enough += found == good
                more += step
        tap.ok(not wrong and refused, f"{name}: enough with {more} KiB, {refused} refusals before",
               wrong)  # fmt: skip
    return None


def can_fail():
    good = (200, {"predictions": [1]})
    lie = (200, {"predictions": [2]})
    excuse = (422, {"success": False, "error": "this is no picture"})
    tap.equal([is_honest(x, good) for x in (good, lie, excuse)], [True, False, False], "can fail")


tap.run(can_fail, every_allocation_of_every_kind, a_first_request, is_enough_before)
