#!/usr/bin/env python3
"""The package's logrotate file, with a real logrotate, under load: each request has its one line, in
one of the files."""

import os
import re
import shutil
import subprocess

import service
import tap
from load import Load, known
from service import Service, until

LOGROTATE = shutil.which("logrotate", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
SHIPPED = os.path.join(service.TOP, "spawn", "deploy", "debian", "resnet-fcgi.logrotate")
ROTATIONS = 3


def adapted(running, logs):
    """The shipped file for these logs, without its user, and with kill for systemctl."""
    with open(SHIPPED, encoding="utf-8") as file:
        text = file.read()
    text = text.replace("/var/log/resnet-fcgi/", logs + "/")
    text = re.sub(r"^\tsu .*\n", "", text, flags=re.M)
    text, n = re.subn(r"(postrotate\n)(.*?)(\tendscript)",
                      lambda m: f"{m[1]}\t\tkill -USR1 {running.spawn.pid}\n{m[3]}", text, flags=re.S)  # fmt: skip
    tap.equal(n, 1, "the shipped file sends a signal after rotating")
    path = os.path.join(running.directory, "logrotate.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


def rotate(running, conf):
    command = [LOGROTATE, "-f", "-s", os.path.join(running.directory, "logrotate.state"), conf]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def lines(logs):
    """Requests' ids in all files."""
    found = []
    for name in os.listdir(logs):
        path = os.path.join(logs, name)
        command = ["gzip", "-dc", path] if name.endswith(".gz") else ["cat", path]
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        found += re.findall(r" event=request request_id=(\S+)", text)
    return found


def posted(running):
    """Requests' ids, as nginx has them."""
    return [x["request_id"] for x in running.access() if x["request"].startswith("POST")]


def everything():
    running = Service(workers=2, cold=True)
    logs = os.path.join(running.directory, "logs")
    os.mkdir(logs, 0o750)
    log = os.path.join(logs, "resnet-fcgi.log")
    running.environment["RESNET_LOG"] = log
    with running:
        running.start_spawn()
        running.wait_ready()
        pictures = known(running)
        conf = adapted(running, logs)
        with Load(running, pictures, 2) as load:
            for i in range(ROTATIONS):
                count = load.count()
                until(lambda n=count: load.count() > n + 10, 60, "more answers")
                tap.equal(rotate(running, conf), (0, ""), f"rotation {i + 1}")
                until(lambda: os.path.exists(log) and os.path.getsize(log) > 0, 60, "the new file")
        # nginx writes its line after the answer
        until(lambda: len(posted(running)) == len(pictures) + load.count(), 60, "nginx's last lines")
        ids = posted(running)
        until(lambda: len(lines(logs)) >= len(ids), 60, "the last lines")
        found = lines(logs)
        tap.ok(load.all_good() and len(ids) > 30, "requests meanwhile: all 200", load.results)
        tap.equal(sorted(found), sorted(ids), f"each of {len(ids)} requests has its one line")
        names = sorted(os.listdir(logs))
        tap.equal(names, sorted(["resnet-fcgi.log", "resnet-fcgi.log.1", "resnet-fcgi.log.2.gz",
                                 "resnet-fcgi.log.3.gz"]), "old files are kept, and packed")  # fmt: skip
        tap.equal(os.stat(log).st_mode & 0o777, 0o640, "the new file is not for everybody")


if not LOGROTATE:
    tap.skip_all("logrotate is not installed: make check-full installs it")
tap.run(everything)
