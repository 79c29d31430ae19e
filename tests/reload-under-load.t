#!/usr/bin/env python3
"""Neither `kill -HUP` of resnet-spawn nor `nginx -s reload` costs a client its answer, and a HUP that
finds a broken model changes nothing."""

import os
import shutil
import signal
import subprocess
import time

import tap
from load import Load, known
from service import (NGINX, START_S, STOP_S, Service, clean_environment, damaged_model, program,
                     small_model, until)  # fmt: skip

RACE = "broken: closed between two requests"


def while_reloading(service, pictures, process, every_s, name):
    """Signals `process` again and again for T seconds under load."""
    signals = 0
    with Load(service, pictures) as load, Load(service, pictures, 4, keep_alive=True) as kept:
        end = time.monotonic() + tap.T
        while time.monotonic() < end:
            process.send_signal(signal.SIGHUP)
            signals += 1
            time.sleep(every_s)
    tap.note(f"{name}: {signals} times; answers: {load.results}; kept alive: {kept.results}")
    tap.ok(load.all_good(), f"{name}: every answer is 200, whole and right", load.results)
    tap.equal(load.not_logged(), {}, f"{name}: none is lost or twice in nginx's log")
    return kept


def closes_idle_connections():
    """nginx before 1.27.4 closes an idle kept connection when it reloads, whoever is just sending."""
    text = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    version = tuple(int(n) for n in text.split("/")[1].split()[0].split("."))
    return version < (1, 27, 4)


def workers_anew():
    with Service(workers=2) as service:
        pictures = known(service)
        first = service.all_workers()
        kept = while_reloading(service, pictures, service.spawn, 1, "HUP")
        tap.ok(kept.all_good(), "HUP: nor does it touch kept connections", kept.results)
        until(lambda: not service.status()["reload"]["active"], START_S, "the last reload")
        tap.ok(service.status()["generation"] > 1, "HUP: a new generation serves")
        until(lambda: len(service.workers()) == 2, STOP_S, "the old workers to leave")
        tap.ok(not set(first) & set(service.workers()), "HUP: the first workers have left")


def nginx_anew():
    with Service(workers=2) as service:
        pictures = known(service)
        kept = while_reloading(service, pictures, service.nginx.process, 2, "nginx -s reload")
        races = kept.count(RACE) if closes_idle_connections() else 0
        tap.note(f"kept connections closed under a client's hands: {races} of {kept.count()}")
        tap.equal(kept.good() + races, kept.count(), "nginx -s reload: kept connections lose nothing else")
        tap.equal(known(service), pictures, "and the same bits still")


def broken_model():
    service = Service(workers=2)
    model = os.path.join(service.directory, "model.rnm")
    shutil.copy(small_model(), model)
    service.environment["RESNET_MODEL"] = model
    with service:
        pictures, workers = known(service), service.all_workers()
        with open(model + ".new", "wb") as file:
            file.write(damaged_model())
        with Load(service, pictures) as load:
            os.rename(model + ".new", model)
            ctl = [program("resnet-ctl"), "reload"]
            told = subprocess.run(ctl, env=clean_environment(**service.environment), text=True,
                                  capture_output=True, timeout=START_S, check=False)  # fmt: skip
        tap.equal(told.returncode, 1, "a broken model: resnet-ctl reload ends with 1")
        tap.ok("model.rnm" in told.stderr, "and says what is wrong", told.stderr)
        status = service.status()
        tap.ok("model.rnm" in (status["reason"] or ""), "so does /status", status)
        tap.ok(service.logged("reload_failed"), "and the log")
        tap.ok(load.all_good(), "the old workers answer all the time", load.results)
        tap.equal(service.workers(), workers, "and are the same")
        shutil.copy(small_model(), model + ".new")
        os.rename(model + ".new", model)
        service.spawn.send_signal(signal.SIGHUP)
        until(lambda: service.status()["reload"]["ok"] == 1, START_S, "the reload")
        tap.equal(service.status()["reason"], None, "a good one clears the reason")
        tap.equal(known(service), pictures, "and serves")


tap.run(workers_anew, nginx_anew, broken_model)
