"""mounts.py: small file systems of a test's own, where nobody else sees them.

    mounts.private()                 # first of all: runs the test again in a mount namespace
    with mounts.small("/some/directory", "size=64k"):
        mounts.fill("/some/directory")
"""

import contextlib
import errno
import os
import subprocess
import sys

import tap

MARK = "RESNET_TEST_MOUNTS"  # set in the namespace


def private():
    """Where no mount namespace can be made, the whole test is skipped."""
    if os.environ.pop(MARK, None):
        return
    unshare = ["unshare", "--mount", "--propagation", "private"]
    unshare += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    probe = [*unshare, "sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        tap.skip_all(f"no file system can be mounted here: {done.stderr.strip()}")
    os.environ[MARK] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def run(*command):
    subprocess.run(command, check=True, timeout=60, capture_output=True)


@contextlib.contextmanager
def small(directory, options):
    """A tmpfs over the directory: "size=64k", "nr_inodes=8"."""
    os.makedirs(directory, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", directory)
    try:
        yield directory
    finally:
        run("umount", "--lazy", directory)


@contextlib.contextmanager
def read_only(directory):
    """What is in the directory cannot be written any more, but by who has it open."""
    run("mount", "--bind", directory, directory)
    try:
        run("mount", "-o", "remount,bind,ro", directory)
        yield directory
    finally:
        run("umount", "--lazy", directory)


def fill(directory):
    """Writes until there is no room. Returns the file's path: removing it makes room again."""
    path = os.path.join(directory, "filler")
    with open(path, "ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return path
