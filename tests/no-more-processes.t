#!/usr/bin/env python3
"""The limit of processes is reached (TasksMax=, pids.max): nothing can be forked. Who is there goes
on, it is said once, and when there is room again everybody is back without a word from outside."""

import os
import signal

import tap
import web
from cgroup import Pids, Unavailable
from load import Load, known
from service import Service, until
from supervisor import Clients, Supervisor, wait_for


THREADS = 4


def said(s):
    return [line for line in s.logged("fork")]


def at_the_start(group):
    group.limit(1)
    with Supervisor(workers=2, start=False) as s:
        s.start(before=group.command)
        wait_for(lambda: said(s), "its sentence")
        tap.ok("limit of processes" in said(s)[0] and "pids.max" in said(s)[0],
               "no process at the start: it says what limits it", said(s))  # fmt: skip
        tap.equal(s.process.poll(), None, "it waits for better times")
        group.lift()
        s.until()
        tap.equal(len(s.pids()), 2, "with room again, two workers")
        tap.equal(len(said(s)), 1, "it was said once")
        tap.equal(s.status()["reason"], None, "and is no reason any more")


def while_it_serves(group):
    with Supervisor(workers=3, start=False) as s:
        s.start(before=group.command)
        before = s.until()
        pids = s.pids()
        with Clients(s, 4) as clients:
            group.limit(1)
            os.kill(pids[0], signal.SIGKILL)
            wait_for(lambda: s.status()["reason"], "a reason")
            n = len(clients.answers)
            wait_for(lambda: len(clients.answers) > n + 20, "answers")
            status = s.status()
            served = {answer[2].decode().split()[0].split(".")[2] for answer in clients.answers[n + 4 :]}
            group.lift()
            wait_for(lambda: len(s.pids()) == 3 and s.status()["reason"] is None, "a third worker")
        tap.ok("limit of processes" in (status["reason"] or ""), "/status says why a worker is missing",
               status["reason"])  # fmt: skip
        tap.ok(served <= {str(pids[1]), str(pids[2])}, "the two others serve on", served)
        tap.ok(len(clients.errors) <= 1, "nobody loses anything but what the dead worker had", clients.errors)
        tap.equal(len(said(s)), 1, "it was said once")
        tap.equal(len(s.logged("fork_works")), 1, "and once that it is over")
        tap.equal(s.status()["generation"], before["generation"], "the same generation")
        tap.equal({s.pids()[1], s.pids()[2]}, {pids[1], pids[2]}, "nobody else was replaced")


def control_too(group):
    """resnet-control answers for the service: nobody can be asked while it is missing."""
    with Supervisor(workers=2, start=False) as s:
        s.start(before=group.command)
        s.until()
        group.limit(1)
        os.kill(control_of(s), signal.SIGKILL)
        wait_for(lambda: said(s), "its sentence")
        tap.ok("resnet-control" in said(s)[0], "resnet-control cannot be started again: the log says so", said(s))
        tap.equal(s.work()[0], 200, "the workers serve on")
        group.lift()
        tap.equal(len(s.until()["workers"]), 2, "with room again it is back")


def control_of(s):
    return next(pid for pid in children(s.process.pid) if name_of(pid) == "resnet-control")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def name_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.path.basename(file.read().split(b"\0")[0].decode())


def at_a_reload(group):
    """The new generation is not there until one of it has proved itself."""
    with Supervisor(workers=2, start=False) as s:
        s.start(before=group.command)
        pids = s.until() and s.pids()
        s.mode("fail")
        group.limit(1)
        s.signal(signal.SIGHUP)
        wait_for(lambda: s.status()["reload"]["failed"] == 1, "the reload's end")
        status = s.status()
        tap.ok("limit of processes" in (status["reason"] or ""), "a reload without a process fails, and says why",
               status["reason"])  # fmt: skip
        tap.equal(s.pids(), pids, "the old workers serve on")
        group.lift()
        s.mode("ok")
        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: len(now := s.pids()) == 2 and now.get(0, 0) not in (0, pids[0]), "another worker")
        workers = {worker["generation"] for worker in s.status()["workers"]}
        tap.equal(workers, {1}, "a respawn is of the generation that serves")
        s.signal(signal.SIGHUP)
        wait_for(lambda: s.status()["reload"]["ok"] == 1, "a reload that works")
        tap.equal(s.status()["reason"], None, "the next one works")


def no_more_threads(group):
    """Room for a process, but not for all of its threads."""
    with Service(workers=2, cold=True, before=group.command, RESNET_THREADS=THREADS) as service:
        group.limit(3)  # the supervisor, resnet-control, a worker
        service.start_spawn()
        why = until(lambda: "thread" in (now := reason(service)) and now, 60, "the reason")
        tap.ok("pids.max" in why and "RESNET_THREADS" in why, "no threads at the start: /status says what to do", why)
        group.lift()
        service.wait_ready()
        until(lambda: not reason(service), 60, "no reason any more")
        tap.equal(len(service.all_workers()), 2, "with room again, two workers")
        pictures, workers = known(service), service.all_workers()
        with Load(service, pictures, 4) as load:
            group.limit(group.count() - 1)
            os.kill(workers[0], signal.SIGKILL)
            until(lambda: "thread" in reason(service), 60, "the reason")
            n = load.good()
            until(lambda: load.good() > n + 20, 60, "answers of the other worker")
            group.lift()
            until(lambda: len(service.workers()) == 2 and not reason(service), 60, "a second worker")
        tap.ok(load.all_good(), "no threads for a worker's replacement: every request gets 200", load.results)
        tap.ok(workers[1] in service.workers(), "the other one stays", service.workers())


def reason(service):
    try:
        return service.status()["reason"] or ""
    except (web.Broken, ValueError, KeyError):
        return ""  # resnet-control is not there yet


def with_group(test):
    def run():
        try:
            with Pids() as group:
                test(group)
        except Unavailable as error:
            tap.skip(test.__name__, str(error))

    run.__name__ = test.__name__
    return run


TESTS = at_the_start, while_it_serves, control_too, at_a_reload, no_more_threads
tap.run(*(with_group(test) for test in TESTS))
