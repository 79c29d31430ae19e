#!/usr/bin/env python3
"""The Debian package: built, lintian has nothing to say, installed beside a real systemd and nginx,
answers after one command, is upgraded and restarted under load without a lost request, sleeps and
wakes, and is purged without a trace."""

# alone
# timeout: 2400

import glob
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

import draw
import root
import service
import tap
import web

PICTURE = draw.jpeg()
SYSTEMD = ["systemd", "systemd-sysv"]


def build():
    """A copy of the tree is packaged, so that nothing here is in its way."""
    done = subprocess.run(["make", "-C", service.TOP, "deb"], capture_output=True, text=True,
                          timeout=1500, check=False, env=service.clean_environment())  # fmt: skip
    tap.ok(done.returncode == 0, "make deb", done.stdout[-2000:] + done.stderr[-2000:])
    packages = glob.glob(os.path.join(service.TOP, "build", "resnet-fcgi_*.deb"))
    tap.equal(len(packages), 1, "makes one package")
    return packages[0]


def lint(package):
    if not shutil.which("lintian"):
        tap.skip("lintian", "not installed")
        return
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", package],
                          capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
    tap.ok(done.returncode == 0, "lintian has no error and no warning", done.stdout)


def newer(package, directory):
    """The same package as the next version."""
    tree = os.path.join(directory, "tree")
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.write("\n".join(f"{line}+next" if line.startswith("Version:") else line
                             for line in text.splitlines()) + "\n")  # fmt: skip
    path = os.path.join(directory, "next.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, path], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return path


class Clients:
    """Two that ask all the time and never retry."""

    def __init__(self, port):
        self.port, self.bad, self.good, self._stop = port, [], 0, threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(2)]

    def _ask(self):
        while not self._stop.is_set():
            try:
                answer = web.request(self.port, "POST", "/predict", PICTURE)
                if answer.status == 200:
                    self.good += 1
                else:
                    self.bad.append(repr(answer))
            except (web.Broken, OSError) as error:
                self.bad.append(str(error))

    def until_answered(self, more):
        n = self.good
        service.until(lambda: self.good > n + more, 60, "answers")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def traces(debian):
    """Files of ours, and our user."""
    found = debian.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*resnet*", check=False)
    mine = [p for p in found.stdout.splitlines() if "/var/lib/dpkg" not in p and "/var/log" not in p]
    user = debian.run("getent", "passwd", "resnet-fcgi", check=False).stdout
    return mine + user.splitlines()


def three_commands(debian, package, port):
    shutil.copy(package, debian.at("/tmp/resnet-fcgi.deb"))
    shutil.copy(service.small_model(), debian.at("/tmp/small.rnm"))
    debian.install("/tmp/resnet-fcgi.deb", "nginx-light")
    tap.ok("resnet-fcgi" in debian.run("id", "resnet-fcgi").stdout, "apt-get install makes a user")
    tap.equal(debian.systemctl("is-enabled", "resnet-fcgi.socket", check=False).stdout.strip(),
              "disabled", "and starts nothing")  # fmt: skip
    tap.ok(not os.path.exists(debian.at("/etc/nginx/sites-enabled/resnet-fcgi")),
           "nor does nginx know of it")  # fmt: skip
    debian.run("rm", "-f", "/etc/nginx/sites-enabled/default")
    said = debian.run("resnet-fcgi-setup", "-p", str(port), "/tmp/small.rnm").stdout
    tap.ok(f"http://127.0.0.1:{port}/predict" in said, "resnet-fcgi-setup says how to ask", said)
    answer = web.request(port, "POST", "/predict", PICTURE)
    tap.equal(answer.status, 200, "a photograph is classified")


def owners(debian):
    users = {}
    for name in ("resnet-spawn", "resnet-fcgi", "resnet-control"):
        users[name] = set(debian.run("ps", "-o", "user:20=,group:20=", "-C", name).stdout.split())
    tap.equal(users, {name: {"resnet-fcgi", "www-data"} for name in users}, "no process is root's")
    said = debian.run("systemctl", "show", "-p", "StatusText", "resnet-fcgi").stdout
    tap.ok("workers serve" in said, "systemctl status tells how it is", said)


def in_order(debian):
    """What doctor finds is the machine's, if anything, not the package's."""
    said = debian.run("resnet-ctl", "doctor", "--json", check=False).stdout
    checks = json.loads(said)["checks"]
    ours = [c for c in checks if c["level"] != "ok" and
            c["check"] not in ("backlog", "memory", "throttling", "huge-pages")]  # fmt: skip
    tap.equal(ours, [], "resnet-ctl doctor has nothing to say")
    seen = {c["check"] for c in checks}
    tap.ok({"nginx-read", "work.sock", "model"} <= seen, "and looked at nginx, sockets and model", seen)


def generation(port):
    return json.loads(web.request(port + 1, "GET", "/status").body)["generation"]


def upgrade(debian, package, port):
    with tempfile.TemporaryDirectory(dir=root.ROOTS) as directory:
        shutil.copy(newer(package, directory), debian.at("/tmp/next.deb"))
    before = debian.systemctl("show", "-p", "MainPID", "resnet-fcgi").stdout
    with Clients(port) as clients:
        clients.until_answered(10)
        debian.run("dpkg", "-i", "/tmp/next.deb")
        clients.until_answered(10)
    after = debian.systemctl("show", "-p", "MainPID", "resnet-fcgi").stdout
    tap.ok(before != after, "an upgrade goes over to the new programs", (before, after))
    tap.ok(clients.good > 10 and not clients.bad,
           f"and costs none of {clients.good} requests", clients.bad[:3])  # fmt: skip


def restart_and_reload(debian, port):
    with Clients(port) as clients:
        for _ in range(3):
            debian.systemctl("restart", "resnet-fcgi")
            debian.systemctl("reload", "resnet-fcgi")
        clients.until_answered(10)
    tap.equal(generation(port), 2, "systemctl reload: the next generation")
    tap.ok(clients.good > 10 and not clients.bad,
           f"three restarts and reloads cost none of {clients.good}", clients.bad[:3])  # fmt: skip


def sleeps_and_wakes(debian, port):
    with open(debian.at("/etc/default/resnet-fcgi"), "a", encoding="ascii") as file:
        file.write("RESNET_IDLE_EXIT=300ms\n")
    debian.systemctl("restart", "resnet-fcgi")
    answers, times = [], []
    for _ in range(5):
        service.until(lambda: debian.systemctl("is-active", "resnet-fcgi", check=False).stdout.strip()
                      == "inactive", 60, "an idle exit")  # fmt: skip
        start = time.monotonic()
        answers.append(web.request(port, "POST", "/predict", PICTURE).status)
        times.append(time.monotonic() - start)
    tap.note(f"woken by a request: answers after {sorted(times)[2]:.3f} s (median)")
    tap.equal(answers, [200] * 5, "with RESNET_IDLE_EXIT it leaves, and the next request starts it")


def other_ways(debian, port):
    """The units for spawn-fcgi with our supervisor, and for plain workers under multiwatch."""
    debian.run("sed", "-i", "/IDLE_EXIT/d", "/etc/default/resnet-fcgi")
    debian.install("spawn-fcgi", "multiwatch")
    for unit in ("resnet-fcgi-spawn-fcgi", "resnet-fcgi-multiwatch"):
        debian.systemctl("start", unit)
        answers = []

        def answered():
            answers.append(web.request(port, "POST", "/predict", PICTURE).status)
            return answers[-1] == 200

        service.until(answered, 60, unit)
        tap.equal(web.request(port, "GET", "/health").status, 200, f"{unit}: answers, health too")
        stop = debian.systemctl("stop", unit, check=False)
        result = debian.run("systemctl", "show", "-p", "Result", unit).stdout.strip()
        tap.equal((stop.returncode, result), (0, "Result=success"), f"{unit}: stops well")


def purge(debian):
    debian.run("apt-get", "-qq", "-y", "purge", "resnet-fcgi")
    debian.run("rm", "-f", "/tmp/resnet-fcgi.deb", "/tmp/next.deb", "/tmp/small.rnm")
    tap.equal(traces(debian), [], "purge leaves nothing")


def everything():
    package = build()
    lint(package)
    with root.Root("bookworm", SYSTEMD) as debian:
        if not debian.boot():
            tap.skip("the package under systemd", "systemd does not come up in a namespace here")
            return
        port = service.free_port()
        debian.install("procps", "curl")
        try:
            three_commands(debian, package, port)
            owners(debian)
            in_order(debian)
            upgrade(debian, package, port)
            restart_and_reload(debian, port)
            sleeps_and_wakes(debian, port)
            other_ways(debian, port)
        except Exception:
            tap.note(debian.run("journalctl", "--no-pager", "-n", "60", check=False).stdout)
            raise
        purge(debian)


if tap.T < 60:
    tap.skip_all("takes minutes: make check-full")
if root.missing() or service.SANITIZED:
    tap.skip_all(root.missing() or "the package is not built with sanitizers")
tap.run(everything)
