#!/usr/bin/env python3
"""Whatever is sent in place of a picture, the client reads what is wrong with it, in the right
status and code, and the worker goes on."""

import draw
import tap
import web
from service import Service

GOOD = draw.jpeg()


def form(*parts, boundary="b1234567890"):
    return web.multipart(parts, boundary)


def cut_form():
    body, kind = form(("file", "a.jpg", "image/jpeg", GOOD))
    return body[: body.rindex(b"--b1234567890--")], kind


def wrong_boundary():
    body, _ = form(("file", "a.jpg", "image/jpeg", GOOD))
    return body, "multipart/form-data; boundary=other"


def cases():
    """name, body, Content-Type, status, code, a word that the sentence must have"""
    jpeg = "image/jpeg"
    picture = ("file", "a.jpg", jpeg, GOOD)
    many = [("file", f"{i}.jpg", jpeg, draw.jpeg(8, 8)) for i in range(4)]
    return [
        ("empty", b"", jpeg, 400, "bad_request", "empty"),
        ("text", b"hello, world", jpeg, 415, "unsupported_media_type", "JPEG"),
        ("PNG", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "image/png", 422, "image_undecodable", "PNG"),
        ("WebP", b"RIFF\0\1\0\0WEBPVP8 ", "image/webp", 422, "image_undecodable", "truncated"),
        ("GIF", b"GIF89a" + b"\0" * 64, "image/gif", 415, "unsupported_media_type", "GIF"),
        ("two bytes", b"\xff\xd8", jpeg, 415, "unsupported_media_type", "ff d8"),
        ("cut in the header", GOOD[:40], jpeg, 422, "image_undecodable", "truncated"),
        ("cut in the middle", GOOD[: len(GOOD) // 2], jpeg, 422, "image_undecodable", "truncated"),
        ("header, no scan", GOOD[:300], jpeg, 422, "image_undecodable", "truncated"),
        ("12 bit", draw.header_only(64, 64, 0xC1, precision=12), jpeg, 422, "image_undecodable", "12"),
        ("lossless", draw.header_only(64, 64, 0xC3), jpeg, 422, "image_undecodable", "JPEG"),
        ("zero wide", draw.header_only(0, 64), jpeg, 422, "image_undecodable", "0"),
        ("zero high", draw.header_only(64, 0), jpeg, 422, "image_undecodable", ""),
        ("65500 x 65500", draw.header_only(65500, 65500), jpeg, 413, "image_too_large", "pixels"),
        ("progressive bomb", draw.header_only(7900, 7900, 0xC2), jpeg, 413, "image_too_large", "memory"),
        ("two components", draw.jpeg(components=2), jpeg, 422, "image_undecodable", "2 components"),
        ("unclosed form", *cut_form(), 400, "bad_multipart", "boundary"),
        ("another boundary", *wrong_boundary(), 400, "bad_multipart", "boundary"),
        ("no boundary", GOOD, "multipart/form-data", 400, "bad_multipart", "boundary"),
        ("unknown field", *form(("photo", "a", jpeg, GOOD)), 400, "bad_multipart", "photo"),
        ("no picture", *form(("top_k", None, None, b"3")), 400, "bad_multipart", "picture"),
        ("empty picture", *form(("file", "a", jpeg, b"")), 400, "bad_request", "empty"),
        ("bad second picture", *form(picture, ("file", "b", jpeg, b"x")), 415,
         "unsupported_media_type", "JPEG"),
        ("too many pictures", *form(*many), 413, "too_many_images", "3"),
        ("gzip", GOOD, (jpeg, "gzip"), 415, "unsupported_media_type", "Encoding"),
        ("unknown parameter", GOOD, (jpeg, None, "?topk=3"), 400, "bad_request", "top_k"),
    ]  # fmt: skip


def send(service, body, kind):
    kind, encoding, query = (*kind, "", "")[:3] if isinstance(kind, tuple) else (kind, "", "")
    headers = {"Content-Type": kind}
    if encoding:
        headers["Content-Encoding"] = encoding
    return service.post(body, headers, "/predict" + query)


def refused(service):
    for name, body, kind, status, code, word in cases():
        answer = send(service, body, kind)
        tap.equal((answer.status, answer.code()), (status, code), f"{name}: {status} {code}")
        found = answer.json()
        tap.ok(word in found.get("error", ""), f"{name}: the sentence names {word!r}", answer.body)
        tap.equal((found["success"], found["request_id"]), (False, answer.header("x-request-id")),
                  f"{name}: body")  # fmt: skip


def accepted(service):
    """What is odd and yet a picture."""
    expected = service.post(GOOD).json()["predictions"]
    for name, body in (("trailing garbage", GOOD + b"x" * 1000), ("a comment", draw.jpeg(comment_bytes=9))):
        answer = service.post(body)
        tap.equal(answer.status, 200, f"{name}: 200")
        tap.equal(answer.json().get("predictions"), expected, f"{name}: as without it")


def broken_off(service):
    """A Content-Length that is never reached: nobody is answered, and no worker is held."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    try:
        web.exchange(service.port, head + GOOD[:100], timeout_s=1)
        tap.ok(False, "a body that never ends is not answered")
    except web.Broken:
        tap.ok(True, "a body that never ends is not answered")
    tap.equal(service.post(GOOD).status, 200, "and the next request is")


def too_large(service):
    answer = service.post(b"\xff\xd8\xff" + b"x" * 300_000)
    tap.equal((answer.status, answer.code()), (413, "body_too_large"), "300 kB where 200 are allowed")


def everything():
    with Service(workers=1, RESNET_MAX_IMAGES=3, RESNET_MAX_BODY="200k") as service:
        before = service.workers()
        for test in (refused, accepted, broken_off, too_large):
            test(service)
        tap.equal(service.workers(), before, "the same worker is still there")


tap.run(everything)
