#!/usr/bin/env python3
"""What is neither decoding a photograph nor computing costs at most 2 % of an fp32 request's
instructions, in whichever dialect it is asked for: from accept to send, reading, base64, JSON both
ways, probabilities, records and counting included.

Callgrind counts. It knows no AVX-512, so the network's instructions are those of the AVX2 engine,
and half of them are taken for AVX-512: a vector twice as wide saves no more than that. (Counted by
single steps, on the eighth of the network: 19.9 million of AVX-512's, 33.2 of AVX2's.)"""
# timeout: 1800

import base64
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import draw
import fcgi_client as fcgi
import service
import tap
import web
from worker import Worker

SECONDS = 600
MOST_PERCENT = 2
PHOTO = draw.jpeg(500, 375, comment_bytes=100_000)  # as many bytes as a photograph of that size has
B64 = base64.b64encode(PHOTO).decode()
INPUTS = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [B64]}]
JSON = "application/json"


def dialects():
    """name, body, path, Content-Type; infer without outputs is answered with all of them."""
    form, kind = web.multipart([("file", "a.jpg", None, PHOTO)])
    yield "a picture", PHOTO, "/predict", "image/jpeg"
    yield "a form", form, "/predict", kind
    yield "JSON", json.dumps({"image": B64}), "/predict", JSON
    yield "JSON with escapes", json.dumps({"image": B64}).replace("/", "\\/"), "/predict", JSON
    yield "TorchServe", PHOTO, "/predictions/resnet50", "image/jpeg"
    yield "TensorFlow Serving", json.dumps({"instances": [{"b64": B64}]}), "/v1/models/resnet50:predict", JSON
    yield INFER


INFER = "Open Inference Protocol", json.dumps({"inputs": INPUTS}), "/v2/models/resnet50/infer", JSON


def millions(n):
    return f"{n / 1e6:.2f} million instructions"


class Counts:
    """One dump of callgrind's: inclusive counts by function."""

    def __init__(self, path):
        command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", path]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
        self.lines = run.stdout
        self.all = self.number(r"PROGRAM TOTALS")

    def number(self, name):
        found = re.search(rf"^\s*([\d,]+) .*{name}", self.lines, re.MULTILINE)
        return int(found[1].replace(",", "")) if found else 0

    def of(self, function):
        return self.number(rf":{function} \[")


def count(model, requests):
    """{name: Counts} of requests, each from behind the answer before to its own."""
    directory = tempfile.mkdtemp(prefix="resnet-cg.")
    out = os.path.join(directory, "out")
    wrapper = ["valgrind", "-q", "--vgdb=no", "--tool=callgrind", f"--callgrind-out-file={out}",
               "--dump-after=fcgi_response_send"]  # fmt: skip
    try:
        worker = Worker(wrapper=wrapper, model=model, RESNET_ISA="avx2", RESNET_MAX_IMAGES=1,
                        RESNET_REQUEST_TIMEOUT=f"{SECONDS}s", RESNET_STALL_TIMEOUT=f"{SECONDS}s")  # fmt: skip
        with worker:
            worker.wait_ready(SECONDS)
            fcgi.exchange(worker.path, fcgi.request(b"no picture"), SECONDS)  # ends what starting cost
            for name, body, path, kind in requests:
                body = body.encode() if isinstance(body, str) else body
                wire = fcgi.request(body, DOCUMENT_URI=path, CONTENT_TYPE=kind)
                answer = fcgi.Answer(fcgi.exchange(worker.path, wire, SECONDS).wire)
                tap.equal(answer.status, 200, f"{name}: 200")
        dumps = sorted((int(p.rpartition(".")[2]), p) for p in glob.glob(out + ".*"))
        return {request[0]: Counts(path) for request, (_, path) in zip(requests, dumps[1:])}
    finally:
        shutil.rmtree(directory)


def cost():
    whole = count(service.model("1"), [INFER])[INFER[0]]
    network, pictures = whole.of("kn_run"), whole.of("fcgi_classify_images")
    tap.ok(0 < network < pictures < whole.all, "callgrind saw the network", (network, pictures, whole.all))
    request = pictures - network + network / 2
    tap.note(f"a request: {millions(request)}, {millions(network)} of the network by AVX2")
    requests = list(dialects())[:-1]  # the last has been counted with all its features
    found = {**count(service.small_model(), requests), INFER[0]: whole}
    for name, counts in found.items():
        beside = counts.all - counts.of("fcgi_classify_images")
        percent = 100 * beside / (request + beside)
        text = f"{name}: {MOST_PERCENT} % at most are neither pictures nor network"
        tap.ok(0 < percent <= MOST_PERCENT, text, f"{percent:.2f} %")
        tap.note(f"{name}: {millions(beside)}, {percent:.2f} %")


def main():
    if tap.T < 60:
        tap.skip_all("callgrind takes its time: make check-full")
    if not shutil.which("valgrind"):
        tap.skip_all("valgrind is not installed")
    if service.SANITIZED:
        tap.skip_all("a sanitizer's instructions are not ours")
    with open("/proc/cpuinfo", encoding="ascii") as file:
        if not re.search(r"\bavx2\b", file.read()):
            tap.skip_all("this machine has no AVX2")
    tap.run(cost)


sys.exit(main())
