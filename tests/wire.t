#!/usr/bin/env python3
"""A peer on the sockets that are meant for nginx alone sends what nginx would, as recorded, but cut
off at each byte, with one field changed, a record too many, in another order, in pieces, and with
random harm. It gets a whole answer or a closed connection; the next good request is answered, by the
same processes, which keep nothing of it."""

# timeout: 300

import os
import time

import draw
import fcgi_client as fcgi
import tap
import wire
from service import Service, SANITIZED, children, until

LONG = tap.T >= 60
PICTURE = draw.jpeg(64, 48, comment_bytes=300)
MOST = 1_000_000 if LONG else 60 if SANITIZED else 200  # cases of a kind
AT_ONCE = 32
WHOLE = {None, *range(200, 600)}  # answered, or closed without


class Target:
    """One socket, what nginx sent there, and the process behind it."""

    def __init__(self, service, name, status, recorder):
        self.service, self.name, self.status = service, name, status
        self.path = os.path.join(service.run_dir, name)
        self.wire, self.answered = recorder.sent, fcgi.Answer(recorder.answered).status
        self.at_once = 1 if name == "work.sock" else AT_ONCE
        self.connections = 0

    def good(self):
        self.connections += 1
        return wire.tell_in_pieces(self.path, [self.wire])

    def tell(self, cases):
        """{outcome: a case that had it}"""
        found = {}
        for i in range(0, len(cases), self.at_once):
            some = cases[i : i + self.at_once]
            outcomes = wire.tell(self.path, [data for _, data in some])
            for (name, _), outcome in zip(some, outcomes):
                found.setdefault(outcome, name)
        self.connections += len(cases)
        return found

    def still_good(self, after, cases):
        tap.equal(self.good(), self.status, f"{self.name}: after {after} ({cases} of them) a good one")


def record(service):
    """The three exchanges, through nginx."""
    run = service.run_dir
    work, ctl, shed = (os.path.join(run, f"{name}.sock") for name in ("work", "ctl", "shed"))
    with wire.Recorder(work) as at_work:
        tap.equal(service.post(PICTURE).status, 200, "recorded: a picture")
    with wire.Recorder(ctl) as at_ctl:
        tap.equal(service.get("/health").status, 200, "recorded: a question about health")
    with wire.Recorder(work, refuses=True), wire.Recorder(shed) as at_shed:
        tap.equal(service.post(PICTURE).status, 503, "recorded: one that is shed")
    for name, recorder in (("work", at_work), ("ctl", at_ctl), ("shed", at_shed)):
        tap.ok(wire.is_whole(recorder.sent), f"{name}: it is whole", recorder.sent[:200])
    at_work.sent = wire.in_records(at_work.sent, 250, (fcgi.STDIN,))  # a body of several records
    return [Target(service, "work.sock", 200, at_work), Target(service, "ctl.sock", 200, at_ctl),
            Target(service, "shed.sock", 503, at_shed)]  # fmt: skip


# ---- what is tried --------------------------------------------------------------------------------


def cut_off(target):
    cases = wire.several(wire.cuts(target.wire, 1 if LONG else 97), 4 * MOST)
    found = target.tell(cases)
    wrong = {k: v for k, v in found.items() if k not in WHOLE or k in (200, 503)}
    tap.equal(wrong, {}, f"{target.name}: said to end at {len(cases)} places: refused or closed")
    for _, data in cases:
        wire.hang_in_the_air(target.path, data)
    target.connections += len(cases)
    target.still_good("peers that left", len(cases))
    for _ in range(20):
        wire.hang_in_the_air(target.path, target.wire)
    target.connections += 20
    target.still_good("peers that left before their answer", 20)


def changes_nothing(target):
    cases = wire.several(wire.harmless(wire.fresh(target.wire)), MOST)
    found = {}
    for name, pieces in cases:
        found.setdefault(wire.tell_in_pieces(target.path, pieces), name)
    pieces = wire.records(target.wire)
    found.setdefault(wire.tell_in_pieces(target.path, pieces, 0.02), "a pause after each record")
    target.connections += len(cases) + 1
    wrong = {k: v for k, v in found.items() if k != target.status}
    tap.equal(wrong, {}, f"{target.name}: {len(cases) + 1} times the same request in other bytes")


def wrong_records(target):
    makers = {
        "a header changed": wire.headers_changed(target.wire, (0, 1, 3, 4)),
        "a record too many": wire.inserted(target.wire),
        "another order": wire.reordered(target.wire),
    }
    for name, maker in makers.items():
        cases = wire.several(maker, 4 * MOST)
        found = target.tell(cases)
        wrong = {k: v for k, v in found.items() if k not in WHOLE or k == target.status}
        tap.equal(wrong, {}, f"{target.name}: {name}, {len(cases)} of them: refused or closed")
        target.still_good(name, len(cases))


def two_at_once(target):
    """KEEP_CONN or not: one is answered, and the connection closed."""
    first = wire.records(target.wire)[0]
    for flags in (0, fcgi.KEEP_CONN):
        begin = first[:10] + bytes([flags]) + first[11:]
        one = begin + target.wire[len(first) :]
        outcome = wire.tell_in_pieces(target.path, [one + one])
        tap.ok(outcome in (None, target.status), f"{target.name}: two requests, flags {flags}: one "
               "answer or none", outcome)  # fmt: skip
        target.connections += 1
    target.still_good("two requests on a connection", 2)


def random_harm(target):
    n = int(tap.T * (12 if SANITIZED else 60))
    cases = [(f"seed {seed}", wire.mutated(target.wire, seed)) for seed in range(n)]
    found = target.tell(cases)
    wrong = {k: v for k, v in found.items() if k not in WHOLE}
    tap.equal(wrong, {}, f"{target.name}: {n} times random harm: a whole answer or a close")
    target.still_good("random harm", n)


# ---- and what it leaves ---------------------------------------------------------------------------


def processes(service):
    """{name: pids}"""
    return {
        "resnet-spawn": [service.spawn.pid],
        "resnet-control": children(service.spawn.pid, "resnet-control"),
        "resnet-fcgi": service.workers(),
    }


def open_files(found):
    return {name: [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids] for name, pids in found.items()}


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nobody_spins(found):
    """Who has nothing to do does nothing: CPU time, so that others' load does not count."""
    before = {pid: cpu_s(pid) for pids in found.values() for pid in pids}
    time.sleep(1)
    used = {pid: cpu_s(pid) - before[pid] for pid in before}
    tap.ok(max(used.values()) < 0.3, "nobody spins", used)


def lines_of(service):
    """Connections that the log tells of: each once."""
    return len(service.logged("peer_refused")) + len(service.logged("request"))


def everything():
    with Service(workers=1) as service:
        service.post(PICTURE)
        service.until_idle(1)
        targets = record(service)
        pids = processes(service)
        files = open_files(pids)
        told = lines_of(service)
        for target in targets:
            for attempt in (changes_nothing, cut_off, wrong_records, two_at_once, random_harm):
                attempt(target)
        service.until_idle(1)
        tap.equal(processes(service), pids, "the same processes")
        until(lambda: open_files(pids) == files, 60, "descriptors as before")
        tap.equal(open_files(pids), files, "descriptors as before")
        work = targets[0].connections
        until(lambda: lines_of(service) - told >= work, 60, "the log's lines")
        tap.equal(lines_of(service) - told, work, f"{work} connections to the worker, each one line")
        nobody_spins(pids)
        tap.equal(sum(service.status()["ends"].values()), 0, "nobody ended")
        tap.equal(service.post(PICTURE).status, 200, "and nginx is served")


tap.run(everything)
