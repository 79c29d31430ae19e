#!/usr/bin/env python3
"""A worker that somebody has taken over tries ten things. In the sandbox each ends it, the log says
what it tried, its client is answered by another worker, and nobody else notices. Without the sandbox
the same ten succeed. Then: what every process has given up, and what is said where it is off."""

# timeout: 180

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import draw
import tap
from load import Load, known
from service import Service, children, clean_environment, program, small_model, until

WORKERS = 3
# what is tried, and the system call by which it is noticed
ATTACKS = {
    "execve": {"execve"},
    "open": {"openat", "open"},
    "socket": {"socket"},
    "connect": {"connect"},
    "kill": {"kill"},
    "ptrace": {"ptrace"},
    "fork": {"clone", "clone3", "fork", "?"},
    "mprotect": {"mprotect"},
    "mmap": {"mmap"},
    "page": {"process_vm_writev"},
    "quiet": {"?"},
}
FAULTS = ";".join(f"attack={name}@decode~attack-{name}:1" for name in ATTACKS)


NO_SECCOMP = [sys.executable, os.path.join(os.path.dirname(tap.__file__), "no_seccomp.py")]


@contextlib.contextmanager
def sleepers():
    """One process for each attack that is against another one."""
    processes = {name: subprocess.Popen(["sleep", "600"]) for name in ("kill", "ptrace")}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def sanitized():
    return "/san-" in os.environ.get("BUILD", "") + "/"


def page_of(pid):
    """The last byte, which nobody uses, of a worker's page in the scoreboard; None: it has none yet."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
            ends = [line.split("-")[1].split()[0] for line in file if "memfd:resnet-slot" in line]
    except OSError:
        return None
    return int(ends[0], 16) - 1 if ends else None


def attack(service, name, victims):
    """The answer of the request whose worker was told to try it; its body is nobody else's, as one that
    two workers ended on, and that none has answered in between, is quarantined."""
    request_id, picture = f"attack-{name}", draw.jpeg(seed=1000 + list(ATTACKS).index(name))
    if name in victims:
        request_id += f"-{victims[name].pid}"
    elif name == "page":
        pages = until(lambda: [(pid, at) for pid in service.workers() if (at := page_of(pid))], 60,
                      "a worker's page")  # fmt: skip
        request_id += "-%d-%x" % pages[0]
    return service.post(picture, {"X-Request-ID": request_id}), request_id


def violations(service, request_id):
    return [line["syscall"] for line in service.logged("sandbox_violation")
            if line["request_id"] == request_id]  # fmt: skip


def stopped():
    if sanitized():
        tap.skip("all attacks", "a sanitizer build has no sandbox")
        return
    with sleepers() as victims, Service(workers=WORKERS, faults=FAULTS) as service:
        pictures = known(service)
        with Load(service, pictures, 2) as load:
            for n, (name, calls) in enumerate(ATTACKS.items(), 1):
                answer, request_id = attack(service, name, victims)
                tap.equal(answer.status, 200, f"{name}: another worker answers")
                # by the supervisor it is said after the request has gone to another worker
                with contextlib.suppress(TimeoutError):
                    until(lambda r=request_id: violations(service, r), 60, "the violation")
                found = violations(service, request_id)
                tap.ok(len(found) == 1 and found[0] in calls, f"{name}: ended by the sandbox", found)
                total = "resnet_sandbox_violations_total"
                until(lambda least=n: service.metric(total) >= least, 60, "the count")
                tap.equal(service.metric(total), n, f"{name}: counted")
                until(lambda: len(service.workers()) == WORKERS, 60, "all workers again")
        tap.ok(load.all_good(), "others see only 200", load.results)
        tap.equal(service.logged("attacked"), [], "no attack came to an end")
        tap.ok(not os.path.exists(os.path.join(service.directory, "faults.taken")), "no shell ran")
        tap.equal(victims["kill"].poll(), None, "the process that was to be killed lives")
        sandbox = service.status()["sandbox"]
        tap.equal(sandbox, {"state": "on", "violations": len(ATTACKS)}, "/status says so")


def off():
    """The test can fail: all of them succeed."""
    # one that is traced ends only after its tracer
    with sleepers() as victims, \
            Service(workers=WORKERS, faults=FAULTS, RESNET_SANDBOX="off") as service:  # fmt: skip
        for name in ATTACKS:
            answer, request_id = attack(service, name, victims)
            tap.equal(answer.status, 200, f"off: {name}: answered")
            if name == "execve":
                taken = os.path.join(service.directory, "faults.taken")
                until(lambda path=taken: os.path.exists(path), 60, "the shell's file")
                tap.ok(True, "off: a shell ran")
                until(lambda: len(service.workers()) == WORKERS, 60, "all workers again")
                continue
            error = [x["error"] for x in service.logged("attacked") if x["request_id"] == request_id]
            if name == "ptrace" and error == ["Operation not permitted"]:
                tap.skip("off: ptrace", "this kernel forbids it to everybody (Yama)")
                continue
            tap.equal(error, ["none"], f"off: {name} succeeds")
        tap.equal(victims["kill"].wait(60), -15, "off: the other process was killed")
        tap.equal(service.logged("sandbox_violation"), [], "off: nothing was noticed")
        tap.equal(service.status()["sandbox"], {"state": "off", "violations": 0}, "off: /status")
        tap.equal(service.metric("resnet_sandbox_enabled"), 0, "off: the metric")
        told = {line["program"] for line in service.logged("sandbox")}
        tap.equal(told, {"resnet-fcgi", "resnet-control"}, "off: said in the log by each")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def soft_limit(pid, name):
    with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
        return next(line.split()[3] for line in file if line.startswith(name))


def threads_of(pid):
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def what_is_left():
    if sanitized():
        tap.skip("what is left", "a sanitizer build has no sandbox")
        return
    with Service(workers=WORKERS) as service:
        service.until_idle(WORKERS)  # who still starts has all that it needs for that
        tap.equal(service.metric("resnet_sandbox_enabled"), 1, "on by default")
        control = children(service.spawn.pid, "resnet-control")
        for pid in service.workers() + control:
            name = "resnet-control" if pid in control else "a worker"
            seccomp = {status_of(thread)["Seccomp"] for thread in threads_of(pid)}
            tap.equal(seccomp, {"2"}, f"{name}: all its threads are under a filter")
            tap.equal(status_of(pid)["NoNewPrivs"], "1", f"{name}: no new privileges")
            tap.ok(soft_limit(pid, "Max data size").isdigit(), f"{name}: its memory is bounded")
        for pid in service.workers():
            opened = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            kinds = sorted(re.sub(r"^/proc/\d+/|:\[\d+\]$", "", name) for name in opened.values())
            allowed = {"socket", "/dev/null", "pipe", "statm", "smaps_rollup", "anon_inode:[signalfd]",
                       "anon_inode:[eventpoll]", "anon_inode:[eventfd]", service.log,
                       os.path.realpath(service.model)}  # fmt: skip
            tap.equal([k for k in kinds if k not in allowed], [], "a worker: nothing else is open")
            tap.equal(kinds.count("socket"), 1, "a worker: one socket, which listens")
        spawn = status_of(service.spawn.pid)
        tap.equal(spawn["Seccomp"], "0", "the supervisor has no filter: it would survive exec")
        for pid in [service.spawn.pid, *control, *service.workers()]:
            sets = {status_of(pid)[name].strip("0") for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
            tap.equal(sets, {""}, "nobody has a capability")


def what_libc_does_late():
    """Calls that libc makes at the first use of something: a long list of keys is sorted."""
    with Service(workers=1) as service:
        keys = {f"key{i}": 1 for i in range(1500)}
        answer = service.post(json.dumps({"inputs": [], "parameters": keys}).encode(),
                              {"Content-Type": "application/json"}, "/v2/models/resnet50/infer")  # fmt: skip
        tap.equal(answer.status, 400, "1500 keys: an answer")
        tap.equal(service.logged("sandbox_violation"), [], "and no violation")


def forbidden_here():
    with Service(workers=1, before=NO_SECCOMP) as service:
        answer = service.post(draw.jpeg())
        state = service.status()["sandbox"]["state"]
        expected = "off" if sanitized() else "missing"
        tap.equal((answer.status, state), (200, expected), "without seccomp it serves, and says so")
        if not sanitized():
            reasons = [line["reason"] for line in service.logged("sandbox")]
            tap.ok(reasons and all("no seccomp filter" in r for r in reasons), "the log says why", reasons)


def required():
    directory = tempfile.mkdtemp(prefix="resnet-t.")
    environment = clean_environment(RESNET_MODEL=small_model(), RESNET_SANDBOX="require",
                                    RESNET_RUN_DIR=directory)  # fmt: skip
    told = subprocess.run([*NO_SECCOMP, program("resnet-spawn")], env=environment, capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    tap.equal(told.returncode, 78, "require: it does not start")
    tap.ok("RESNET_SANDBOX=require: there is no sandbox" in told.stderr, "and says why", told.stderr)
    shutil.rmtree(directory)


tap.run(stopped, off, what_is_left, what_libc_does_late, forbidden_here, required)
