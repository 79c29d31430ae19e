#!/usr/bin/env python3
"""200 requests under valgrind: no leak, and no byte used that was not set."""
# timeout: 600

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

PHOTO = draw.jpeg()
REQUESTS = 200


def wires():
    """One in twenty runs the network, which takes seconds here; a longer test has more of them."""
    good = [fcgi.request(PHOTO), fcgi.request(draw.jpeg(progressive=True, seed=2))]
    good += [fcgi.request(PHOTO, QUERY_STRING="top_k=1000")]
    bad = [fcgi.request(b"no picture"), fcgi.request(PHOTO[:900]), fcgi.request(b""),
           fcgi.request(PHOTO, CONTENT_LENGTH=3), fcgi.request(PHOTO, DOCUMENT_URI="/x"),
           fcgi.request(PHOTO, CONTENT_TYPE="multipart/form-data; boundary=x")]  # fmt: skip
    every = 20 if tap.T < 60 else 4
    return [(good if i % every == 0 else bad)[i // every % 3 if i % every == 0 else i % 6]
            for i in range(REQUESTS)]  # fmt: skip


def no_leak():
    valgrind = shutil.which("valgrind")
    if not valgrind:
        return tap.skip("valgrind", "it is not installed")
    if service.SANITIZED:
        return tap.skip("valgrind", "a sanitizer looks already")
    report = os.path.join(service.BUILD, f"worker-valgrind.{os.getpid()}.log")
    wrapper = [valgrind, "-q", "--vgdb=no", "--leak-check=full",
               "--show-leak-kinds=definite,indirect,possible",
               "--errors-for-leak-kinds=definite,indirect,possible", "--error-exitcode=99",
               f"--log-file={report}"]  # fmt: skip
    worker = Worker(wrapper=wrapper, RESNET_REQUEST_TIMEOUT="10m", RESNET_MAX_IMAGES=1)
    worker.start()
    worker.wait_ready(300)
    answered = 0
    for wire in wires():
        fcgi.exchange(worker.path, wire, 300)
        answered += 1
    code = worker.stop()
    with open(report, encoding="utf-8", errors="replace") as file:
        said = file.read()
    os.unlink(report)
    shutil.rmtree(worker.directory)
    tap.equal(answered, REQUESTS, f"{REQUESTS} requests answered under valgrind")
    tap.ok(code == 0 and not said, "no leak, no error", said[-3000:] or f"exit {code}")
    return None


tap.run(no_leak)
