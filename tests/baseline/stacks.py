"""stacks.py: whole services, each behind its own usual front, on the same weights: ours, the modern
one (Node, sharp, ONNX Runtime), the old one (Gunicorn, Uvicorn, FastAPI, PyTorch) in four states.

    with stack.opened() as running:     # only the front is there
        running.start()
        web.request(running.port, "POST", "/predict", picture)
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile

import keeper
import measure
import service
from front import Front
from ready import HERE, PLACE, PYTHON

CORES = measure.CORES
LONG = "proxy_read_timeout 130s; client_max_body_size 16m; client_body_buffer_size 1m;"
# A request whose worker died is sent again, as ours is: what a careful engineer would write.
RETRY = "proxy_next_upstream error non_idempotent;"


class Running:
    """One service and its front. start() launches it, and comes back at once."""

    def __init__(self, front):
        self.front, self.process = front, None

    @property
    def port(self):
        return self.front.port

    def launch(self, command, cwd=None, **variables):
        with open(os.path.join(self.front.directory, "app.log"), "ab") as log:
            self.process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=measure.environment(**variables))  # fmt: skip

    def workers(self):
        """Pids of the processes that compute."""
        return [p for p, parent in keeper.parents().items() if parent == self.process.pid]

    def processes(self):
        roots = [self.process.pid, self.front.process.pid]
        return roots + [pid for root in roots for pid in keeper.descendants(root)]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        if self.process and self.process.poll() is None:
            left = keeper.descendants(self.process.pid)
            self.process.terminate()
            try:
                self.process.wait(service.STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class Stack:
    usual = True  # measured when nobody says which

    def __init__(self, name, settings, missing):
        """missing: a sentence that says why it cannot be had here, or None."""
        self.name, self.settings, self.missing = name, settings, missing


class Ours(Stack):
    def __init__(self, name, usual=True, **variables):
        self.variables = {"RESNET_WORKERS": CORES, **variables}
        said = " ".join(f"{name}={value}" for name, value in self.variables.items())
        super().__init__(name, f"`{said}`, the rest as it comes", None)
        self.usual = usual

    @contextlib.contextmanager
    def opened(self):
        model = os.path.join(PLACE, "resnet50.rnm")
        with service.Service(model=model, cold=True, **self.variables) as served:
            yield OursRunning(served)


class OursRunning(Running):
    def __init__(self, served):
        super().__init__(served.nginx)
        self.served = served

    def start(self):
        self.served.start_spawn()
        self.process = self.served.spawn

    def workers(self):
        return self.served.workers()

    def stop(self):
        pass  # leaving the service's block drains it


class Modern(Stack):
    def __init__(self, name, model, missing, processes=CORES, usual=True):
        threads = CORES // processes
        settings = (f"a cluster of {processes}, threads of each for ONNX Runtime {threads}, for sharp 1; a socket "
                    "each; nginx with `least_conn`, kept connections, a second try elsewhere")  # fmt: skip
        super().__init__(name, settings, missing)
        self.model, self.processes, self.threads, self.usual = model, processes, threads, usual

    @contextlib.contextmanager
    def opened(self):
        with tempfile.TemporaryDirectory(prefix="resnet-modern.") as sockets:
            servers = "".join(f'server "unix:{sockets}/{n}.sock" max_fails=0; ' for n in range(self.processes))
            upstream = f"upstream app {{ least_conn; {servers} keepalive {4 * CORES}; }}"
            passed = f'{LONG} {RETRY} proxy_http_version 1.1; proxy_set_header Connection "";'
            with Front(server(upstream, passed)) as front:
                running = ModernRunning(front, sockets, self)
                try:
                    yield running
                finally:
                    running.stop()


def server(upstream, passed):
    return lambda port: (f"{upstream} server {{ listen 127.0.0.1:{port}; "
                         f"location / {{ {passed} proxy_pass http://app; }} }}")  # fmt: skip


class ModernRunning(Running):
    def __init__(self, front, sockets, stack):
        super().__init__(front)
        self.sockets, self.stack = sockets, stack

    def start(self):
        numbers = [str(self.stack.processes), str(self.stack.threads)]
        self.launch(["node", os.path.join(HERE, "modern.js"), self.sockets,
                     os.path.join(PLACE, self.stack.model), *numbers], cwd=PLACE)  # fmt: skip


class Old(Stack):
    def __init__(self, name, options, tried, missing, **variables):
        said = " ".join(f"{k}={v}" for k, v in variables.items())
        settings = f"`gunicorn {' '.join(options)}`{f', `{said}`' if said else ''}"
        settings += ", a second try" if tried > 1 else ""
        super().__init__(name, settings, missing)
        self.options, self.tried, self.variables = options, tried, variables

    @contextlib.contextmanager
    def opened(self):
        with tempfile.TemporaryDirectory(prefix="resnet-old.") as directory:
            path = os.path.join(directory, "app.sock")
            upstream = f"upstream app {{ {f'server unix:{path} max_fails=0; ' * self.tried} }}"
            with Front(server(upstream, LONG + (RETRY if self.tried > 1 else ""))) as front:
                running = OldRunning(front, path, self.options, self.variables)
                try:
                    yield running
                finally:
                    running.stop()


class OldRunning(Running):
    def __init__(self, front, path, options, variables):
        super().__init__(front)
        self.path, self.options, self.variables = path, options, variables

    def start(self):
        self.launch([PYTHON, "-m", "gunicorn", "old_app:app", "-k", "uvicorn.workers.UvicornWorker",
                     "-b", f"unix:{self.path}", *self.options], cwd=HERE, PYTHONDONTWRITEBYTECODE="1",
                    WEIGHTS=os.path.join(PLACE, "resnet50.pth"), **self.variables)  # fmt: skip


def all_stacks(missing):
    """missing: {"modern": sentence or None, "modern int8": …, "old": …}"""
    one = {"TORCH_THREADS": "1", "OMP_NUM_THREADS": "1"}
    wide = ["--workers", str(CORES), "--timeout", "120"]
    old = missing["old"]
    return [
        Ours("ours, fp32", RESNET_PRECISION="fp32"),
        Ours("ours, int8", RESNET_PRECISION="int8"),
        Ours("ours, int8, fast", False, RESNET_PRECISION="int8", RESNET_DECODE="fast"),
        Modern("modern, fp32", "resnet50.onnx", missing["modern"]),
        Modern("modern, int8", "resnet50_int8.onnx", missing["modern int8"]),
        Modern("modern, fp32, one process", "resnet50.onnx", missing["modern"], 1, False),
        Modern("modern, int8, one process", "resnet50_int8.onnx", missing["modern int8"], 1, False),
        Old("old, jit", wide, 2, old, TORCH_HOW="jit", **one),
        Old("old, tuned", wide, 2, old, TORCH_HOW="last", **one),
        Old("old, 120 s", ["--workers", "1", "--timeout", "120"], 1, old),
        Old("old, defaults", ["--workers", "2"], 1, old),
    ]


def cpu_ticks(running):
    """What all its processes have used so far."""
    total = 0
    for pid in running.processes():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rsplit(b")", 1)[1].split()
            total += sum(map(int, fields[11:15]))  # its own, and that of its children that have ended
    return total


def pss_bytes(running):
    """Of all its processes together, its front included; None where the kernel does not say."""
    total = 0
    for pid in running.processes():
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += 1024 * int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1])
        except PermissionError:
            return None
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total
