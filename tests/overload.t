#!/usr/bin/env python3
"""Overload is answered, not suffered: 200 or 503 with Retry-After, nothing else; the work that gets
done does not suffer, neither from clients that wait nor from those that do not."""

# alone
# timeout: 300

import collections
import time

import tap
from load import Load, known
from service import Service, model

WORKERS, BACKLOG, CLIENTS = 2, 16, 64
POLITE_SHARE, HOT_SHARE = 0.8, 0.7
ROUNDS, MOST_ROUNDS = 2, 8  # more, while what else happens on this machine blurs the shares


class Part:
    """One kind of clients, measured in turn with the others: what else happens on this machine then
    happens to all of them."""

    def __init__(self, clients, patience_s=None):
        self.clients, self.patience_s = clients, patience_s
        self.loads = []

    def run(self, service, pictures):
        with Load(service, pictures, self.clients, patience_s=self.patience_s) as load:
            time.sleep(max(2, tap.T / 4))
        self.loads.append(load)

    def rate(self):
        return sum(load.rate() for load in self.loads) / len(self.loads)

    def results(self):
        return sum((collections.Counter(load.results) for load in self.loads), collections.Counter())


    def share(self, calm):
        return self.rate() / calm.rate()


def compare(name, part, calm, least):
    share, results = part.share(calm), part.results()
    tap.note(f"{name}: {part.rate():.1f} answers a second, {share:.2f} of {calm.rate():.1f}; {results}")
    tap.ok(set(results) == {"200", "503 overloaded"}, f"{name}: 200 and 503, nothing else", results)
    tap.ok(share >= least, f"{name}: {least} of what as many clients as workers get, at least", share)


def everything():
    calm, polite, hot = Part(WORKERS), Part(CLIENTS, 1), Part(CLIENTS)
    with Service(workers=WORKERS, model=model("1/2"), RESNET_BACKLOG=BACKLOG, RESNET_THREADS=1) as service:
        pictures = known(service)
        for n in range(MOST_ROUNDS):
            if n >= ROUNDS and polite.share(calm) >= POLITE_SHARE and hot.share(calm) >= HOT_SHARE:
                break
            for part in (calm, polite, hot):
                part.run(service, pictures)
        tap.equal(set(calm.results()), {"200"}, "as many clients as workers: all 200")
        compare(f"{CLIENTS} clients that wait", polite, calm, POLITE_SHARE)
        compare(f"{CLIENTS} clients that do not", hot, calm, HOT_SHARE)
        service.until_idle(WORKERS)
        outcomes = {service.post(pictures[0][0]).status for _ in range(20)}
        tap.equal(outcomes, {200}, "an idle server answers at once afterwards")


tap.run(everything)
