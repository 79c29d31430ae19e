#!/usr/bin/env python3
"""A request that kills every worker that touches it: three die at most, its client is told 500, and
nobody else notices."""

# timeout: 180

import draw
import tap
from load import Load, fault_of_error, known, without_id
from service import Service, until

WORKERS, LIMIT = 4, 3


def dead(service):
    return sum(n for end, n in service.status()["ends"].items() if end not in ("drained", "recycled"))


def poisoned(name, fault, **environment):
    with Service(workers=WORKERS, faults=f"{fault}~poison", **environment) as service:
        pictures = known(service)
        with Load(service, pictures, 4) as load:
            for i in range(max(2, int(tap.T / 10))):
                before = dead(service)
                request_id = f"poison-{name}-{i}"
                answer = service.post(draw.jpeg(seed=100 + i), {"X-Request-ID": request_id})
                tap.equal((answer.status, answer.code()), (500, "worker_failed"), f"{name}: 500")
                tap.equal(fault_of_error(answer, request_id), None, f"{name}: our JSON")
                tap.equal(answer.header("retry-after"), None, f"{name}: without Retry-After")
                until(lambda b=before: dead(service) >= b + 2, 60, "two ends to be counted")
                until(lambda: len(service.workers()) == WORKERS, 60, "all workers again")
                died = dead(service) - before
                tap.ok(2 <= died <= LIMIT, f"{name}: two or three workers died for it", died)
        tap.note(f"{name}: {dead(service)} workers died; others: {load.results}")
        tap.ok(load.all_good(), f"{name}: others see only 200", load.results)


def crash():
    poisoned("segv", "segv@layer2.0")


def abort():
    poisoned("abrt", "abrt@decode")


def stuck():
    poisoned("loop", "loop@layer2.0", RESNET_STALL_TIMEOUT="300ms")


def id_is_not_the_clients():
    """Deaths are kept under nginx's own id: nobody can have another's request refused."""
    with Service(workers=WORKERS, faults=f"segv@layer2.0~poison:{LIMIT}",
                 RESNET_QUARANTINE="0") as service:
        pictures = known(service)
        headers = {"X-Request-ID": "poison-the-same-id"}
        first = service.post(draw.jpeg(), headers)
        again = service.post(draw.jpeg(), headers)
        tap.equal((first.status, again.status), (500, 200), "the same id again: a request of its own")
        tap.equal(without_id(again), pictures[0][1], "answered as ever")


tap.run(crash, abort, stuck, id_is_not_the_clients)
