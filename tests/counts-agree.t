#!/usr/bin/env python3
"""After any weather /metrics and what the clients counted agree to the request: answers by their code,
what was shed, and attempts apart from answers."""

import os
import random
import signal
import time

import tap
from load import Load, known, tries
from service import Service, until


def by_code(metrics):
    """status -> how many answers"""
    found = {}
    for name, value in metrics.items():
        if name.startswith("resnet_requests_total{") and value:
            found[int(name.split('"')[1])] = int(value)
    return found


def family(metrics, name):
    return sum(int(v) for k, v in metrics.items() if k.split("{")[0] == name)


def all_tries(service):
    """Statuses of all tries of /predict that a worker took."""
    lines = service.access()
    return sum((tries(x) for x in lines if x["request"].startswith("POST /predict")), [])


def settled(service, load):
    """Metrics once every request is over, and in nginx's log."""
    tap.equal(load.not_logged(), {}, "clients and nginx's log agree")
    until(lambda: not service.busy(), 60, "idle workers")
    return service.metrics()


def calm():
    with Service(workers=2) as service:
        pictures = known(service)
        with Load(service, pictures, 8, 400) as load:
            load.join()
        bad = [service.post(b"no picture").status for _ in range(7)]
        for _ in range(5):
            service.get("/health")
        metrics = settled(service, load)
        tap.ok(load.all_good(), "calm: 200 only", load.results)
        tap.equal(by_code(metrics), {200: 400 + len(pictures), 415: len(bad)}, "calm: answers by code")
        total = 400 + len(pictures) + len(bad)
        tap.equal(family(metrics, "resnet_attempts_total"), total, "calm: as many attempts")
        until(lambda: len(all_tries(service)) >= total, 60, "nginx's last lines")
        tap.equal(len(all_tries(service)), total, "calm: and nginx's tries")


def overload():
    with Service(workers=2, RESNET_BACKLOG=16, faults="sleep=1@*") as service:
        pictures = known(service)
        with Load(service, pictures, 64, patience_s=0.3) as load:
            time.sleep(min(tap.T, 10))
        metrics = settled(service, load)
        tap.note(f"overload: {load.results}")
        tap.ok(load.only("200", "503 overloaded"), "overload: 200 and 503 only", load.results)
        good, shed = load.good(), load.count("503 overloaded")
        tap.ok(shed > 0, "overload: some were shed", load.results)
        found = {200: good + len(pictures), 503: shed}
        tap.equal(by_code(metrics), found, "overload: answers by code")
        tap.equal(family(metrics, "resnet_shed_total"), shed, "overload: resnet_shed_total")
        attempts = family(metrics, "resnet_attempts_total")
        tap.equal(attempts, good + len(pictures), "overload: what was shed was never attempted")
        tap.equal(family(metrics, "resnet_queue_depth"), 0, "overload: then the queue is empty")


def busy_pids(service):
    return [worker["pid"] for worker in service.busy()]


def kill_at_work(service, pid):
    """Stopped, it stays where it is: what is busy then has counted its attempt."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.02)
    at_work = pid in busy_pids(service)
    os.kill(pid, signal.SIGKILL if at_work else signal.SIGCONT)
    return {pid} if at_work else set()


def deaths():
    with Service(workers=3, faults="sleep=1@*") as service:
        pictures = known(service)
        killed = set()
        with Load(service, pictures, 6) as load:
            end = time.monotonic() + tap.T
            while time.monotonic() < end or len(killed) < 3:
                time.sleep(0.4)
                workers = [pid for pid in busy_pids(service) if pid not in killed]
                if workers:
                    killed |= kill_at_work(service, random.choice(workers))
        kills = len(killed)
        metrics = settled(service, load)
        tap.note(f"deaths: {kills} killed, {load.results}")
        tap.ok(load.all_good() and kills > 2, "deaths: 200 only", load.results)
        answers, attempts = by_code(metrics), family(metrics, "resnet_attempts_total")
        lost = sum(state == "502" for state in all_tries(service))
        good = load.good() + len(pictures)
        # A worker may be killed after it has counted its answer, before nginx has all of it.
        extra = answers.get(200, 0) - good
        tap.ok(set(answers) == {200} and 0 <= extra <= lost, "deaths: an answer is counted once, or "
               "twice when its worker died in writing it", (answers, good, lost))  # fmt: skip
        tap.note(f"deaths: {attempts} attempts, {good} answers, {lost} tries lost, {extra} counted twice")
        tap.equal(attempts, good + lost, "deaths: attempts are answers and the tries that died")
        until(lambda: len(service.workers()) == 3, 60, "three workers")
        ends = service.status()["ends"]["killed"]
        exits = service.metrics().get('resnet_worker_exits_total{reason="killed"}')
        tap.equal((ends, exits), (kills, kills), "deaths: each is counted")


tap.run(calm, overload, deaths)
