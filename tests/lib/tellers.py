"""tellers.py: what became of millions of requests, from logs that are rotated while they are written:
each id is counted, and no file is kept."""

import collections
import os
import re
import signal

from service import until

# resnet-load's ids are load-RUN-NUMBER.
SPAWN_ID = re.compile(rb" event=request request_id=load-([0-9a-f]{8})-(\d+) ")
NGINX_ID = re.compile(rb'"request_id":"load-([0-9a-f]{8})-(\d+)"')


class Teller:
    """One log. pid: who reopens it on USR1; holders: all that may have it open."""

    def __init__(self, path, pid, holders, ids, request):
        self.path, self.pid, self.holders = path, pid, holders
        self.ids, self.request = ids, request
        self.seen = collections.defaultdict(bytearray)  # run -> how often each number
        self.lines = self.loads = self.requests = self.bytes = 0
        self.torn = 0  # files that do not end with a whole line
        self.other = []  # lines that are not about a request of resnet-load's

    def rotate(self):
        """Counts what was written up to now."""
        old = self.path + ".1"
        os.rename(self.path, old)
        os.kill(self.pid, signal.SIGUSR1)
        until(lambda: not any(holds(pid, old) for pid in self.holders), 60, f"nobody to have {old} open")
        until(lambda: os.path.exists(self.path), 60, self.path)
        with open(old, "rb") as file:
            self.count(file.read())
        os.unlink(old)

    def count(self, data):
        self.bytes += len(data)
        self.torn += bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            self.lines += 1
            found = self.ids.search(line)
            self.requests += self.request in line
            if not found:
                self.other.append(line)
                continue
            self.loads += 1
            run, number = self.seen[found[1]], int(found[2])
            if number >= len(run):
                run.extend(bytes(number + 1 - len(run)))
            run[number] = min(run[number] + 1, 255)

    def wrong(self, lengths):
        """{} when each of the runs, of those lengths, has each number from 1 on exactly once."""
        found = {run.decode(): collections.Counter(numbers[1:]) for run, numbers in self.seen.items()}
        right = sorted(len(numbers) - 1 for numbers in self.seen.values()) == sorted(lengths)
        return {} if right and all(set(counts) == {1} for counts in found.values()) else found


def holds(pid, path):
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:
        return False
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == path:
                return True
        except FileNotFoundError:
            pass  # closed since
    return False
