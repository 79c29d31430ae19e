#!/usr/bin/env python3
"""A worker loses no memory: valgrind sees no leak over 200 requests, good and bad, and after 5,000
requests there is no more anonymous memory than after 1,000."""

# timeout: 400

import concurrent.futures
import os
import re

import draw
import objects
import service
import tap
import web
from bare import Bare

SLACK_BYTES = 1 << 20
PICTURE = draw.jpeg()


FORM, KIND = web.multipart([("file", "a.jpg", None, PICTURE), ("file", "b.jpg", None, PICTURE)])
# Bodies of every kind that a worker allocates for, with the statuses they are due.
GOOD = [
    (PICTURE, {}, 200),
    (draw.jpeg(components=1), {}, 200),
    (draw.jpeg(progressive=True), {}, 200),
    (draw.jpeg(1500, 900), {}, 200),
    (FORM, {"Content-Type": KIND}, 200),
]
BAD = [
    (PICTURE[: len(PICTURE) // 2], {}, 422),
    (b"no picture", {}, 415),
    (draw.header_only(65500, 65500), {}, 413),
    (FORM[:-20], {"Content-Type": KIND}, 400),
    (b"", {}, 400),
]


def wrong_answers(bare, cases, clients):
    """How many of the requests got another status than they were due."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        jobs = [(pool.submit(bare.post, body, headers), s) for body, headers, s in cases]
        return sum(job.result().status != s for job, s in jobs)


def valgrind():
    """A forward pass takes seconds there: two of them to fifteen refusals, 204 requests in all, or
    34 in the short run."""
    if objects.SANITIZED:
        return tap.skip("valgrind", "the sanitizer looks for leaks itself")
    with Bare(RESNET_SANDBOX="off", RESNET_REQUEST_TIMEOUT="300s") as bare:
        log = os.path.join(bare.directory, "valgrind")
        worker = bare.worker("valgrind", "--quiet", "--leak-check=full", f"--log-file={log}",
                             "--errors-for-leak-kinds=definite,indirect,possible",
                             "--show-leak-kinds=definite,indirect,possible",
                             "--error-exitcode=99")  # fmt: skip
        cases = []
        for i in range(12 if tap.T >= 60 else 2):
            cases += [GOOD[(2 * i + k) % len(GOOD)] for k in range(2)] + BAD * 3
        wrong = wrong_answers(bare, cases, 1)
        tap.equal(wrong, 0, f"valgrind: {len(cases)} requests, good and bad, each answered as due")
        tap.equal(bare.leave(worker), 0, "valgrind: no leak, no bad access")
        tap.note(service.tail(log))
    return None


def rss_anon(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1]) * 1024


def growth():
    if objects.SANITIZED:
        return tap.skip("growth", "a sanitizer keeps freed memory on purpose")
    with Bare() as bare:
        worker = bare.worker()
        wrong = wrong_answers(bare, (GOOD + BAD) * 100, 4)
        before = rss_anon(worker.pid)
        wrong += wrong_answers(bare, (GOOD + BAD) * 400, 4)
        after = rss_anon(worker.pid)
        tap.equal(wrong, 0, "5,000 requests, each answered as due")
        tap.note(f"RssAnon after 1,000 requests {before} bytes, after 5,000 {after}")
        tap.ok(after <= before + SLACK_BYTES, "RssAnon has not grown by more than 1 MiB", (before, after))
        tap.equal(bare.leave(worker), 0, "TERM ends it with 0")
    return None


tap.run(valgrind, growth)
