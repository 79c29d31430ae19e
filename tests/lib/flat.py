"""flat.py: whether every process of a service stays as it is while it works: memory of its own,
descriptors, threads, sampled against the requests that it has served.

    watch = Watch(service)
    ...requests...
    watch.sample(); ...; watch.sample()
    watch.growing()     # {} or {"resnet-fcgi 0": "31.9 bytes a request, ..."}
"""

import collections
import os

from service import children

LEAK_BYTES = 8  # a request: half of the smallest leak that is to be seen
NOISE_BYTES = 256 << 10  # that a process may grow by between two moments without having leaked

# requests: of this worker, or of all where it is no worker.
Sample = collections.namedtuple("Sample", "requests bytes fds threads")


def slope(samples):
    """Bytes a request: the median over all pairs of samples, which a few steps up or down do not
    move (Theil and Sen)."""
    found = sorted(
        (b.bytes - a.bytes) / (b.requests - a.requests)
        for i, a in enumerate(samples) for b in samples[i + 1 :] if b.requests > a.requests
    )  # fmt: skip
    return found[len(found) // 2] if found else 0.0


def allowed(samples):
    """The steepest slope that is still noise: the fewer the requests, the less can be said."""
    requests = samples[-1].requests - samples[0].requests
    return LEAK_BYTES + NOISE_BYTES / max(requests, 1)


def own_bytes(pid):
    """Memory that no file stands behind: not the model, which all workers map."""
    kib = 0
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:")):
                kib += int(line.split()[1])
    return kib << 10


def number_of(pid, what):
    return len(os.listdir(f"/proc/{pid}/{what}"))


class Watch:
    def __init__(self, service):
        self.service = service
        self.pids = {"resnet-spawn": service.spawn.pid, "nginx master": service.nginx.process.pid}
        self.slots = {}
        for n, worker in enumerate(service.status()["workers"]):
            self.pids[f"resnet-fcgi {n}"] = worker["pid"]
            self.slots[f"resnet-fcgi {n}"] = worker["pid"]
        for name, parent in (("resnet-control", service.spawn.pid), ("nginx", service.nginx.process.pid)):
            for n, pid in enumerate(children(parent, name)):
                self.pids[f"{name} {n}"] = pid
        self.series = {name: [] for name in self.pids}

    def now(self):
        """{name: Sample}"""
        served = {pid: worker["requests"] for pid, worker in self.service.states().items()}
        return {
            name: Sample(served[pid] if name in self.slots else sum(served.values()), own_bytes(pid),
                         number_of(pid, "fd"), number_of(pid, "task"))
            for name, pid in self.pids.items()
        }  # fmt: skip

    def sample(self):
        for name, one in self.now().items():
            self.series[name].append(one)

    def growing(self):
        """Processes whose memory grows with the requests."""
        return {
            name: f"{slope(s):.1f} bytes a request where {allowed(s):.1f} may be noise: "
            f"{[(x.requests, x.bytes) for x in s]}"
            for name, s in self.series.items() if slope(s) > allowed(s)
        }  # fmt: skip

    def table(self):
        """A line a process."""
        for name, s in self.series.items():
            fds, threads = [x.fds for x in s], [x.threads for x in s]
            yield (f"{name}: {s[-1].requests - s[0].requests} requests, {s[0].bytes >> 10} to "
                   f"{s[-1].bytes >> 10} KiB ({min(x.bytes for x in s) >> 10} to "
                   f"{max(x.bytes for x in s) >> 10}), {slope(s):+.2f} bytes a request "
                   f"(may be {allowed(s):.2f}), descriptors {min(fds)} to {max(fds)}, threads "
                   f"{min(threads)} to {max(threads)}")  # fmt: skip
