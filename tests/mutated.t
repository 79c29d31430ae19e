#!/usr/bin/env python3
"""Thousands of mutated requests, of all dialects and formats, over nginx, by clients that do not wait for
each other; beside them people who ask for something ordinary. These are answered as ever, no worker ends,
nobody keeps memory or descriptors, and each mutated request gets whole HTTP with a status and a code that
are meant for it, or its connection is closed where HTTP allows that.

What failed says which: `python3 tests/lib/mutate.py SEED NUMBER` prints the bytes. MUTATE_SEED=2 sends
others."""
# timeout: 1800

import collections
import multiprocessing
import os
import re
import signal
import sys

import mutants
import mutate
import tap
from load import Load, known
from service import SANITIZED, Service, children, until

SEED = int(os.environ.get("MUTATE_SEED", "1"))
WORKERS, CLIENTS, ORDINARY = 3, 8, 4  # far fewer than fit into the queue
PORTION = 25  # requests that one client takes at a time
DOCUMENTED = mutants.documented()
# What is freed goes back to the kernel at once and not when glibc thinks fit: RSS is what is held.
ENVIRONMENT = {"RESNET_MAX_BODY": "1m", "MALLOC_TRIM_THRESHOLD_": 131072}
# Nor do pages become huge ones behind our back (41: PR_SET_THP_DISABLE), 2 MiB at a time.
SMALL_PAGES = [sys.executable, "-c", "import ctypes, os, sys; ctypes.CDLL(None).prctl(41, 1, 0, 0, 0);"
               "os.execv(sys.argv[1], sys.argv[1:])"]  # fmt: skip
ALLOWED_KIB = 4096


def how_many():
    if SANITIZED or os.environ.get("RESNET_ISA") == "ref":  # ten times as slow
        return 800
    if tap.T < 60:
        return 2500
    return 10_000 if os.environ.get("CI") else 100_000


def send(portion):
    return mutants.send(*portion, DOCUMENTED)


def send_all(pool, port, numbers):
    portions = [(port, SEED, numbers[at : at + PORTION]) for at in range(0, len(numbers), PORTION)]
    tally = mutants.Tally()
    for part in pool.imap_unordered(send, portions):
        tally.add(part)
    return tally


# ---- the service, as it is seen from outside -------------------------------------------------------


def costs(service):
    """{process: (KiB of its own, descriptors, threads)}"""
    pids = {"supervisor": service.spawn.pid}
    pids.update(("control", pid) for pid in children(service.spawn.pid, "resnet-control"))
    pids.update((f"worker {pid}", pid) for pid in service.workers())
    found = {}
    for name, pid in pids.items():
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        opened = len(os.listdir(f"/proc/{pid}/fd"))
        found[name] = int(status["RssAnon"].split()[0]), opened, int(status["Threads"])
    return found


def held(costs_of_all):
    """{process: (descriptors, threads)}"""
    return {name: cost[1:] for name, cost in costs_of_all.items()}


def no_more(found, before):
    """Whether nobody has more descriptors or threads. Fewer are no fault: one connection may have been
    closing when they were counted for the first time."""
    both = [(found[name], before[name]) for name in found.keys() & before.keys()]
    return all(now <= was for one in both for now, was in zip(*one))


def settled_costs(service, before=None):
    """Once nobody works, and the connections of those who were here are closed."""
    service.until_idle(WORKERS)
    try:
        until(lambda: not before or no_more(held(costs(service)), held(before)), 60, "descriptors as before")
    except TimeoutError:
        pass  # the test says so
    return costs(service)


def until_serving(service):
    """All workers are there, and the supervisor knows."""
    service.until_idle(WORKERS)
    until(lambda: service.status()["state"] == "serving", 60, "the service")


def health(service):
    """What must not change, however odd the requests."""
    status = service.status()
    return {
        "workers": sorted((worker["pid"], worker["restarts"]) for worker in status["workers"]),
        "ends": status["ends"], "shed": status["shed"], "sandbox": status["sandbox"]["violations"],
        "quarantine": status["quarantine"]["inputs"], "stuck": status["verdicts"]["stuck"],
        "supervisor": (status["pid"], status["generation"], status["state"]),
    }  # fmt: skip


def error_log(service):
    return os.path.join(service.directory, "error.log")


def complaints(service, since):
    """Lines of nginx's error log, from a byte on, that tell of more than a client's mistake."""
    with open(error_log(service), encoding="utf-8", errors="replace") as file:
        file.seek(since)
        return [line for line in file if re.search(r"\[(warn|crit|alert|emerg)\]|upstream|No space|core dumped", line)]


# ---- what is said ----------------------------------------------------------------------------------


def table(counter):
    return ", ".join(f"{name} {n}" for name, n in counter.most_common())


def report(tally, before, after, load):
    tap.note(f"seed {SEED}; by dialect: {table(tally.dialects)}")
    tap.note(f"mutations: {table(tally.mutations)}")
    tap.note(f"answers: {table(tally.outcomes)}")
    tap.note(f"ordinary: {load.results}")
    for name, (kib, opened, threads) in after.items():
        was = before.get(name, ("?", "?", "?"))
        tap.note(f"{name}: RssAnon {was[0]} KiB, then {kib}; descriptors {was[1]}, {opened}; threads {was[2]}, {threads}")


def flat(before, after):
    found, was = held(after), held(before)
    tap.ok(found.keys() == was.keys() and no_more(found, was), "no descriptors and no threads are kept", (was, found))
    if SANITIZED:
        tap.skip("RSS is flat", "a sanitizer's allocator keeps what is freed")
        return
    grown = {name: cost[0] - before[name][0] for name, cost in after.items() if name in before}
    tap.ok(max(grown.values()) <= ALLOWED_KIB, "RSS of every process is flat", grown)


def mutated():
    total = how_many()
    with multiprocessing.get_context("fork").Pool(CLIENTS) as pool, \
            Service(workers=WORKERS, before=SMALL_PAGES, **ENVIRONMENT) as service:  # fmt: skip
        until_serving(service)
        pictures, was, since = known(service), health(service), os.path.getsize(error_log(service))
        with Load(service, pictures, ORDINARY) as load:
            tally = send_all(pool, service.port, range(total // 10))
        before = settled_costs(service)
        with Load(service, pictures, ORDINARY) as more:
            tally.add(send_all(pool, service.port, range(total // 10, total)))
        after = settled_costs(service, before)
        more.answers += load.answers
        report(tally, before, after, more)
        tap.equal(sum(tally.outcomes.values()), total, f"{total} mutated requests were sent")
        tap.equal(tally.wrong, [], "each gets an answer that is meant for it, or a close that HTTP allows")
        tap.ok(more.all_good(), "the ordinary clients see only whole 200s", more.results)
        tap.equal(health(service), was, "no worker ended; nothing shed, quarantined or violated")
        flat(before, after)
        tap.equal(complaints(service, since), [], "nginx complains of nobody but clients")
        tap.equal(service.logged("crashed"), [], "nobody had last words")


# ---- this test can fail ----------------------------------------------------------------------------

Came = collections.namedtuple("Came", "draft raw ended has_left")


def is_wrong(raw, owed=True, has_left=False):
    draft = mutate.mutate_valid.Draft("predict", b"POST", b"/predict", b"x", None, [(b"X-Request-ID", b"mutated-1-1")])
    draft.sent, draft.owed = draft.bytes(), owed
    try:
        mutants.judge(Came(draft, raw, "closed", has_left), DOCUMENTED)
    except mutants.Wrong:
        return True
    return False


def error(status, code, request_id="mutated-1-1", length=None, inside=None):
    body = b'{"success":false,"error":"a sentence about it","code":"%s","request_id":"%s"}'
    body %= code.encode(), (inside or request_id).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nX-Request-ID: {request_id}\r\n"
    return f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body


def notices_answers():
    html = b"<html>502</html>"
    for name, raw in (
        ("no answer", b""), ("a 500", error(500, "worker_failed")), ("a 503", error(503, "unavailable")),
        ("an answer in part", error(400, "bad_json", length=400)), ("half a header", error(400, "bad_json")[:60]),
        ("a code of another status", error(404, "bad_json")), ("a code that nobody knows", error(400, "odd")),
        ("somebody else's answer", error(400, "bad_json", "mutated-1-2")),
        ("two ids", error(400, "bad_json", inside="another-one")),
        ("a deadline that nobody set", error(504, "deadline_exceeded")),
        ("nginx's page", b"HTTP/1.1 502 X\r\nX-Request-ID: mutated-1-1\r\nContent-Length: %d\r\n\r\n" % len(html) + html),
        ("no Content-Length", b"HTTP/1.1 200 OK\r\nX-Request-ID: mutated-1-1\r\n\r\nx"),
    ):  # fmt: skip
        tap.ok(is_wrong(raw), f"it notices: {name}")
    tap.ok(not is_wrong(error(400, "bad_json")), "it takes what is right")
    tap.ok(not is_wrong(b"", owed=False), "and a close where no answer is owed")
    tap.ok(not is_wrong(error(400, "bad_json", length=400), has_left=True), "and what broke off as its client left")


def notices_ends():
    with Service(workers=WORKERS) as service:
        until_serving(service)
        was, before = health(service), settled_costs(service)
        os.kill(service.workers()[0], signal.SIGKILL)
        until(lambda: health(service)["workers"] != was["workers"], 60, "the end to be seen")
        service.until_idle(WORKERS)
        now = health(service)
        tap.equal([name for name in was if was[name] != now[name]], ["workers", "ends"], "it notices a worker's end")
        tap.ok(costs(service).keys() != before.keys(), "and that it is another process")


def same_bytes_again():
    one = [mutate.request(SEED, number).sent for number in range(200)]
    tap.equal([mutate.request(SEED, number).sent for number in range(200)], one, "a seed makes the same requests")
    tap.ok(len(set(one)) > 180, "most of them another", len(set(one)))


tap.run(same_bytes_again, notices_answers, notices_ends, mutated)
