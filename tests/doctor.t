#!/usr/bin/env python3
"""resnet-ctl doctor: silent on a good system; each of many misconfigurations, seeded one at a time,
is found, alone, and the remedy is named. Nothing is changed by looking."""
# timeout: 240

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

import draw
import service
import tap

SECONDS = 60
GROUP = "/sys/fs/cgroup"
for stray in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(stray, None)


def package(version):
    """libfcgi as dpkg has it in its list."""
    return (f"Package: libfcgi0ldbl\nStatus: install ok installed\nPriority: optional\nVersion: {version}\n"
            "Architecture: amd64\nMaintainer: x <x@x.invalid>\nDescription: x\n\n")  # fmt: skip


class Machine:
    """A root directory with what doctor reads of the machine, all of it well."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="resnet-r.")
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            self.put("/proc/cpuinfo", file.read())
        self.put("/proc/sys/net/core/somaxconn", "4096\n")
        self.put("/proc/self/cgroup", "0::/\n")
        self.put("/proc/self/mountinfo", f"30 22 0:26 / {GROUP} rw shared:4 - cgroup2 cgroup2 rw\n")
        self.put(f"{GROUP}/cpu.max", "max 100000\n")
        self.put(f"{GROUP}/memory.max", "max\n")
        self.put(f"{GROUP}/cpu.stat", "usage_usec 5\nnr_periods 9000\nnr_throttled 9\nthrottled_usec 70\n")
        self.put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
        self.put("/var/lib/dpkg/status", package("2.4.2-2+deb12u1"))

    def put(self, path, text):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        with open(self.root + path, "w", encoding="utf-8") as file:
            file.write(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)


class Report:
    def __init__(self, running, *arguments, machine=None, before=(), run_dir=None, text=""):
        command = [*before, service.program("resnet-ctl"), "--run-dir", run_dir or running.run_dir, "doctor",
                   "--json", *arguments]  # fmt: skip
        if machine:
            command += ["--root", machine.root]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False,
                              env=service.clean_environment(), input=text)  # fmt: skip
        self.code, self.text = done.returncode, done.stdout + done.stderr
        self.checks = json.loads(done.stdout)["checks"]
        self.wrong = [c for c in self.checks if c["level"] != "ok"]

    def only(self, check, level, remedy, what):
        """The one finding, with that remedy, and the exit code that follows."""
        found = [(c["check"], c["level"]) for c in self.wrong]
        tap.equal(found, [(check, level)], f"{what}: found, alone")
        said = self.wrong[0]["do"] if self.wrong else ""
        tap.ok(remedy in (said or ""), f"{what}: told what to do", (remedy, said))
        tap.equal(self.code, {"warn": 1, "fail": 2}[level], f"{what}: exit code")


def copy_of_nginx(running, edit):
    """The rendered configuration in another folder, changed. Returns the folder."""
    folder = tempfile.mkdtemp(prefix="resnet-n.")
    os.mkdir(os.path.join(folder, "conf.d"))
    texts = {}
    for name in ("nginx.conf", "conf.d/resnet.conf"):
        with open(os.path.join(running.directory, name), encoding="utf-8") as file:
            texts[name] = file.read().replace(f"include {running.directory}/", "include ")
    changed = {name: edit(text) for name, text in texts.items()}
    if changed == texts:
        raise ValueError("the seed changes nothing")
    for name, text in changed.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    return folder


def changed(old, new, count=0):
    return lambda text: re.sub(old, new, text, count=count)


WORK = r' *server "unix:[^"]*/work\.sock" max_fails=0;\n'
NGINX = (  # what, edit, check, level, part of the remedy
    ("a read time-out of 60 s", changed("fastcgi_read_timeout 130000ms", "fastcgi_read_timeout 60s"),
     "nginx-read", "fail", "fastcgi_read_timeout 130000ms"),
    ("one location with a time-out of its own",
     changed(r"location = /predict \{", "location = /predict { fastcgi_read_timeout 30s;"),
     "nginx-read", "fail", "fastcgi_read_timeout 130000ms"),
    ("a read time-out that is nearly too short",
     changed("fastcgi_read_timeout 130000ms", "fastcgi_read_timeout 2m3s"),
     "nginx-read", "warn", "fastcgi_read_timeout 130000ms"),
    ("no send time-out: 60 s", changed("fastcgi_send_timeout[^;]*;", ""),
     "nginx-send", "fail", "fastcgi_send_timeout 130000ms"),
    ("work.sock listed twice", changed(f"({WORK})+", f"\\1\\1"),
     "nginx-retries", "warn", "eight times"),
    ("no max_fails=0", changed('(work.sock"?) max_fails=0', r"\1"),
     "nginx-max-fails", "fail", "max_fails=0"),
    ("no shed.sock", changed(r' *server "unix:[^"]*/shed\.sock"[^\n]*\n', ""),
     "nginx-shed", "warn", "shed.sock"),
    ("timeout among the reasons to try again", changed("next_upstream error", "next_upstream error timeout"),
     "nginx-timeout", "fail", "error invalid_header non_idempotent"),
    ("POSTs not tried again", changed(" non_idempotent", ""),
     "nginx-next", "fail", "error invalid_header non_idempotent"),
    ("kept connections", changed("keep_conn off", "keep_conn on"), "nginx-keep", "fail", "fastcgi_keep_conn off"),
    ("unbuffered uploads", changed("fastcgi_request_buffering on", "fastcgi_request_buffering off"),
     "nginx-uploads", "warn", "fastcgi_request_buffering on"),
    ("errors replaced", changed("intercept_errors off", "intercept_errors on"),
     "nginx-errors", "warn", "fastcgi_intercept_errors off"),
    ("no $msec", changed(r" *fastcgi_param MSEC[^\n]*\n", ""), "nginx-msec", "warn", "fastcgi_param MSEC $msec"),
    ("one location with parameters of its own",
     changed(r"location = /predict \{", "location = /predict { fastcgi_param REQUEST_ID $request_id;"),
     "nginx-msec", "warn", "fastcgi_param MSEC $msec"),
    ("no id", changed(r" *fastcgi_param REQUEST_ID[^\n]*\n", ""),
     "nginx-id", "warn", "fastcgi_param REQUEST_ID $request_id"),
    ("bodies of 1 MiB", changed(r" *client_max_body_size[^\n]*\n", ""),
     "nginx-body", "warn", "client_max_body_size 16777216"),
    ("a reload that cuts", changed("worker_shutdown_timeout [^;]*", "worker_shutdown_timeout 10s"),
     "nginx-shutdown", "warn", "worker_shutdown_timeout 140000ms"),
    ("another service's sockets", changed(r"/work\.sock", "/other.sock"), "nginx", "fail", "render.sh"),
    ("a brace too few", changed(r"\}\s*\Z", ""), "nginx", "fail", "nginx -t"),
)  # fmt: skip

MACHINE = (  # what, file, text, check, level, part of the remedy
    ("somaxconn below the backlog", "/proc/sys/net/core/somaxconn", "64\n",
     "backlog", "warn", "net.core.somaxconn=128"),
    ("a memory limit too small", f"{GROUP}/memory.max", "4194304\n", "memory", "fail", "raise the limit"),
    ("no room for large pictures", f"{GROUP}/memory.max", str(100 << 20),
     "memory", "warn", "RESNET_MAX_DECODE_MEMORY=auto"),
    ("throttled", f"{GROUP}/cpu.stat", "nr_periods 9000\nnr_throttled 4000\nthrottled_usec 7\n",
     "throttling", "warn", "raise the quota"),
    ("no huge pages", "/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n",
     "huge-pages", "warn", "madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
    ("an old libfcgi", "/var/lib/dpkg/status", package("2.4.2-2"), "libfcgi", "fail", "2.4.2-2+deb12u1"),
)  # fmt: skip


def snapshot(directory):
    """Every file with its size and times, logs aside."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            if not name.endswith(".log"):
                status = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (status.st_size, status.st_mtime_ns, status.st_mode)
    return found


def well(running, machine):
    before = snapshot(running.directory)
    report = Report(running, machine=machine)
    tap.equal([(c["check"], c["found"]) for c in report.wrong], [], "a good system: nothing to say")
    tap.equal(report.code, 0, "a good system: exit code 0")
    tap.ok(len(report.checks) >= 25, "and much has been looked at", len(report.checks))
    tap.equal(snapshot(running.directory), before, "nothing was changed")
    tap.ok(any(c["check"] == "nginx" and running.directory in c["found"] for c in report.checks),
           "the running nginx was found", report.checks)  # fmt: skip
    shown = subprocess.run([service.program("resnet-ctl"), "--run-dir", running.run_dir, "doctor", "--no-verify",
                            "--root", machine.root], capture_output=True, text=True, timeout=SECONDS,
                           check=False, env=service.clean_environment())  # fmt: skip
    lines = shown.stdout.splitlines()
    tap.ok(lines and all(re.match(r"ok    \S+ +\S", line) for line in lines[:-1]), "as text: a line each", lines)
    tap.ok(re.match(r"\d+ looked at: \d+ ok, 0 to warn of, 0 to mend$", lines[-1]), "and a sum", lines[-1])


def misused(running):
    for arguments in (["--jsn"], ["--nginx-conf"], ["now"]):
        done = subprocess.run([service.program("resnet-ctl"), "--run-dir", running.run_dir, "doctor", *arguments],
                              capture_output=True, text=True, timeout=SECONDS, check=False,
                              env=service.clean_environment())  # fmt: skip
        tap.equal((done.returncode, done.stdout, done.stderr.count("\n")), (64, "", 1), f"{arguments}: 64")


def seeds_of_nginx(running, machine):
    for what, edit, check, level, remedy in NGINX:
        folder = copy_of_nginx(running, edit)
        try:
            report = Report(running, "--no-verify", "--nginx-conf", os.path.join(folder, "nginx.conf"),
                            machine=machine)  # fmt: skip
            report.only(check, level, remedy, what)
        finally:
            shutil.rmtree(folder)


def seeds_of_the_machine(running):
    for what, path, text, check, level, remedy in MACHINE:
        with Machine() as machine:
            machine.put(path, text)
            Report(running, "--no-verify", machine=machine).only(check, level, remedy, what)


def seeds_of_sockets(running, machine):
    path = os.path.join(running.run_dir, "work.sock")
    os.chmod(path, 0o666)
    Report(running, "--no-verify", machine=machine).only("work.sock", "fail", "0660", "a socket open to all")
    os.chmod(path, 0o660)
    os.rename(path, path + ".away")
    report = Report(running, "--no-verify", machine=machine)
    os.rename(path + ".away", path)
    report.only("work.sock", "fail", "restart", "a socket removed")


def seeds_of_the_model(running, machine):
    kept = running.model + ".kept"
    shutil.copy(running.model, kept)
    try:
        put_aside(running.model, service.damaged_model())
        Report(running, machine=machine).only("model", "fail", "pack it again", "a damaged model")
        with open(service.model("1/4"), "rb") as file:
            put_aside(running.model, file.read())
        Report(running, machine=machine).only("model", "warn", "resnet-ctl reload", "another model on disk")
        os.unlink(running.model)
        Report(running, machine=machine).only("model", "fail", "RESNET_MODEL", "no model")
    finally:
        os.replace(kept, running.model)


def put_aside(path, data):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.replace(path + ".new", path)


def full_disks(running, machine):
    for what, folder, check in (
        ("no room for the log", os.path.dirname(running.environment["RESNET_LOG"]), "log-disk"),
        ("no room for bodies", os.path.join(running.directory, "tmp", "body"), "nginx-bodies"),
    ):
        fill = 'mount -t tmpfs -o size=64k none "$0" && touch "$0/log" && exec "$@"'
        before = ["unshare", "-m", "sh", "-c", fill, folder]
        if subprocess.run([*before, "true"], capture_output=True, timeout=SECONDS, check=False).returncode:
            tap.skip(what, "no mount namespace can be made here")
            continue
        report = Report(running, "--no-verify", machine=machine, before=before)
        report.only(check, "fail", "make room", what)


def an_edit_not_taken_up(running, machine):
    path = os.path.join(running.directory, "conf.d", "resnet.conf")
    status = os.stat(path)
    os.utime(path, (status.st_atime, status.st_mtime + 3600))
    report = Report(running, "--no-verify", machine=machine)
    os.utime(path, (status.st_atime, status.st_mtime))
    report.only("nginx-reloaded", "warn", "nginx -s reload", "a file changed after nginx read it")


def from_a_dump(running, machine):
    """What nginx -T prints, as if nginx ran in another container."""
    command = [service.NGINX, "-T", "-p", running.directory, "-c", os.path.join(running.directory, "nginx.conf")]
    dump = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    report = Report(running, "--no-verify", "--nginx-conf", "-", machine=machine, text=dump)
    tap.equal(report.wrong, [], "nginx -T through a pipe: well")
    tap.ok(any(c["check"] == "nginx-read" for c in report.checks), "and its locations were found", report.checks)
    wrong = dump.replace("fastcgi_read_timeout 130000ms", "fastcgi_read_timeout 60s")
    report = Report(running, "--no-verify", "--nginx-conf", "-", machine=machine, text=wrong)
    report.only("nginx-read", "fail", "fastcgi_read_timeout 130000ms", "nginx -T with a short time-out")


def another_user(running, machine):
    """nginx's workers become somebody whom the sockets do not know."""
    if os.geteuid():
        tap.skip("nginx as another user", "only root can have it")
        return
    path = os.path.join(running.directory, "nginx.conf")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"user [^;]*;", "user nobody nogroup;", text))
    os.chmod(running.directory, 0o755)
    running.nginx.process.send_signal(signal.SIGHUP)
    sockets = ["work.sock", "shed.sock", "ctl.sock"]

    def found():
        report = Report(running, "--no-verify", machine=machine)
        return report if [c["check"] for c in report.wrong] == sockets else None

    report = service.until(found, SECONDS, "nginx's workers as nobody")
    tap.equal({c["level"] for c in report.wrong}, {"fail"}, "nginx as another user: found on each socket")
    tap.ok(all("usermod -aG" in c["do"] for c in report.wrong), "told what to do", report.wrong)
    os.chmod(running.directory, 0o700)
    report = Report(running, "--no-verify", machine=machine)
    tap.ok([c["check"] for c in report.wrong] == sockets and f"chmod o+x {running.directory}" in report.wrong[0]["do"],
           "a closed folder above: found", report.wrong)  # fmt: skip


def all_in_one_service():
    folder = tempfile.mkdtemp(prefix="resnet-l.")
    model = os.path.join(folder, "model.rnm")
    shutil.copy(service.small_model(), model)
    os.mkdir(os.path.join(folder, "log"))
    try:
        with Machine() as machine:
            with service.Service(workers=1, model=model, RESNET_ISA="best",
                                 RESNET_LOG=os.path.join(folder, "log", "log")) as running:  # fmt: skip
                well(running, machine)
                misused(running)
                seeds_of_nginx(running, machine)
                seeds_of_the_machine(running)
                seeds_of_sockets(running, machine)
                seeds_of_the_model(running, machine)
                full_disks(running, machine)
                an_edit_not_taken_up(running, machine)
                from_a_dump(running, machine)
                another_user(running, machine)
    finally:
        shutil.rmtree(folder)


def seeds_of_the_environment():
    best = {"workers": 1, "RESNET_ISA": "best"}
    for what, settings, check, remedy in (
        ("a stray OPENBLAS_CORETYPE", {"OPENBLAS_CORETYPE": "Haswell"}, "openblas-env", "OPENBLAS_CORETYPE"),
        ("a lowered instruction set", {"RESNET_ISA": "blas"}, "isa", "RESNET_ISA"),
        ("an old OpenBLAS setting", {"OPENBLAS_L2_SIZE": "262144"}, "openblas-env", "OPENBLAS_L2_SIZE"),
        ("a long backlog", {"RESNET_BACKLOG": 60000}, "backlog", "net.core.somaxconn=60000"),
        ("more workers than CPUs", {"workers": 2, "before": ["taskset", "-c", cpu()]}, "cpus", "RESNET_WORKERS=auto"),
    ):
        options = {**best, **settings}
        with Machine() as machine, service.Service(**options) as running:
            running.until_idle(options["workers"])  # one that still loads is worth a finding of its own
            Report(running, "--no-verify", machine=machine).only(check, "warn", remedy, what)


def cpu():
    return str(min(os.sched_getaffinity(0)))


def one_address_for_all():
    with Machine() as machine, service.Service(workers=1, RESNET_ISA="best", RESNET_RATE_LIMIT=100000) as running:
        picture = draw.jpeg(seed=1)
        report = Report(running, "--no-verify", machine=machine)
        tap.equal(report.wrong, [], "a limit per client, and nobody yet: well")
        tap.equal({running.post(picture).status for _ in range(25)}, {200}, "25 answers")
        posts = lambda: [line for line in running.access() if line["request"].startswith("POST ")]  # noqa: E731
        service.until(lambda: len(posts()) == 25, SECONDS, "25 lines in nginx's log")
        report = Report(running, "--no-verify", machine=machine)
        report.only("rate-limit", "warn", "set_real_ip_from", "a limit per client, and one address")
        folder = copy_of_nginx(running, changed("server_name _;", "server_name _; set_real_ip_from 127.0.0.1;"))
        report = Report(running, "--no-verify", "--nginx-conf", os.path.join(folder, "nginx.conf"), machine=machine)
        shutil.rmtree(folder)
        tap.equal(report.wrong, [], "with set_real_ip_from: well")


def nobody_there():
    with tempfile.TemporaryDirectory() as directory, Machine() as machine:
        report = Report(None, machine=machine, run_dir=directory)
        found = {c["check"]: c for c in report.wrong}
        tap.ok("systemctl start" in found["supervisor"]["do"], "no supervisor: told what to do", report.text)
        tap.equal(report.code, 2, "no supervisor: exit code 2")


def this_machine():
    """Without --root: whatever there is, nothing breaks, and each remedy is a sentence."""
    with service.Service(workers=1) as running:
        report = Report(running)
        tap.ok(len(report.checks) >= 25, "this machine: looked at", report.text)
        tap.ok(all(c["do"] for c in report.wrong), "each warning says what to do", report.wrong)
        tap.note("\n".join(f"{c['level']}: {c['check']}: {c['found']}" for c in report.wrong))


if not shutil.which("taskset"):
    tap.skip_all("taskset is not installed")
tap.run(all_in_one_service, seeds_of_the_environment, one_address_for_all, nobody_there, this_machine)
