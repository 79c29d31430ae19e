"""service.py: resnet-spawn and nginx in a temporary directory, on ports of their own.

    with Service(workers=2) as service:
        answer = service.post(draw.jpeg())

Leaving the block drains both and insists on exit code 0; an exception shows the ends of the logs.
"""

import fcntl
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import tap
import web

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
SANITIZED = "/san-" in BUILD + "/"
START_S = 60 * (4 if SANITIZED else 1)
STOP_S = 60 * (4 if SANITIZED else 1)
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")


FAULTS = os.path.join(BUILD, "faults")  # the build that can be told to fail


def program(name, build=BUILD):
    return os.path.join(build, "bin", name)


def clean_environment(**more):
    """The caller's, without RESNET_* (the engine asked for aside), and with those in `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RESNET_") or k == "RESNET_ISA"}
    return {**kept, **{k: str(v) for k, v in more.items()}}


def small_model():
    """A ResNet-50 with an eighth of the channels."""
    return model("1/8")


def model(width, precision="fp32", side_px=224):
    """A ResNet-50 with a part of the channels, "1/2", for pictures of that size; made once for a build
    directory."""
    name = {"1/8": "eighth", "1/4": "quarter", "1/2": "half", "1": "whole"}[width]
    name += "" if precision == "fp32" else "-" + precision
    name += "" if side_px == 224 else f"-{side_px}"
    path = os.path.join(BUILD, "models", name + ".rnm")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pack = program("resnet-pack")
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(pack):
            command = [pack, "random", "--seed", "1", "--width", width, "--precision", precision, "-o", path]
            command += [] if side_px == 224 else ["--resize", str(side_px), "--crop", str(side_px)]
            subprocess.run(command, check=True, env=clean_environment(), timeout=600)
    return path


def damaged_model():
    """The small model's bytes, one in every 64 KiB flipped: whichever section an engine reads, and
    only that one is checked at the start, is hit."""
    with open(small_model(), "rb") as file:
        data = bytearray(file.read())
    for at in range(1 << 16, len(data), 1 << 16):
        data[at] ^= 0xFF
    return bytes(data)


def real_model():
    """The packed real weights in every precision, or None where there are none to pack."""
    shared = os.environ.get("RESNET_SHARED", "")
    source = os.path.join(shared, "data", "weights", "resnet50.safetensors")
    if not shared or not os.path.exists(source):
        return None
    path = os.path.join(BUILD, "models", "real.rnm")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pack = program("resnet-pack")
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(pack):
            command = [pack, "pack", source, "--precision", "fp32,bf16,int8", "-o", path]
            subprocess.run(command, check=True, env=clean_environment(), timeout=600)
    return path


@functools.lru_cache
def ports_taken():
    """A file whose byte N is locked by the test that has port N: until it ends."""
    os.makedirs(BUILD, exist_ok=True)
    return os.open(os.path.join(BUILD, "ports.lock"), os.O_RDWR | os.O_CREAT)


def free_port():
    """A port that is free, and so is the next; no other test is given them as long as this one runs."""
    for _ in range(200):
        port = random.randrange(20000, 32000, 2)
        try:
            fcntl.lockf(ports_taken(), fcntl.LOCK_EX | fcntl.LOCK_NB, 2, port)
            for number in (port, port + 1):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue
    raise RuntimeError("no two free ports in a row")


def until(condition, seconds, what):
    """Waits for condition() to be true, and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


def tail(path, lines=30):
    """The last lines, requests that went well aside."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join([line for line in file if " code=ok " not in line][-lines:])
    except OSError as error:
        return str(error)


def nginx_listens(process, directory, port):
    """Whether this nginx got the port, and has written its pid; somebody else may have been faster."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            if os.path.exists(os.path.join(directory, "nginx.pid")):
                return True
        except OSError:
            pass
        time.sleep(0.01)
    return False


class Nginx:
    """nginx alone, in front of whatever sockets are in directory/run."""

    def __init__(self, directory, environment=None):
        self.directory, self.environment = directory, environment or {}
        self.process = None
        self.port = 0

    def start(self):
        for _ in range(5):  # another test may take the port between probe and bind
            self.port = free_port()
            render(self.directory, self.port, self.environment)
            with open(os.path.join(self.directory, "nginx.out"), "ab") as out:
                self.process = subprocess.Popen(
                    [NGINX, "-p", self.directory, "-c", os.path.join(self.directory, "nginx.conf"),
                     "-g", "daemon off;"], stdout=out, stderr=out,
                )  # fmt: skip
            if nginx_listens(self.process, self.directory, self.port + 1):
                return
        raise RuntimeError("nginx: " + tail(os.path.join(self.directory, "nginx.out")))

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        return self.process.wait(STOP_S)


def render(directory, port, environment):
    command = [os.path.join(TOP, "nginx", "render.sh"), "-d", directory, "-p", str(port)]
    subprocess.run(command, check=True, env=clean_environment(**environment), timeout=30)


class Service:
    def __init__(self, workers=2, model=None, faults=None, before=(), cold=False,
                 **environment):  # fmt: skip
        """environment: RESNET_* for both resnet-spawn and nginx. faults: what RESNET_FAULT says to
        the programs of the faults build. before: a command that runs resnet-spawn. cold: only nginx
        is started; start_spawn() is left to the test."""
        self.model = model or small_model()
        self.cold = cold
        self.build, self.before = BUILD if faults is None else FAULTS, list(before)
        self.directory = tempfile.mkdtemp(prefix="resnet-t.")
        self.run_dir = os.path.join(self.directory, "run")
        self.log = os.path.join(self.directory, "spawn.log")
        self.access_log = os.path.join(self.directory, "access.log")
        self.environment = {
            "RESNET_RUN_DIR": self.run_dir,
            "RESNET_MODEL": self.model,
            "RESNET_WORKERS": workers,
            **environment,
        }
        if faults is not None:
            self.environment["RESNET_FAULT"] = faults
            self.environment["RESNET_FAULT_STATE"] = os.path.join(self.directory, "faults")
        self.nginx = Nginx(self.directory, self.environment)
        self.spawn = None

    # ---- life ------------------------------------------------------------------------------
    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.show_logs()
            self.kill()
            raise

    def __exit__(self, kind, *_):
        if kind:
            self.show_logs()
            self.kill()
            return
        try:
            codes = self.stop()
            if codes != (0, 0):
                self.show_logs()
                raise AssertionError(f"resnet-spawn and nginx ended with {codes}")
        finally:
            self.kill()

    def start(self):
        os.makedirs(self.run_dir, exist_ok=True)
        if not self.cold:
            self.start_spawn()
        self.nginx.start()
        if not self.cold:
            self.wait_ready()
        return self

    def start_spawn(self, stderr=None):
        """stderr: where it goes, if not into self.log."""
        with open(self.log, "ab") as log:
            self.spawn = subprocess.Popen(
                [*self.before, program("resnet-spawn", self.build)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log if stderr is None else stderr,
                env=clean_environment(**self.environment),
            )  # fmt: skip

    def until_listening(self):
        """The first moment at which a request can be taken; no worker is there yet."""
        path = os.path.join(self.run_dir, "work.sock")
        deadline = time.monotonic() + START_S
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is not there")
            time.sleep(0.0005)

    def wait_ready(self):
        def ready():
            if self.spawn.poll() is not None:
                raise RuntimeError(f"resnet-spawn ended with {self.spawn.returncode}")
            try:
                return self.get("/health/ready").status == 200
            except web.Broken:
                return False

        until(ready, START_S, "readiness")

    def stop(self):
        """Drains both. Returns their exit codes."""
        self.spawn.terminate()
        code = self.spawn.wait(STOP_S)
        return code, self.nginx.stop()

    def kill(self):
        """Ends what is still there, and removes the directory."""
        for process in (self.nginx.process, self.spawn):
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def show_logs(self):
        for name in ("spawn.log", "error.log", "nginx.out"):
            tap.note(f"--- {name}\n" + tail(os.path.join(self.directory, name)))

    # ---- requests --------------------------------------------------------------------------
    @property
    def port(self):
        return self.nginx.port

    @property
    def inside(self):
        """The second listener."""
        return self.nginx.port + 1

    def get(self, path, headers=None, method="GET", port=None):
        return web.request(port or self.port, method, path, headers=headers)

    def post(self, body, headers=None, path="/predict"):
        return web.request(self.port, "POST", path, body, headers)

    # ---- what it says of itself ------------------------------------------------------------
    def status(self):
        return self.get("/status", port=self.inside).json()

    def states(self):
        """{pid: that worker's part of /status}"""
        return {worker["pid"]: worker for worker in self.status()["workers"]}

    def busy(self):
        return [worker for worker in self.status()["workers"] if worker["state"] == "busy"]

    def metrics(self):
        """{'name{label="value"}': number}"""
        answer = self.get("/metrics", port=self.inside)
        if answer.status != 200:
            raise AssertionError(f"/metrics: {answer}")
        lines = answer.body.decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def metric(self, name):
        return self.metrics().get(name, 0)

    def logged(self, event):
        """Lines of resnet-spawn and the workers, each a dict of its fields; one that is still being
        written is left out."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            whole = [line[:-1] for line in file if line.endswith("\n")]
        lines = [line.split(" ", 1) for line in whole if f" event={event} " in line + " "]
        return [dict(f.split("=", 1) for f in fields(rest)) for _, rest in lines]

    def access(self):
        """nginx's log, each line a dict; a line that is still being written is left out."""
        with open(self.access_log, encoding="utf-8", errors="replace") as file:
            return [json.loads(line) for line in file if line.endswith("}\n")]

    # ---- processes -------------------------------------------------------------------------
    def workers(self):
        """Pids of the resnet-fcgi processes below resnet-spawn."""
        return children(self.spawn.pid, "resnet-fcgi")

    def all_workers(self):
        """The same once all are there; a service is ready with the first."""
        wanted = int(self.environment["RESNET_WORKERS"])
        return until(lambda: len(found := self.workers()) == wanted and found, START_S,
                     f"{wanted} workers")  # fmt: skip

    def until_idle(self, workers):
        """Waits until so many workers are there and none has anything to do."""

        def idle():
            states = [worker["state"] for worker in self.status()["workers"]]
            return states == ["idle"] * workers

        until(idle, START_S, f"{workers} idle workers")


def fields(text):
    """name=value and name="quoted value" of a line in logfmt."""
    return [f.replace('"', "") for f in re.findall(r'[a-z_]+=(?:"[^"]*"|\S*)', text)]


def children(parent, name):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    before, after = file.read().rsplit(b")", 1)
            except OSError:
                continue
            fields = after.split()
            if int(fields[1]) == parent and fields[0] != b"Z":
                if before.split(b"(", 1)[1].decode() == name[:15]:
                    found.append(int(entry))
    return sorted(found)

