"""clients.py: who asks. For speed resnet-load, which costs little, for harm threads that look at every
byte; both ask everybody the same."""

import json
import os
import subprocess
import threading
import time

import load
import measure
import web
from ready import BUILD

RESNET_LOAD = os.path.join(BUILD, "bin", "resnet-load")
JPEG = {"Content-Type": "image/jpeg"}
PAUSE_S = 0.05  # after a failure: what is counted is who was hit, not how fast one can fail


def rate(port, clients, seconds, picture):
    """{"good", "bad", "per_second", "p50_ms", "p99_ms", "others"}; picture: a file."""
    command = [RESNET_LOAD, "--json", "--quiet", "--no-probe", "--waves", "1", "--duration", str(seconds),
               "--concurrency", str(clients), f"http://127.0.0.1:{port}/predict", picture]  # fmt: skip
    with measure.Others() as others:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300,
                              env=measure.environment())  # fmt: skip
    if done.returncode not in (0, 1):  # 1: something failed, which is counted
        raise RuntimeError(f"resnet-load: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    kept = {name: found[name] for name in ("per_second", "p50_ms", "p99_ms")}
    return {**kept, "good": found["ok"], "bad": found["failed"], "others": others.share}


def first_answer(port, picture, seconds):
    """Seconds until the picture is classified for the first time."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            if web.request(port, "POST", "/predict", picture, JPEG, seconds).status == 200:
                return time.monotonic() - start
        except web.Broken:
            pass
        time.sleep(0.005)
    raise TimeoutError(f"no answer within {seconds} s")


class Asking:
    """with Asking(port, picture, clients) as asking: ...harm...; asking.summary(). Retries nothing; an
    answer counts when it is a 200, is as long as it says, and says what the first one said."""

    def __init__(self, port, picture, clients):
        self.port, self.picture = port, picture
        self.expected, self.got = None, []  # got: (seconds, what was wrong or None)
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._client) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _client(self):
        while not self.ended.is_set():
            start = time.monotonic()
            wrong = self._ask()
            with self.lock:
                self.got.append((time.monotonic() - start, wrong))
            if wrong:
                self.ended.wait(PAUSE_S)

    def _ask(self):
        try:
            answer = web.request(self.port, "POST", "/predict", self.picture, JPEG)
        except web.Broken as error:
            return f"broken: {error}"
        if answer.status != 200:
            return f"HTTP {answer.status}"
        classes = [one["class_id"] for one in answer.json()["predictions"]]
        with self.lock:
            self.expected = self.expected or classes
        return None if classes == self.expected else f"another answer: {classes}"

    def summary(self):
        reasons = sorted({wrong for _, wrong in self.got if wrong})
        return {"requests": len(self.got), "failed": sum(1 for _, wrong in self.got if wrong),
                "longest_ms": 1000 * max(seconds for seconds, _ in self.got), "reasons": reasons}  # fmt: skip


def health(port, clients, seconds, picture):
    """How long /health takes while `clients` ask for classifications."""
    with load.Prober(port, ["/health"]) as prober:
        rate(port, clients, seconds, picture)
    found = prober.found["/health"]
    bad = sum(1 for outcome in found["outcomes"] if outcome != "200")
    return {"p50_ms": 1000 * load.percentile(found["seconds"], 0.5), "bad": bad,
            "max_ms": 1000 * max(found["seconds"])}  # fmt: skip
