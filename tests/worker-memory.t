#!/usr/bin/env python3
"""Requests of every kind leave no memory behind."""
# timeout: 420

import ctypes
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

# The kernel may, some time later, put a page of 2 MiB where the worker has touched but a part.
PR_SET_THP_DISABLE = 41
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)

PHOTO = draw.jpeg()
WIRES = [
    fcgi.request(PHOTO),
    fcgi.request(draw.jpeg(progressive=True, seed=2)),
    fcgi.request(draw.jpeg(width=1024, height=768, seed=3)),
    fcgi.request(b"no picture"),
    fcgi.request(PHOTO[: len(PHOTO) // 2]),
    fcgi.request(b""),
    fcgi.request(PHOTO, QUERY_STRING="top_k=1000"),
    fcgi.request(PHOTO, CONTENT_LENGTH=3),
    fcgi.request(os.urandom(3 << 20)),
]


def rss_is_flat():
    """RssAnon after all the rounds against RssAnon after the first fifth of them."""
    if service.SANITIZED:
        return tap.skip("RssAnon is flat", "a sanitizer's allocator keeps what is freed")
    rounds = 5000 if tap.T >= 60 else 1000
    with Worker() as worker:
        for i in range(rounds):
            worker.exchange(WIRES[i % len(WIRES)])
            if i == rounds // 5:
                before = worker.status("RssAnon")
        after = worker.status("RssAnon")
        tap.ok(after <= before + 1024, f"RssAnon is flat over {rounds} requests",
               f"{before} KiB, then {after} KiB")  # fmt: skip
        tap.note(f"RssAnon {before} KiB after {rounds // 5}, {after} KiB after {rounds} requests")
    return None


def a_large_body_is_given_back():
    if service.SANITIZED:
        return tap.skip("a large body is given back", "a sanitizer's allocator")
    with Worker() as worker:
        worker.predict(PHOTO)
        before = worker.status("RssAnon")
        worker.predict(os.urandom(15 << 20))
        worker.predict(PHOTO)
        after = worker.status("RssAnon")
        tap.ok(after <= before + 2048, "a large body is given back",
               f"{before} KiB, then {after} KiB")  # fmt: skip
    return None


tap.run(rss_is_flat, a_large_body_is_given_back)
