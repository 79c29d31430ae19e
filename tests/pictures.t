#!/usr/bin/env python3
"""PNG through nginx, and RESNET_DECODE=fast: the service answers what resnet-classify answers."""

import json
import subprocess
import tempfile

import draw
import png
import service
import tap


def classify(data, *arguments):
    """{class id: probability} of resnet-classify."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        done = subprocess.run(
            [service.program("resnet-classify"), "-m", service.small_model(), "--json", *arguments,
             file.name],
            env=service.clean_environment(), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    return json.loads(done.stdout)["predictions"]


def pngs(running):
    for colour, depth, interlaced in ((png.RGB, 8, False), (png.RGBA, 16, True), (png.GRAY, 1, False)):
        data = png.image(png.drawing(120, 90, depth, colour), depth, colour, interlaced)
        expected = classify(data)
        name = f"PNG of type {colour}, {depth} bits"
        answer = running.post(data, {"Content-Type": "image/png"})
        tap.equal(answer.status, 200, f"{name}: 200")
        tap.equal(answer.json()["predictions"], expected, f"{name}: as resnet-classify")
        answer = running.post(data, {"Content-Type": "image/jpeg"})
        tap.equal(answer.json()["predictions"], expected, f"{name}: whatever Content-Type says")


def refusals(running):
    data = png.image(png.drawing(120, 90, 8, png.RGB), 8, png.RGB)
    large = png.SIGNATURE + png.header(9000, 9000, 8, png.RGB) + png.chunk(b"IDAT", b"")
    for name, body, status, code, says in (
        ("half a PNG", data[: len(data) // 2], 422, "image_undecodable", "truncated"),
        ("a damaged PNG", data.replace(b"IDAT", b"IDAt"), 422, "image_undecodable", "PNG"),
        ("a PNG that says it is large", large, 413, "image_too_large", "9000 x 9000"),
        ("half a WebP", b"RIFF\0\1\0\0WEBPVP8L", 422, "image_undecodable", "truncated"),
        ("a GIF", b"GIF89a" + bytes(100), 415, "unsupported_media_type", "JPEG, PNG and WebP"),
    ):
        answer = running.post(body)
        tap.equal((answer.status, answer.code()), (status, code), f"{name}: {status} {code}")
        tap.ok(says in answer.json()["error"], f"{name}: {says}", answer.json())


def exact():
    with service.Service(workers=1) as running:
        pngs(running)
        refusals(running)
        large = draw.jpeg(1100, 1030)
        tap.equal(running.post(large).json()["predictions"], classify(large), "a large JPEG, exact")


def fast():
    with service.Service(workers=1, RESNET_DECODE="fast") as running:
        large, small = draw.jpeg(1100, 1030), draw.jpeg(300, 280)
        expected = classify(large, "--decode", "fast")
        tap.ok(expected != classify(large), "a large JPEG, fast: nearly, not quite the same")
        tap.equal(running.post(large).json()["predictions"], expected, "as resnet-classify")
        tap.equal(running.post(small).json()["predictions"], classify(small), "a small one: exact")


tap.run(exact, fast)
