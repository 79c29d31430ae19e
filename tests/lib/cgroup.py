"""cgroup.py: a share of a CPU, so many processes, or so much memory for a command, where this machine
lets us make such a group.

    with Cgroup() as group:
        with Service(before=group.command):
            group.limit(0.05)
"""

import errno
import os
import tempfile
import time


class Unavailable(Exception):
    """Says why no group can be made here."""


def _own(controller):
    """Our own path in the hierarchy that has this controller ("": the unified one), or None."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controller in controllers.split(","):
                return path
    return None


def _mount(kind, option=None):
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            _, where, found, options = line.split()[:4]
            if found == kind and (option is None or option in options.split(",")):
                return where
    return None


def _write(directory, name, value):
    with open(os.path.join(directory, name), "w", encoding="ascii") as file:
        file.write(str(value))


class Group:
    """A cgroup of our own with one controller, v1's or v2's. It has no limit at first."""

    controller = ""

    def __init__(self):
        self.directory = None

    def __enter__(self):
        try:
            if _mount("cgroup", self.controller):
                self._make(_mount("cgroup", self.controller) + (_own(self.controller) or "/"))
            elif _mount("cgroup2"):
                parent = _mount("cgroup2") + (_own("") or "/")
                _write(parent, "cgroup.subtree_control", "+" + self.controller)
                self._make(parent)
            else:
                raise Unavailable(f"no cgroup file system with a {self.controller} controller is mounted")
            self.lift()
        except OSError as error:
            self.__exit__()
            raise Unavailable(f"a cgroup with a {self.controller} limit cannot be made here: {error}") from error
        return self

    def _make(self, parent):
        self.directory = tempfile.mkdtemp(prefix="resnet-t.", dir=parent)

    def _has(self, name):
        return os.path.exists(os.path.join(self.directory, name))

    def _numbers(self, name):
        """{key: number} of a file of such lines."""
        with open(os.path.join(self.directory, name), encoding="ascii") as file:
            return {key: int(value) for key, value in (line.split() for line in file)}

    @property
    def command(self):
        """Runs what follows inside the group."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.directory]

    def pids(self):
        with open(os.path.join(self.directory, "cgroup.procs"), encoding="ascii") as file:
            return [int(line) for line in file]

    def __exit__(self, *_):
        if self.directory:
            self._remove()
            self.directory = None

    def _remove(self):
        """What has just ended may take the kernel a moment more."""
        end = time.monotonic() + 30
        while True:
            try:
                return os.rmdir(self.directory)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise
            time.sleep(0.02)


class Cgroup(Group):
    """A share of a CPU. No limit that matters at first, so that what runs in it starts as fast as ever."""

    controller = "cpu"

    def limit(self, share, period_us=100_000):
        """share: of one CPU; a long period makes long pauses of the same share."""
        quota_us = int(share * period_us)
        if self._has("cpu.max"):
            _write(self.directory, "cpu.max", f"{quota_us} {period_us}")
            return
        _write(self.directory, "cpu.cfs_quota_us", -1)
        _write(self.directory, "cpu.cfs_period_us", period_us)
        _write(self.directory, "cpu.cfs_quota_us", quota_us)

    def lift(self):
        self.limit(os.cpu_count())

    def throttled(self):
        """How often it had to wait for its next period."""
        return self._numbers("cpu.stat")["nr_throttled"]


class Pids(Group):
    """So many tasks: processes and their threads. Fewer than there are is no more than there are."""

    controller = "pids"

    def limit(self, tasks):
        _write(self.directory, "pids.max", tasks)

    def lift(self):
        self.limit("max")

    def count(self):
        with open(os.path.join(self.directory, "pids.current"), encoding="ascii") as file:
            return int(file.read())


class Memory(Group):
    """So many bytes, page cache included, and none of them in swap."""

    controller = "memory"

    def _make(self, parent):
        super()._make(parent)
        for name in ("memory.swap.max", "memory.swappiness"):
            if self._has(name):
                _write(self.directory, name, 0)

    def limit(self, n_bytes):
        _write(self.directory, "memory.max" if self._has("memory.max") else "memory.limit_in_bytes", n_bytes)

    def lift(self):
        self.limit("max" if self._has("memory.max") else -1)

    def usage(self):
        name = "memory.current" if self._has("memory.current") else "memory.usage_in_bytes"
        with open(os.path.join(self.directory, name), encoding="ascii") as file:
            return int(file.read())

    def kills(self):
        """How many processes the kernel has killed here."""
        name = "memory.events" if self._has("memory.events") else "memory.oom_control"
        return self._numbers(name)["oom_kill"]
