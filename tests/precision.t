#!/usr/bin/env python3
"""Precisions: what the model file has can be asked for, by default or for one request; the answer
says what it was computed in; what is not there is refused in a sentence that helps; and what nobody
asks for costs nothing."""
# timeout: 180

import base64
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import service
import tap
from service import Service
from worker import Worker

PHOTO = draw.jpeg()
ALL = "fp32,bf16,int8"


def pack(path, precisions):
    command = [service.program("resnet-pack"), "random", "--seed", "1", "--width", "1/8"]
    command += ["--precision", precisions, "-o", path]
    subprocess.run(command, check=True, env=service.clean_environment(), timeout=600)
    return path


def sections(path):
    """{layout: (offset, bytes)}"""
    command = [service.program("resnet-pack"), "info", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    rows = re.findall(r"^section +(\S+) .*, (\d+) bytes at (\d+)", text, re.M)
    return {layout: (int(offset), int(n)) for layout, n, offset in rows}


def ask(worker, precision=None, body=PHOTO, **params):
    if precision is not None:
        params["QUERY_STRING"] = f"precision={precision}"
    return worker.predict(body, **params)


def top(answer):
    return [p["class_id"] for p in answer.json["predictions"]]


def form(precision):
    parts = [("file", PHOTO), ("precision", precision.encode())]
    body = b"".join(
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    )
    return body + b"--B--\r\n", {"CONTENT_TYPE": "multipart/form-data; boundary=B"}


def one_request_or_all(directory):
    model = pack(f"{directory}/all.rnm", ALL)
    answers = {}
    with Worker(model=model) as worker:
        usual = ask(worker)
        tap.equal(usual.headers["X-Precision"], "fp32", "the default is fp32")
        for precision in ALL.split(","):
            answers[precision] = answer = ask(worker, precision)
            tap.equal((answer.status, answer.headers.get("X-Precision")), (200, precision),
                      f"?precision={precision}")  # fmt: skip
            line = worker.request_line(answer.headers["X-Request-ID"])
            tap.ok(f" precision={precision}" in line, "and so says the log", line)
        bf16 = answers["bf16"]
        tap.equal(usual.json["predictions"], answers["fp32"].json["predictions"], "fp32 is the default")
        tap.equal(top(bf16)[0], top(usual)[0], "bf16: the same class")
        tap.ok(bf16.json["predictions"] != usual.json["predictions"], "other numbers")
        body, kind = form("bf16")
        tap.equal(ask(worker, body=body, **kind).json["predictions"], bf16.json["predictions"],
                  "a form's field says it too")  # fmt: skip
        body = json.dumps({"image": base64.b64encode(PHOTO).decode(), "precision": "bf16"}).encode()
        answer = ask(worker, body=body, CONTENT_TYPE="application/json")
        tap.equal((answer.headers["X-Precision"], answer.json["predictions"]),
                  ("bf16", bf16.json["predictions"]), "and JSON")  # fmt: skip
        tap.equal(ask(worker).headers["X-Precision"], "fp32", "for one request only")
        for wrong in ("fp16", "", "bf16x", "%62f16"):
            answer = ask(worker, wrong)
            tap.equal((answer.status, answer.json["code"]), (400, "bad_request"), f"{wrong!r}: refused")
            tap.ok("(fp32, bf16, int8)" in answer.json["error"], "with what is there", answer.json["error"])
            tap.ok("X-Precision" not in answer.headers, "computed in nothing", answer.headers)
    with Worker(model=model, RESNET_PRECISION="bf16") as worker:
        answer = ask(worker)
        tap.equal(answer.headers["X-Precision"], "bf16", "RESNET_PRECISION=bf16")
        tap.equal(answer.json["predictions"], bf16.json["predictions"], "the same numbers")
        tap.equal(ask(worker, "fp32").json["predictions"], usual.json["predictions"], "fp32 on demand")


def classify(model, digest, *files, **more):
    command = [service.program("resnet-classify"), "-m", model, "--verify", digest, *files]
    return subprocess.run(command, env=service.clean_environment(**more), capture_output=True,
                          text=True, timeout=300)  # fmt: skip


def exact(directory):
    """int8 is the same bits everywhere: any engine can check what another has answered."""
    model, other = f"{directory}/all.rnm", draw.jpeg(seed=7)
    names = [f"{directory}/{name}.jpg" for name in ("photo", "other")]
    for name, data in zip(names, (PHOTO, other)):
        with open(name, "wb") as file:
            file.write(data)
    parts = b"".join(b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + data + b"\r\n"
                     for data in (PHOTO, other))  # fmt: skip
    with Worker(model=model) as worker:
        one = ask(worker, "int8").headers
        both = ask(worker, "int8", body=parts + b"--B--\r\n",
                   CONTENT_TYPE="multipart/form-data; boundary=B").headers  # fmt: skip
        tap.ok("X-Result-Digest" not in ask(worker, "bf16").headers, "bf16 has no digest")
    digest = one["X-Result-Digest"]
    tap.ok(re.fullmatch("[0-9a-f]{64}", digest), "int8 has one", one)
    for isa in ("avx512vnni", "avx2", "blas", "ref"):
        done = classify(model, digest, names[0], RESNET_ISA=isa)
        if done.returncode == 78 and "the choices on this machine" in done.stderr:
            tap.skip(f"{isa}: the same", "this machine has no such instructions")
            continue
        tap.equal(done.returncode, 0, f"{isa}: --verify finds the same logits")
        done = classify(model, digest, names[1], RESNET_ISA=isa)
        tap.ok(done.returncode == 1 and "are not those of" in done.stderr, "not another's", done.stderr)
    tap.equal(classify(model, both["X-Result-Digest"], *names).returncode, 0, "two pictures")
    tap.equal(classify(model, both["X-Result-Digest"], *names[::-1]).returncode, 1, "not turned round")
    tap.equal(classify(model, "0x12", names[0]).returncode, 64, "no digest at all: 64")
    tap.equal(classify(f"{directory}/bf16.rnm", digest, names[0]).returncode, 78, "no int8 there: 78")


def what_is_not_there(directory):
    model = pack(f"{directory}/bf16.rnm", "bf16")
    worker = [service.program("resnet-fcgi"), "--model", model, "-t"]
    found = subprocess.run(worker, env=service.clean_environment(), capture_output=True, text=True,
                           timeout=300)  # fmt: skip
    tap.equal(found.returncode, 78, "fp32 of a file without: 78")
    for words in ("only bf16.n32 (bf16)", "pack --precision fp32", "choose another precision"):
        tap.ok(words in found.stderr, words, found.stderr)
    with Worker(model=model, RESNET_PRECISION="bf16") as worker:
        answer = ask(worker, "fp32")
        tap.equal(answer.status, 400, "asked for: 400")
        tap.ok("(bf16)" in answer.json["error"], "with what is there", answer.json["error"])


def mapped_bytes(worker, model):
    """Of the model file, what the worker has touched."""
    with open(f"/proc/{worker.process.pid}/smaps", encoding="ascii") as smaps:
        text = smaps.read()
    rows = re.findall(rf"{re.escape(model)}\n(?:.*\n)*?Rss: +(\d+) kB", text)
    return sum(int(kib) << 10 for kib in rows)


def unasked_costs_nothing(directory):
    model = f"{directory}/all.rnm"
    size = sections(model)
    slack = 256 << 10  # the kernel maps a few pages around each that is touched
    with Worker(model=model) as worker:
        ask(worker)
        before = mapped_bytes(worker, model)
        ask(worker, "bf16")
        after = mapped_bytes(worker, model)
    one = max(size["f32.plain"][1], size["f32.n16"][1]) + size["f32.plain"][0] + slack
    tap.ok(0 < before <= one, "one section is touched", (before, one))
    grown, bf16 = after - before, size["bf16.n32"][1]
    tap.ok(bf16 - slack <= grown <= bf16 + slack, "bf16 with its first use", (grown, bf16))


def damaged(directory):
    path = f"{directory}/damaged.rnm"
    with open(f"{directory}/all.rnm", "rb") as file:
        data = bytearray(file.read())
    offset, n = sections(f"{directory}/all.rnm")["bf16.n32"]
    data[offset + n // 2] ^= 1
    with open(path, "wb") as file:
        file.write(data)
    with Worker(model=path) as worker:
        tap.equal(ask(worker).status, 200, "one bit of bf16 flipped: fp32 is served")
        for _ in range(2):
            answer = ask(worker, "bf16")
            tap.equal((answer.status, answer.json["code"]), (500, "worker_failed"), "bf16 is not")
            tap.ok("precision bf16" in answer.json["error"] and directory not in answer.json["error"],
                   "says so, without a path", answer.json["error"])  # fmt: skip
        said = worker.events("precision_refuted")
        tap.ok(len(said) == 1 and "CRC-32C" in said[0], "the log says why, once", said)
        tap.equal(ask(worker).status, 200, "fp32 is served still")
    worker = [service.program("resnet-fcgi"), "--model", path, "-t", "--precision", "bf16"]
    found = subprocess.run(worker, env=service.clean_environment(), capture_output=True, timeout=300)
    tap.equal(found.returncode, 78, "as the default: 78")


def counted(directory):
    with Service(model=f"{directory}/all.rnm", workers=1) as there:
        for precision, times in (("fp32", 2), ("bf16", 3), ("int8", 1)):
            for _ in range(times):
                answer = there.post(PHOTO, path="/predict?precision=" + precision)
                tap.equal(answer.header("x-precision"), precision, f"through nginx: {precision}")
        text = there.get("/metrics", port=there.inside).body.decode()
        found = dict(re.findall(r'^resnet_images_total{precision="(\w+)"} (\d+)', text, re.M))
        tap.equal(found, {"fp32": "2", "bf16": "3", "int8": "1"}, "/metrics counts by precision")
        status = there.get("/status").json()
        tap.equal((status["precision"], status["precisions"]), ("fp32", ["fp32", "bf16", "int8"]), "/status")
        tap.equal(status["int8_ranges"], "drawn pictures", "and what int8's ranges are from")


def everything():
    with tempfile.TemporaryDirectory(prefix="resnet-p.") as directory:
        for part in (one_request_or_all, what_is_not_there, exact, unasked_costs_nothing, damaged, counted):
            part(directory)


tap.run(everything)
