#!/usr/bin/env python3
"""The model file is changed in place while workers have it mapped: cut off, written over, touched.
No answer is computed from what was not checked: workers leave with a reason, their requests go to
others, and a good file under the name is taken without being told. Renaming one over it harms nobody."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading

import tap
import web
from load import Load, known, without_id
from service import START_S, Service, clean_environment, model, program, small_model, until

SLOW = "sleep=4@*"  # each layer: a request takes a quarter of a second


def ctl(service, *arguments):
    return subprocess.run(
        [program("resnet-ctl"), *arguments], env=clean_environment(**service.environment),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def reason(service):
    return service.status()["reason"] or ""


def put(source, path):
    """As it should be done: aside, then renamed."""
    shutil.copyfile(source, path + ".new")
    os.rename(path + ".new", path)


def known_when_all_serve(service):
    """A file that is no good while one of the first generation still loads it ends the service."""
    until(lambda: service.status()["state"] == "serving", START_S, "all workers")
    return known(service)


def until_served(load, more=20):
    n = load.good()
    until(lambda: load.good() >= n + more, 60, "answers")


def cut_off(path):
    """While requests are computed; a good file is put back by renaming, and nobody is told."""
    with Service(workers=3, model=path, faults=SLOW) as service:
        pictures = known_when_all_serve(service)
        with Load(service, pictures, 4) as load:
            until_served(load, 4)
            os.truncate(path, 100_000)
            status = until(lambda: "100000" in ((now := service.status())["reason"] or "") and now, 60, "the reason")
            told = ctl(service, "doctor").stdout
            until(lambda: service.logged("back_off"), 60, "back-off")
            tries = len(service.logged("worker_end"))
            put(small_model(), path)
            until_served(load)
        tap.ok(load.all_good(), "cut off under load: every request gets its 200", load.results)
        changed = service.logged("model_changed")
        tap.ok(changed and changed[0]["how"] == "cut off" and changed[0]["path"] == path
               and changed[0]["is"] == "100000", "a worker leaves with a reason", changed)  # fmt: skip
        tap.ok(status["ends"]["model_changed"] >= 1 and status["ends"]["crashed"] == 0,
               "it is counted as that, not as a crash", status["ends"])  # fmt: skip
        tap.equal((status["quarantine"]["inputs"], service.logged("death")), ([], []),
                  "no request and no body is blamed")  # fmt: skip
        tap.ok(path in status["reason"] and "expected" in status["reason"], "/status says what is wrong",
               status["reason"])  # fmt: skip
        tap.ok("model" in told and "100000" in told, "resnet-ctl doctor, too", told)
        tap.ok(tries < 100, "nobody spins", tries)
        until(lambda: reason(service) == "", 60, "no reason any more")
        tap.equal(known(service), pictures, "a good file under its name is taken: the same answers")
        asked_why(service)


def asked_why(service):
    lost = [line for line in service.logged("lost") if line["end"] == "model_changed"]
    if not lost:
        return tap.skip("resnet-ctl why", "all workers were between two requests")
    asked = lost[0]["request_id"]
    until(lambda: asked in [line["request_id"] for line in service.access()], 60, "nginx's line of it")
    told = ctl(service, "why", asked, "--from", service.log, service.access_log).stdout
    return tap.ok("model file had been changed" in told and "Answered 200" in told, "resnet-ctl why says so", told)


class Asking:
    """Clients that keep which of the pictures got which answer."""

    def __init__(self, service, pictures, clients=4):
        self.answers, self.stopped = [], threading.Event()
        self.service, self.pictures = service, [picture for picture, _ in pictures]
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]

    def _ask(self, n):
        while not self.stopped.is_set():
            n = (n + 1) % len(self.pictures)
            try:
                answer = self.service.post(self.pictures[n])
                self.answers.append((answer.status, self.pictures[n], without_id(answer)))
            except web.Broken as error:
                self.answers.append((0, self.pictures[n], str(error)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def written_over(path):
    """By another model of the same shape: what came of a mixture would look right, and be wrong."""
    other = path + ".other"
    command = [program("resnet-pack"), "random", "--seed", "2", "--width", "1/8", "-o", other]
    subprocess.run(command, check=True, env=clean_environment(), timeout=120)
    with open(other, "rb") as file:
        other = file.read()
    with Service(workers=3, model=path, faults=SLOW) as service:
        first = known_when_all_serve(service)
        with Asking(service, first) as asking:
            until(lambda: len(asking.answers) >= 8, 60, "answers")
            service.spawn.send_signal(signal.SIGSTOP)  # nobody is started from half of it
            with open(path, "r+b") as file:
                file.write(other)
            service.spawn.send_signal(signal.SIGCONT)
            until(lambda: service.logged("reload_done"), 60, "another generation")
            n = len(asking.answers)
            until(lambda: len(asking.answers) >= n + 12, 60, "answers")
        second = known(service)
        told = [(200, *pair) for pair in first], [(200, *pair) for pair in second]
        tap.equal([x for x in asking.answers if x not in told[0] + told[1]], [],
                  "written over by another model: each answer is of one of the two, and none is lost")  # fmt: skip
        tap.ok(any(x in told[0] for x in asking.answers) and any(x in told[1] for x in asking.answers)
               and first != second, "there are answers of both")  # fmt: skip
        after = [x for x in asking.answers[n + 4 :] if x not in told[1]]
        tap.equal(after, [], "and after the change of the new one alone")
        tap.equal(service.status()["ends"]["crashed"], 0, "nobody crashed")
        tap.equal(reason(service), "", "there is nothing to complain of")


def damaged(path):
    """A few bytes in the middle, as a bad disk or a stray write would: nothing is computed from it."""
    with Service(workers=2, model=path) as service:
        pictures = known_when_all_serve(service)
        with open(path, "r+b") as file:
            for at in range(1 << 16, os.path.getsize(path), 1 << 16):
                file.seek(at)
                file.write(b"\xa5")
        with Load(service, pictures, 2) as load:
            until(lambda: "CRC-32C" in reason(service), 60, "the reason")
            until(lambda: service.get("/health/ready").status == 503, 60, "not ready")
            put(small_model(), path)
            result = ctl(service, "reload")
            until_served(load)
        tap.equal(result.returncode, 0, "damaged in place: resnet-ctl reload with a good file heals")
        tap.ok(load.all_good(), "no answer was computed from it; all waited for a good one", load.results)


def touched(path):
    """Its time alone: it is checked again, and that is all."""
    with Service(workers=2, model=path) as service:
        pictures, before = known(service), set(service.all_workers())
        with Load(service, pictures, 4) as load:
            until_served(load)
            os.utime(path)
            until(lambda: not before & set(service.workers()) and not service.status()["reload"]["active"],
                  60, "new workers")  # fmt: skip
            until_served(load)
        tap.ok(load.all_good(), "touched: all 200", load.results)


def renamed_over(path):
    with Service(workers=2, model=path) as service:
        pictures, before = known(service), service.all_workers()
        with Load(service, pictures, 4) as load:
            put(model("1/4"), path)
            until_served(load)
            os.unlink(path)
            until_served(load)
        tap.ok(load.all_good(), "another file renamed over it, and then none: all 200", load.results)
        tap.equal(service.workers(), before, "nobody left")
        tap.equal(service.logged("model_changed"), [], "nobody has anything to say")
        put(small_model(), path)


def with_copy(test):
    def run():
        with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
            path = os.path.join(directory, "model.rnm")
            shutil.copyfile(small_model(), path)
            test(path)

    run.__name__ = test.__name__
    return run


tap.run(*(with_copy(test) for test in (cut_off, written_over, damaged, touched, renamed_over)))
