#!/usr/bin/env python3
"""A body that kills workers in two requests is refused at once from then on, whoever sends it, until the
operator lets it in or the time is over; one that was answered in between is not, nor is any other."""

# timeout: 180

import hashlib
import subprocess

import draw
import tap
from service import Service, clean_environment, program, until

WORKERS = 3
BODY, OTHER = draw.jpeg(seed=11), draw.jpeg(seed=12)
FAULT = "segv@layer2.0~poison"
QUARANTINED = (422, "input_quarantined")
FAILED = (500, "worker_failed")


def post(service, body, request_id):
    answer = service.post(body, {"X-Request-ID": request_id})
    return answer.status, answer.code() if answer.status != 200 else None


def inputs(service):
    return {i["sha256"]: (i["requests"], i["refused"]) for i in service.status()["quarantine"]["inputs"]}


def all_there(service):
    until(lambda: len(service.workers()) == WORKERS, 60, "all workers again")


def kill_twice(service, body, name):
    """Two requests that kill. Where the machine is slow the second may have been tried once more
    before its first worker's death was on record."""
    tap.equal(post(service, body, "poison-1"), FAILED, f"{name}: the first request fails")
    second = post(service, body, "poison-2")
    tap.ok(second in (FAILED, QUARANTINED), f"{name}: the second, too", second)
    until(lambda: post(service, body, "harmless-1") == QUARANTINED, 60, "the quarantine")
    tap.ok(True, f"{name}: then the body is refused, whoever sends it")
    all_there(service)


def release(service):
    environment = clean_environment(RESNET_RUN_DIR=service.run_dir)
    return subprocess.run([program("resnet-ctl"), "release"], env=environment, capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip


def crashes():
    digest = hashlib.sha256(BODY).hexdigest()
    with Service(workers=WORKERS, faults=FAULT) as service:
        tap.equal(post(service, BODY, "harmless-0"), (200, None), "a body as any other")
        tap.equal(inputs(service), {}, "nobody is suspected")
        kill_twice(service, BODY, "crash")
        tap.equal(inputs(service), {digest: (2, True)}, "/status shows it")
        logged = [line["body"] for line in service.logged("quarantined")]
        tap.equal(logged, [digest], "and the log, once")
        tap.equal(post(service, OTHER, "harmless-2"), (200, None), "another body is computed")
        told = release(service)
        tap.equal((told.returncode, told.stderr), (0, ""), "resnet-ctl release")
        until(lambda: post(service, BODY, "harmless-3") == (200, None), 60, "the body to be let in")
        tap.equal(inputs(service), {}, "it is let in again")


def one_request_is_one():
    """However many workers it takes along."""
    digest = hashlib.sha256(BODY).hexdigest()
    with Service(workers=WORKERS, faults=FAULT) as service:
        tap.equal(post(service, BODY, "poison-1"), FAILED, "a request that kills two workers")
        all_there(service)
        tap.equal(inputs(service), {digest: (1, False)}, "is one request")


def answered_in_between():
    with Service(workers=WORKERS, faults=FAULT) as service:
        for i in range(3):
            all_there(service)
            tap.equal(post(service, BODY, f"poison-{i}"), FAILED, f"{i}: killed")
            all_there(service)
            tap.equal(post(service, BODY, f"harmless-{i}"), (200, None), f"{i}: and answered")


def stuck():
    with Service(workers=WORKERS, faults="loop@layer2.0~poison", RESNET_STALL_TIMEOUT="300ms") as service:
        kill_twice(service, BODY, "stuck")


def time_is_over():
    with Service(workers=WORKERS, faults=FAULT, RESNET_QUARANTINE="3s") as service:
        for i in range(2):
            post(service, BODY, f"poison-{i}")
        until(lambda: post(service, BODY, "harmless-1") == (200, None), 60, "the time to be over")
        tap.ok(True, "after its time it is computed again")


def none():
    with Service(workers=WORKERS, faults=FAULT, RESNET_QUARANTINE="0") as service:
        for i in range(3):
            tap.equal(post(service, BODY, f"poison-{i}"), FAILED, f"off: {i}: tried each time")
            all_there(service)


tap.run(crashes, one_request_is_one, answered_in_between, stuck, time_is_over, none)
