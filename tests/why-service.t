#!/usr/bin/env python3
"""For everything that a service can do to a request, `resnet-ctl why ID` tells the true story; also
from logs that were collected from several hosts, in any order and with anything in between."""

# timeout: 300

import concurrent.futures
import gzip
import os
import random
import re
import signal
import subprocess

import tap
from service import NGINX, STOP_S, Service, until
from why import BUSY, golden, holds, logs_of, post, tell, told

HELD_MS = 10000  # to be seen in


def stop(worker):
    """Until SIGCONT: however slow this machine is, it is not done before that."""
    os.kill(worker["pid"], signal.SIGSTOP)
    return worker["pid"]


def waits():
    """One worker, held: a request that waits for too long; one that finds the queue full."""
    with Service(workers=1, faults=f"sleep={HELD_MS}@layer1.0~why-first:1", RESNET_BACKLOG=1) as service:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            first = pool.submit(post, service, "why-first")
            held = stop(holds(service, "why-first", "layer1.0"))
            late = pool.submit(post, service, "why-late", **{"X-Request-Timeout-Ms": "500"})
            depth = lambda: service.status()["queue"]["depth"]  # noqa: E731
            until(lambda: depth() == 1, 60, "one that waits")
            second = pool.submit(post, service, "why-second")
            until(lambda: depth() == 2, 60, "a full queue")
            now = tell("why-first", environment={"RESNET_RUN_DIR": service.run_dir, "RESNET_LOG": service.log,
                                                 "NGINX_ACCESS_LOG": service.access_log})  # fmt: skip
            tap.ok(now.returncode == 0 and re.search(r"At present worker 0\.1, pid \d+, has it, for "
                                                     r"[\d.]+ m?s, in infer, layer1\.0\.conv1\.", now.stdout),
                   "who has it at present", now)  # fmt: skip
            shed = post(service, "why-shed")
            tap.equal((shed.status, shed.code()), (503, "overloaded"), "shed: 503")
            os.kill(held, signal.SIGCONT)
            tap.equal(late.result().status, 504, "late: 504")
            tap.equal((first.result().status, second.result().status), (200, 200), "others: 200")
        told(service, "shed", without=())
        told(service, "late", without=())


def no_request_at_all():
    with Service(workers=1, RESNET_MAX_BODY="64k") as service:
        tap.equal(post(service, "why-large", b"x" * 70000).status, 413, "too large: 413")
        told(service, "large", without=(*BUSY, "(service)"))  # its start was a moment ago
        tap.equal(post(service, "why-garbage", b"no picture").status, 415, "no picture: 415")
        told(service, "garbage", without=(*BUSY, "(service)"))


def stops():
    """A request that is answered during the drain, one that comes during it, one that comes after."""
    service = Service(workers=1, faults=f"sleep={HELD_MS}@layer1.0~why-drained:1")
    with service, concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(post, service, "why-drained")
        worker = stop(holds(service, "why-drained", "layer1.0"))
        service.spawn.send_signal(signal.SIGTERM)
        until(lambda: service.logged("drain"), 60, "the drain")
        late = post(service, "why-draining")
        tap.equal((late.status, late.code()), (503, "draining"), "draining: 503")
        os.kill(worker, signal.SIGCONT)
        tap.equal(held.result().status, 200, "drained: 200")
        tap.equal(service.spawn.wait(STOP_S), 0, "exit code 0")
        tap.equal(post(service, "why-nobody").status, 503, "nobody: 503")
        told(service, "drained", without=(*BUSY, "resnet-spawn ended"))  # as it does right after it
        for name, event in (("draining", "resnet-spawn was told to stop"), ("nobody", "resnet-spawn ended")):
            told(service, name, without=("(service)",))  # before or after nginx's line: nginx's clock ticks
            done = tell(f"why-{name}", *logs_of(service, f"why-{name}"))
            tap.ok(f"(service) {event}" in done.stdout, f"{name}: because {event}", done.stdout)


def drain_timeout():
    """Who takes longer than a drain may is killed, and its request is lost: that is said."""
    service = Service(workers=1, faults="sleep=600000@layer1.0~why-cut-off:1", RESNET_DRAIN_TIMEOUT="1s")
    try:
        service.start()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            held = pool.submit(post, service, "why-cut-off")
            holds(service, "why-cut-off", "layer1.0")
            tap.equal(service.stop()[0], 75, "drain timeout: exit code 75")
            tap.equal(held.result().status, 503, "cut off: 503")
        # resnet-control leaves as well: nginx may still find it, or nobody
        done = tell("why-cut-off", *logs_of(service, "why-cut-off"))
        lines = done.stdout.splitlines()
        said = "was killed: it had been told to leave, and RESNET_DRAIN_TIMEOUT was over; it was in infer, "
        tap.ok(done.returncode == 0 and said in lines[1] and lines[1].startswith("Answered 503")
               and any("(service) RESNET_DRAIN_TIMEOUT was over" in line for line in lines),
               "cut off: why", done.stdout)  # fmt: skip
    finally:
        service.kill()


# ---- several hosts -----------------------------------------------------------------------------


def restart_nginx(service, sockets):
    """The first service's nginx, with these for its workers' sockets."""
    path = os.path.join(service.directory, "conf.d", "resnet.conf")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    servers = "".join(f'    server "unix:{socket}" max_fails=0;\n' for socket in sockets)
    text = re.sub(r"(upstream resnet_work \{\n)[^}]*", lambda m: m[1] + servers, text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    service.nginx.stop()
    with open(os.path.join(service.directory, "nginx.out"), "ab") as out:
        service.nginx.process = subprocess.Popen(
            [NGINX, "-p", service.directory, "-c", os.path.join(service.directory, "nginx.conf"),
             "-g", "daemon off;"], stdout=out, stderr=out,
        )  # fmt: skip
    service.wait_ready()


def journal(path, host):
    """The lines as journalctl -o short-iso shows them."""
    with open(path, encoding="utf-8") as file:
        return [f"2026-11-20T10:00:00+0000 {host} resnet-spawn[7]: {line}" for line in file]


def answered(service, request_id):
    with open(service.log, encoding="utf-8") as file:
        return any(request_id in line and '"status":200' in line for line in file)


def two_hosts():
    """One nginx before two services; the first one's worker crashes, the second one's answers."""
    with Service(workers=1, faults="segv@layer2.0~why-hosts:1") as alpha, \
         Service(workers=1, RESNET_LOG_FORMAT="json") as beta:  # fmt: skip
        restart_nginx(alpha, [os.path.join(s.run_dir, "work.sock") for s in (alpha, beta)])
        answer = post(alpha, "why-hosts")
        tap.equal(answer.status, 200, "two hosts: 200")
        alpha.until_idle(1)
        until(lambda: answered(beta, "why-hosts"), 60, "the second host's line")
        log, access_log = logs_of(alpha, "why-hosts")
        lines = [*journal(log, "alpha"), *journal(beta.log, "beta"), *journal(access_log, "gamma")]
        lines += ["\n", "2026-11-20T10:00:00+0000 alpha kernel: \x1b[31mred\n", "{\n", "why-hosts\n"]
        random.shuffle(lines)
        merged = os.path.join(alpha.directory, "merged.log")
        with open(merged, "w", encoding="utf-8") as file:
            file.writelines(lines)
        golden("hosts", tell("why-hosts", merged))
        golden("hosts", tell(answer.header("x-request-id"), "-", stdin="".join(lines)))
        nginx_id = next(x["nginx_id"] for x in alpha.access() if x["request_id"] == "why-hosts")
        golden("hosts", tell(nginx_id, merged))
        with open(merged, "rb") as file, gzip.open(merged + ".gz", "wb") as packed:
            packed.write(file.read())
        golden("hosts", tell("why-hosts", merged + ".gz"))


# ---- which logs --------------------------------------------------------------------------------


def journal_only(service, found):
    """Where RESNET_LOG names no file, journalctl is asked; this one has what is in the log."""
    programs = os.path.join(service.directory, "programs")
    os.mkdir(programs)
    script = os.path.join(programs, "journalctl")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\n[ \"$*\" != \"${{*#*--unit=resnet-fcgi.service}}\" ] && cat {service.directory}/resnet.log.1\n")
    os.chmod(script, 0o755)
    environment = {"NGINX_ACCESS_LOG": service.access_log}
    asked = tell("why-default", environment={**environment, "PATH": f"{programs}:{os.environ['PATH']}"})
    tap.equal(asked.stdout, found.stdout, "without RESNET_LOG the journal is asked")
    os.unlink(script)
    missing = tell("why-default", environment={**environment, "PATH": programs})
    tap.ok("journalctl failed" in missing.stderr and "nginx: 200" in missing.stdout,
           "without a journal nginx's log has to do, and that is said", missing)  # fmt: skip


def defaults():
    with Service(workers=1) as service:
        log = os.path.join(service.directory, "resnet.log")
        service.environment["RESNET_LOG"] = log
        service.spawn.terminate()
        service.spawn.wait(STOP_S)
        service.start_spawn()
        service.wait_ready()
        post(service, "why-default")
        logs_of(service, "why-default")
        environment = {"RESNET_LOG": log, "NGINX_ACCESS_LOG": service.access_log}
        written = "it answered 200 ok"
        until(lambda: written in tell("why-default", environment=environment).stdout, 60, "the worker's line")
        found = tell("why-default", environment=environment)
        tap.ok(found.returncode == 0 and "nginx: 200 to the client" in found.stdout,
               "RESNET_LOG and nginx's log are found by themselves", found)  # fmt: skip
        os.rename(log, log + ".1")
        service.spawn.send_signal(signal.SIGUSR1)
        until(lambda: os.path.exists(log), 60, "the new log")
        again = tell("why-default", environment=environment)
        tap.equal(again.stdout, found.stdout, "so is the one that logrotate has put aside")
        journal_only(service, found)
        nothing = tell("no-such-id", environment=environment)
        tap.ok(nothing.returncode == 1 and "no line about no-such-id" in nothing.stderr,
               "an id that nobody has seen: exit code 1", nothing)  # fmt: skip
        gone = tell("why-default", log + ".9")
        tap.ok(gone.returncode == 1 and "No such file" in gone.stderr, "a log that is not there: 1", gone)


tap.run(waits, no_request_at_all, stops, drain_timeout, two_hosts, defaults)
