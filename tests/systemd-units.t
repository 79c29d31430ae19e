#!/usr/bin/env python3
"""The systemd units: systemd itself finds nothing to say about them, what they promise each other
and the rest of the service agrees, and a unit with a slip in it is noticed."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

import service
import tap

UNITS = os.path.join(service.TOP, "spawn", "deploy", "systemd")
ANALYZE = shutil.which("systemd-analyze")


def verify(change=lambda name, text: text):
    """What systemd-analyze says of the units, their programs taken from a directory that has all."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for path in sorted(glob.glob(UNITS + "/resnet-*")):
            with open(path, encoding="utf-8") as file:
                text = change(os.path.basename(path), file.read())
            text = re.sub(r"/usr/bin/(?=\S)\S+", "/bin/true", text)
            text = re.sub(r"^(Documentation=).*", "", text, flags=re.M)
            paths.append(os.path.join(directory, os.path.basename(path)))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([ANALYZE, "verify", "--man=no", *paths], capture_output=True,
                              text=True, timeout=60, check=False)  # fmt: skip
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "resnet" in line]
    return done.returncode, "\n".join(ours)


def setting(unit, name):
    with open(os.path.join(UNITS, unit), encoding="utf-8") as file:
        return re.findall(rf"^{name}=(.*)$", file.read(), re.M)


def systemd_accepts_them():
    if not ANALYZE:
        tap.skip("systemd-analyze verify", "systemd-analyze is not installed")
        return
    names = glob.glob(UNITS + "/resnet-*")
    tap.ok(len(names) >= 4, "four units or more", names)
    tap.equal(verify(), (0, ""), "systemd-analyze verify says nothing")
    slip = verify(lambda _, text: text.replace("TimeoutStopSec", "TimeoutStoppSec"))
    tap.ok("TimeoutStoppSec" in slip[1], "an unknown directive is noticed", slip)
    slip = verify(lambda _, text: text.replace("Requires=resnet-fcgi.socket", "Requires=resnet.sock"))
    tap.ok(slip != (0, ""), "so is a unit that is not there", slip)


def they_agree():
    name = "resnet-fcgi.service"
    defaults = subprocess.run([service.program("resnet-spawn"), "--help"], capture_output=True,
                              text=True, check=True, timeout=30).stdout  # fmt: skip
    tap.ok("--idle-exit" in defaults, "resnet-spawn knows --idle-exit")
    stop_s = int(setting(name, "TimeoutStopSec")[0].removesuffix("s"))
    start_s = int(setting(name, "TimeoutStartSec")[0].removesuffix("s"))
    tap.ok(stop_s >= 120 + 20 + 10, "systemd waits longer than a drain takes", stop_s)
    tap.ok(start_s > 90, "and longer than a start may take", start_s)
    tap.equal(setting("resnet-fcgi.socket", "ListenStream"), ["/run/resnet-fcgi/work.sock"],
              "the socket is where nginx looks")  # fmt: skip
    tap.equal(setting(name, "RuntimeDirectoryPreserve"), ["yes"], "the service leaves it there")
    tap.equal(setting("resnet-fcgi.socket", "SocketGroup"), setting(name, "Group"),
              "all three sockets belong to one group")  # fmt: skip
    tap.equal(setting(name, "Restart"), ["on-failure"], "an idle exit is not a failure")
    for unit in (name, "resnet-fcgi-spawn-fcgi.service", "resnet-fcgi-multiwatch.service"):
        found = setting(unit, "LogsDirectory"), setting(unit, "LogRateLimitIntervalSec")
        tap.equal(found, (["resnet-fcgi"], ["0"]), f"{unit}: a place for a log; the journal drops no line")


tap.run(systemd_accepts_them, they_agree)
