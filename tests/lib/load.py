"""load.py: clients that ask again and again until told to stop, one connection a request, and retry
nothing. Each request has an id of its own and one of several pictures, so that an answer that is
lost, cut, doubled or somebody else's is noticed: it must be, byte for byte, what that picture got
when it was alone.

    with Load(service, pictures=known(service)) as load:
        ...harm...
    tap.ok(load.all_good(), "...", load.results)
"""

import collections
import itertools
import multiprocessing
import os
import random
import threading
import time

import draw
import web
from service import until

ERROR_KEYS = ["success", "error", "code", "request_id"]

# What one request came to. outcome: "200", "503 overloaded", or a sentence that says what is wrong.
Got = collections.namedtuple("Got", "outcome status id start end served")


def without_id(answer):
    return answer.body.replace((answer.header("x-request-id") or "?").encode(), b"")


def known(service, n=3, headers=None):
    """[(picture, the bytes of its answer without the id)], each asked for alone."""
    pairs = []
    for seed in range(1, n + 1):
        picture = draw.jpeg(seed=seed)
        answer = service.post(picture, headers)
        if answer.status != 200:
            raise AssertionError(f"a picture alone: {answer}")
        pairs.append((picture, without_id(answer)))
    return pairs


def unknown(n=3):
    """The same pictures before there is anybody to ask: the first answers have to agree."""
    return [(draw.jpeg(seed=seed), None) for seed in range(1, n + 1)]


def retry_after(answer):
    text = answer.header("retry-after") or ""
    return int(text) if text.isdigit() else 0


def fault_of_error(answer, request_id):
    """What is wrong with an answer of ours that is not a 200, or None."""
    try:
        body = answer.json()
    except ValueError:
        return "no JSON"
    if list(body) != ERROR_KEYS or body["success"] is not False or len(body["error"]) < 10:
        return "not the one error body"
    if body["request_id"] != request_id:
        return "another request's id"
    if answer.status == 503 and retry_after(answer) < 1:
        return "no Retry-After"
    return None


class Load:
    """clients: how many at once. requests: stop after so many in all. patience_s: wait after a 503
    min(Retry-After, patience_s); None does not wait. keep_alive: one connection per client."""

    def __init__(self, service, pictures, clients=8, requests=None, patience_s=None,
                 keep_alive=False, headers=None):  # fmt: skip
        self.service, self.pictures = service, [p for p, _ in pictures]
        self.expected = [e for _, e in pictures]
        self.patience_s, self.headers, self.keep_alive = patience_s, headers or {}, keep_alive
        self.left = itertools.repeat(1) if requests is None else iter(range(requests))
        self.tag = f"{os.getpid():x}.{random.getrandbits(32):08x}"
        self.lock = threading.Lock()
        self.answers = []  # Got
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self):
        self.start = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.end = time.monotonic()
        self.ended.set()
        self.join()

    def join(self):
        """Waits for clients that end by themselves (requests=)."""
        for thread in self.threads:
            thread.join()

    # ---- one client ----------------------------------------------------------------------------
    def _client(self, number):
        ask = web.Kept(self.service.port).request if self.keep_alive else self._ask_once
        for serial in itertools.count():
            with self.lock:
                if self.ended.is_set() or next(self.left, None) is None:
                    return
            pause_s = self._request(ask, f"{self.tag}-{number}-{serial}", (number + serial))
            self.ended.wait(pause_s)

    def _ask_once(self, *request):
        return web.request(self.service.port, *request)

    def _request(self, ask, request_id, serial):
        """One request; counts it, and returns how long to wait before the next."""
        which, start, answer = serial % len(self.pictures), time.monotonic(), None
        headers = {"X-Request-ID": request_id, **self.headers}
        try:
            answer = ask("POST", "/predict", self.pictures[which], headers)
            outcome = self._judge(answer, request_id, which)
        except web.Broken as error:
            outcome = f"broken: {error}"
        end, status = time.monotonic(), answer.status if answer else 0
        served = (answer.header("x-served-by") or "") if answer else ""
        with self.lock:
            self.answers.append(Got(outcome, status, request_id, start, end, served))
        if status == 503 and self.patience_s is not None:
            return min(retry_after(answer), self.patience_s)
        return 0

    def _judge(self, answer, request_id, which):
        if answer.header("x-request-id") != request_id:
            return f"{answer.status} with another request's id"
        if answer.status != 200:
            wrong = fault_of_error(answer, request_id)
            return f"{answer.status}: {wrong}: {answer}" if wrong else f"{answer.status} {answer.code()}"
        body = without_id(answer)
        with self.lock:
            if self.expected[which] is None:
                self.expected[which] = body
        if body != self.expected[which]:
            return f"200, but not what was expected: {answer.body[:300]!r}"
        return "200"

    # ---- what came of it -----------------------------------------------------------------------
    @property
    def results(self):
        """outcome -> how often"""
        with self.lock:
            return dict(collections.Counter(got.outcome for got in self.answers))

    def count(self, outcome=None):
        with self.lock:
            return sum(1 for got in self.answers if outcome in (None, got.outcome))

    def good(self):
        return self.count("200")

    def all_good(self):
        return self.good() > 0 and set(self.results) == {"200"}

    def only(self, *outcomes):
        return self.count() > 0 and set(self.results) <= set(outcomes)

    def rate(self):
        """200s a second, up to the moment in which the clients were told to stop."""
        in_time = sum(1 for got in self.answers if got.outcome == "200" and got.end <= self.end)
        return in_time / (self.end - self.start)

    def agrees_with(self, pictures):
        """Whether answers taken on trust (unknown()) are what `pictures` says."""
        return all(a in (None, b) for a, (_, b) in zip(self.expected, pictures))

    def not_logged(self):
        """What nginx's log says otherwise than the clients: {} when every request is in it exactly
        once, with the status that the client was given."""
        sent = {got.id: [got.status] for got in self.answers if got.status}

        def logged():
            found = collections.defaultdict(list)
            for line in self.service.access():
                if line["request_id"] in sent:
                    found[line["request_id"]].append(line["status"])
            return found

        try:
            until(lambda: len(logged()) == len(sent), 60, "nginx's log")
        except TimeoutError:
            pass
        found = logged()
        return {i: (said, found[i]) for i, said in sent.items() if found[i] != said}

    def taken(self):
        """Ids of the requests that nginx connected to work.sock for, whatever became of that: those
        that a worker had, or that stood in the queue. Once not_logged() has waited for the log."""
        ours = {got.id for got in self.answers}
        return {line["request_id"] for line in self.service.access()
                if line["request_id"] in ours and tries(line)}  # fmt: skip


def tries(line):
    """What nginx's log says of the tries that a worker took, or could have: connected to work.sock,
    and the status that was read, "502" for one whose worker died."""
    upstreams = line["upstream"].split(", ")
    times, states = line["upstream_connect"].split(", "), line["upstream_status"].split(", ")
    return [state for where, took, state in zip(upstreams, times, states)
            if where.endswith("/work.sock") and took != "-"]  # fmt: skip


class Prober:
    """Asks for each path again and again, 25 times at least, from a process of its own, so that no
    thread of this one is in its way. found: path -> {"seconds": [...], "outcomes": [...]}. Starts before any thread."""

    def __init__(self, port, paths, pause_s=0.01):
        self.port, self.paths, self.pause_s = port, paths, pause_s
        self.found = {path: {"seconds": [], "outcomes": []} for path in paths}

    def __enter__(self):
        context = multiprocessing.get_context("fork")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=self._run, args=(theirs,))
        self.process.start()
        return self

    def _run(self, pipe):
        rounds = 0
        while not pipe.poll(self.pause_s) or rounds < 25:
            rounds += 1
            for path in self.paths:
                start = time.monotonic()
                try:
                    outcome = str(web.request(self.port, "GET", path).status)
                except web.Broken as error:
                    outcome = f"broken: {error}"
                self.found[path]["seconds"].append(time.monotonic() - start)
                self.found[path]["outcomes"].append(outcome)
        pipe.send(self.found)

    def __exit__(self, *_):
        self.ours.send("stop")
        self.found = self.ours.recv()
        self.process.join()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
