#!/usr/bin/env python3
"""The other Debian's compiler, libraries, Python and nginx: the tree is built in a root of its own,
from `make` alone as the README says; the unit tests pass there, and photographs are classified."""

# timeout: 2400

import os
import subprocess

import root
import service
import sources
import tap

SUITES = ("bookworm", "trixie")
PLACE = "/srv/resnet-fcgi"
TESTS = ("predict", "headers", "reload-under-load")  # beside every unit test
NOISE = ("  CC ", "  AR ", "  LD ", "  GEN ", "ok  ")


def ours():
    """This machine's VERSION_CODENAME, or None."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            pairs = (line.rstrip("\n").split("=", 1) for line in file if "=" in line)
            return dict(pairs).get("VERSION_CODENAME")
    except OSError:
        return None


def copy(to):
    """The tree without what was built."""
    listing = "\0".join(sources.files()).encode()
    pack = ["tar", "-C", service.TOP, "--null", "-T", "-", "-cf", "-"]
    data = subprocess.run(pack, input=listing, stdout=subprocess.PIPE, check=True).stdout
    os.makedirs(to)
    subprocess.run(["tar", "-C", to, "-xf", "-"], input=data, check=True)


def inside(debian, command, name, timeout=1500):
    """One point: a command in the tree that ends with 0. Returns its lines."""
    script = f"cd {PLACE} && {command}"
    done = debian.run("sh", "-c", script, check=False, timeout=timeout, T="5", RESNET_SHARED="")
    lines = [line for line in done.stdout.splitlines() if not line.startswith(NOISE)]
    tap.ok(done.returncode == 0, name, "\n".join(lines[-40:]))
    return lines


def what_is_there(debian):
    command = "cc --version | head -1; nginx -v 2>&1; python3 --version; cat /etc/debian_version"
    return "; ".join(debian.run("sh", "-c", command, check=False).stdout.splitlines())


def builds_and_serves(suite):
    with root.Root(suite, packages=["make"]) as debian:
        if debian.run("apt-get", "-qq", "update", check=False).returncode:
            return tap.skip(f"{suite}: built and tested", "its packages cannot be fetched now")
        copy(debian.at(PLACE))
        inside(debian, "tests/deps.sh build check", f"{suite}: what is missing is installed")
        tap.note(f"{suite}: {what_is_there(debian)}")
        jobs = os.cpu_count() or 1
        lines = inside(debian, f"make -j{jobs} all tests", f"{suite}: builds")
        warnings = [line for line in lines if "warning:" in line]
        tap.equal(warnings, [], f"{suite}: without a warning")
        names = f"$(ls build/tests | grep '^unit-[a-z0-9-]*$') {' '.join(TESTS)}"
        lines = inside(debian, f"tests/run -b build {names}", f"{suite}: unit tests, and some through nginx")
        tap.note(f"{suite}: {lines[-1]}")
        tap.ok(int(lines[-1].split()[0]) > 400, f"{suite}: and those were many", lines[-1])
    return None


def everything():
    for suite in SUITES:
        if suite == ours():
            continue
        try:
            root.tarball(suite, ["make"])
        except (OSError, subprocess.SubprocessError) as error:
            tap.skip(f"{suite}: built and tested", f"debootstrap cannot fetch it: {error}")
            continue
        builds_and_serves(suite)


if tap.T < 60:
    tap.skip_all("takes minutes: make check-full")
if reason := root.missing():
    tap.skip_all(reason)
tap.run(everything)
