"""cgroup.py: a share of a CPU for a command, where this machine lets us make such a group.

    with Cgroup() as group:
        with Service(before=group.command):
            group.limit(0.05)
"""

import os
import tempfile


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


class Cgroup:
    """No limit that matters at first, so that what runs in it starts as fast as ever."""

    def __init__(self):
        self.directory = None

    def __enter__(self):
        try:
            if _mount("cgroup", "cpu"):
                self._make(_mount("cgroup", "cpu") + (_own("cpu") or "/"))
            elif _mount("cgroup2"):
                parent = _mount("cgroup2") + (_own("") or "/")
                _write(parent, "cgroup.subtree_control", "+cpu")
                self._make(parent)
            else:
                raise Unavailable("no cgroup file system with a cpu controller is mounted")
            self.lift()
        except OSError as error:
            self.__exit__()
            raise Unavailable(f"a cgroup with a CPU quota cannot be made here: {error}") from error
        return self

    def limit(self, share, period_us=100_000):
        """share: of one CPU; a long period makes long pauses of the same share."""
        quota_us = int(share * period_us)
        if os.path.exists(os.path.join(self.directory, "cpu.max")):
            _write(self.directory, "cpu.max", f"{quota_us} {period_us}")
            return
        _write(self.directory, "cpu.cfs_quota_us", -1)
        _write(self.directory, "cpu.cfs_period_us", period_us)
        _write(self.directory, "cpu.cfs_quota_us", quota_us)

    def lift(self):
        self.limit(os.cpu_count())

    def _make(self, parent):
        self.directory = tempfile.mkdtemp(prefix="resnet-t.", dir=parent)

    @property
    def command(self):
        """Runs what follows inside the group."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.directory]

    def throttled(self):
        """How often it had to wait for its next period."""
        with open(os.path.join(self.directory, "cpu.stat"), encoding="ascii") as file:
            return next(int(x.split()[1]) for x in file if x.startswith("nr_throttled"))

    def __exit__(self, *_):
        if self.directory:
            os.rmdir(self.directory)
            self.directory = None
