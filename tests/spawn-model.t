#!/usr/bin/env python3
"""resnet-spawn with real workers: a bad model at the start, at -t, and at a reload."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

import draw
import tap
from service import Service, clean_environment, damaged_model, program, small_model, until

PICTURE = draw.jpeg()


def corrupt(path):
    with open(path + ".new", "wb") as file:
        file.write(damaged_model())
    os.rename(path + ".new", path)


def run(*command, **environment):
    return subprocess.run(
        [program("resnet-spawn"), *command], env=clean_environment(**environment), timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def bad_from_the_start(directory):
    model, run_dir = os.path.join(directory, "model.rnm"), os.path.join(directory, "run")
    where = {"RESNET_MODEL": model, "RESNET_RUN_DIR": run_dir, "RESNET_WORKERS": 2}
    for name, make in (
        ("no model", lambda: None),
        ("a corrupt model", lambda: corrupt(model)),
        ("an empty model", lambda: open(model, "wb").close()),
    ):
        make()
        for arguments in ((), ("-t",)):
            result = run(*arguments, **where)
            what = " ".join(("resnet-spawn", *arguments, "with", name))
            tap.equal(result.returncode, 78, f"{what}: 78")
            tap.ok(model in result.stderr, "with a sentence that names the file", result.stderr)
    shutil.copy(small_model(), model)
    result = run("-t", **where)
    tap.equal(result.returncode, 0, "resnet-spawn -t with a good one: 0")
    tap.ok("good" in result.stdout, "and says so", result.stdout)
    tap.ok(not os.path.exists(os.path.join(run_dir, "work.sock")), "-t starts nothing")


def bad_at_a_reload(directory):
    model = os.path.join(directory, "model.rnm")
    shutil.copy(small_model(), model)
    with Service(workers=2, model=model) as service:
        expected = service.post(PICTURE).json()["predictions"]
        before = service.all_workers()
        with open(f"/proc/{before[0]}/comm", encoding="ascii") as file:
            tap.equal(file.read(), "resnet-fcgi\n", "started by descriptor, known by name")
        corrupt(model)
        result = subprocess.run(
            [program("resnet-ctl"), "reload"], env=clean_environment(**service.environment),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        tap.equal(result.returncode, 1, "HUP with a corrupt model: resnet-ctl reload says 1")
        tap.ok(model in result.stderr, "and why", result.stderr)
        reason = service.get("/status", port=service.inside).json()["reason"]
        tap.ok(model in (reason or ""), "/status has the reason", reason)
        tap.equal(service.workers(), before, "the old workers still serve")
        tap.equal(service.post(PICTURE).json()["predictions"], expected, "with the same answer")
        tap.equal(service.get("/health/ready").status, 200, "ready")
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len({*service.workers()} - {0, before[0]}) == 2, 60, "a worker in its place")
        service.until_idle(2)
        for _ in range(8):
            tap.equal(service.post(PICTURE).json()["predictions"], expected, "still the good model")
        tap.equal(service.logged("back_off"), [], "a worker's replacement has the model of its generation")
        shutil.copy(small_model(), model + ".new")
        os.rename(model + ".new", model)
        service.spawn.send_signal(signal.SIGHUP)
        until(lambda: not set(before) & set(service.workers()), 60, "new workers")
        tap.equal(service.post(PICTURE).json()["predictions"], expected, "a good one is taken")


@contextlib.contextmanager
def moved(path):
    os.rename(path, path + ".away")
    try:
        yield
    finally:
        os.rename(path + ".away", path)


@contextlib.contextmanager
def instead(path, make):
    """Something else under that name."""
    with moved(path):
        make(path)
        yield
        (os.rmdir if os.path.isdir(path) else os.unlink)(path)


def half(path):
    with open(small_model(), "rb") as whole, open(path, "wb") as file:
        file.write(whole.read(os.path.getsize(small_model()) // 2))


def unreadable(path):
    with open(path, "wb"):
        os.chmod(path, 0)


def ctl_reload(service):
    return subprocess.run(
        [program("resnet-ctl"), "reload"], env=clean_environment(**service.environment),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def not_there_at_a_reload(directory):
    models = os.path.join(directory, "models")
    model = os.path.join(models, "model.rnm")
    os.mkdir(models)
    shutil.copy(small_model(), model)
    cases = {
        "no directory": moved(models),
        "no file": moved(model),
        "a directory": instead(model, os.mkdir),
        "a link to nothing": instead(model, lambda path: os.symlink("nothing", path)),
        "half of a model": instead(model, half),
    }
    if os.geteuid():
        cases["one that may not be read"] = instead(model, unreadable)
    with Service(workers=2, model=model) as service:
        expected = service.post(PICTURE).json()["predictions"]
        for name, case in cases.items():
            before = service.all_workers()
            with case:
                result = ctl_reload(service)
                tap.equal(result.returncode, 1, f"reload, {name}: resnet-ctl says 1")
                tap.ok(model in result.stderr, f"reload, {name}: and names the file", result.stderr)
                tap.equal(service.workers(), before, f"reload, {name}: the old workers serve")
                os.kill(before[0], signal.SIGKILL)
                until(lambda b=before: len({*service.workers()} - {b[0]}) == 2, 60, "a successor")
                service.until_idle(2)
                answers = [service.post(PICTURE).json().get("predictions") for _ in range(4)]
                tap.equal(answers, [expected] * 4, f"reload, {name}: so does a dead one's successor")
        tap.equal(ctl_reload(service).returncode, 0, "reload, the model is back: 0")
        tap.equal(service.post(PICTURE).json()["predictions"], expected, "and it answers")


def everything():
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        bad_from_the_start(directory)
        bad_at_a_reload(directory)
        not_there_at_a_reload(directory)


tap.run(everything)
