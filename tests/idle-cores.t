#!/usr/bin/env python3
"""One request alone uses the cores that are idle; when all workers are busy each keeps to one; and a
worker that was killed in the middle of a request leaves nobody believing that it still works."""

# alone

import functools
import os
import signal
import time

import tap
from load import Load, known
from service import START_S, Service, model, until

CORES = len(os.sched_getaffinity(0))
SHARED = 0.2  # helpers' part of a worker's CPU time that shows that cores were lent


def cpu_ns(pid, task):
    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def used(pids):
    """(CPU time of the workers' own threads, of their helpers)"""
    own = helpers = 0
    for pid in pids:
        for task in map(int, os.listdir(f"/proc/{pid}/task")):
            if task == pid:
                own += cpu_ns(pid, task)
            else:
                helpers += cpu_ns(pid, task)
    return own, helpers


def settles(measure, enough):
    """What is measured, up to five times where others' load on this machine blurs it."""
    for _ in range(5):
        if enough(found := measure()):
            break
    return found


def alone_part(service, picture):
    work = functools.partial(one_after_the_other, service, picture)
    return settles(lambda: helpers_part(service, work), lambda part: part > SHARED)


def helpers_part(service, work):
    pids = service.all_workers()
    before = used(pids)
    work()
    own, helpers = (b - a for a, b in zip(before, used(pids)))
    return helpers / (own + helpers)


def one_after_the_other(service, picture, n=8):
    for _ in range(n):
        answer = service.post(picture)
        assert answer.status == 200, answer


def many_at_once(service, pictures):
    with Load(service, pictures, clients=3 * CORES) as load:
        time.sleep(2)
    tap.ok(load.all_good(), "under load: every answer is the one that its picture got alone",
           load.results)  # fmt: skip


def lent_and_taken_back():
    with Service(workers=CORES, model=model("1/2")) as service:
        pictures = known(service)
        alone = alone_part(service, pictures[0][0])
        tap.note(f"helpers' part of the CPU time: {alone:.2f} with one request at a time")
        tap.ok(alone > SHARED, "one request alone: helpers work", alone)
        full = settles(lambda: helpers_part(service, lambda: many_at_once(service, pictures)),
                       lambda part: part < SHARED)  # fmt: skip
        tap.note(f"and {full:.2f} with {3 * CORES} clients")
        tap.ok(full < SHARED, "all busy: one thread a request", full)
        service.until_idle(CORES)
        used_ns = settles(lambda: used_asleep(service.workers()), lambda ns: ns < 5e6)
        tap.ok(used_ns < 5e6, "idle again: nothing is used", used_ns)


def used_asleep(pids):
    before = used(pids)
    time.sleep(2)
    return sum(used(pids)) - sum(before)


def held(service):
    """Not merely busy: a worker killed on its way there would leave its share of sleep to the retry."""
    asleep = {line["request_id"] for line in service.logged("fault")}
    return [worker for worker in service.busy() if worker["request_id"] in asleep]


def killed_while_busy():
    victims = CORES // 2
    fault = f"sleep=60000@conv1~held:{victims}"  # the second try goes through
    with Service(workers=CORES, model=model("1/2"), faults=fault) as service:
        pictures = known(service, 1)
        load = Load(service, pictures, clients=victims, requests=victims)
        load.tag = "held." + load.tag
        with load:
            found = until(lambda: len(h := held(service)) == victims and h, START_S, "held requests")
            for worker in found:
                os.kill(worker["pid"], signal.SIGKILL)
            load.join()
        tap.ok(load.all_good(), "workers killed at work: every answer came", load.results)
        service.until_idle(CORES)
        alone = alone_part(service, pictures[0][0])
        tap.note(f"helpers' part after the kills: {alone:.2f}")
        tap.ok(alone > SHARED, "afterwards one request alone uses all cores again", alone)


def pinned():
    with Service(workers=2, model=model("1/8"), RESNET_THREADS=1) as service:
        picture = known(service, 1)[0][0]
        part = helpers_part(service, lambda: one_after_the_other(service, picture))
        tap.equal(part, 0, "RESNET_THREADS=1: nobody helps")


if CORES < 2:
    print("1..0 # skip one core: there is nothing to lend")
elif os.environ.get("RESNET_ISA") in ("blas", "ref"):
    print("1..0 # skip blas and ref compute on one thread")
else:
    tap.run(lent_and_taken_back, killed_while_busy, pinned)
