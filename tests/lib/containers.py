"""containers.py: a Docker engine of the test's own, images without a registry, and compose.

    with Engine() as engine:
        engine.build_images()
        with Project(engine) as project:
            project.up(scale=2, CPUS="1.5")
            answer = project.post(draw.jpeg())

Images stay in build/docker, since they take minutes; nothing else outlives the test. The engine
leaves the machine's packet filter and forwarding alone: containers reach nobody outside.
"""

import contextlib
import fcntl
import glob
import json
import os
import shutil
import subprocess
import tempfile

import root
import service
import tap
import web

HOME = os.path.join(service.BUILD, "docker")
BASE, NGINX, BACKEND = "resnet-test/debian", "resnet-test/nginx", "resnet-fcgi:1.0.0"
STANDIN = os.path.join(service.TOP, "tests", "fixtures", "nginx-image")
START_S, BUILD_S, COMMAND_S = 90, 900, 300
SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"


class Unavailable(Exception):
    """Says why no engine runs here."""


def missing():
    """Why there can be no engine here; None: it can be tried."""
    for name in ("dockerd", "docker", "docker-compose"):
        if not shutil.which(name, path=SBIN):
            return f"{name} is not installed (tests/deps.sh docker)"
    return root.missing()


def cpus(wanted):
    """So many, or as many as an engine that we start here has to give."""
    return str(min(wanted, len(os.sched_getaffinity(0))))


def last_line(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def unmount_below(directory):
    with open("/proc/self/mounts", encoding="utf-8") as file:
        places = [line.split()[1] for line in file]
    for place in reversed(places):
        if place.startswith(directory + "/"):
            subprocess.run(["umount", "-l", place], check=False)


class Engine:
    def __init__(self):
        self.directory = self.process = self._lock = None
        self.environment = {}

    def __enter__(self):
        os.makedirs(HOME, exist_ok=True)
        self._lock = open(os.path.join(HOME, "lock"), "w", encoding="utf-8")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.directory = tempfile.mkdtemp(prefix="resnet-t.")
        try:
            self._start()
            self._remove_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        address = f"unix://{self.directory}/docker.sock"
        self.environment = service.clean_environment(
            PATH=SBIN, DOCKER_HOST=address, DOCKER_BUILDKIT=0, COMPOSE_DOCKER_CLI_BUILD=0,
            DOCKER_CONFIG=self.directory,
        )  # fmt: skip
        self.environment.pop("PYTHONPATH", None)  # docker-compose is Python too
        path = os.path.join(self.directory, "dockerd.log")
        with open(path, "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--host", address, "--data-root", os.path.join(HOME, "data"),
                 "--exec-root", os.path.join(self.directory, "exec"),
                 "--pidfile", os.path.join(self.directory, "pid"), "--bridge=none",
                 "--iptables=false", "--ip6tables=false", "--ip-forward=false"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip

        def answers():
            if self.process.poll() is not None:
                raise Unavailable(f"dockerd does not run here: {last_line(path)}")
            return self.docker("version", check=False).returncode == 0

        try:
            service.until(answers, START_S, "dockerd")
        except TimeoutError as error:
            raise Unavailable(f"dockerd does not answer here: {last_line(path)}") from error

    def _remove_all(self):
        """What a test that was killed has left."""
        for container in self.docker("ps", "-aq").stdout.split():
            self.docker("rm", "-fv", container)
        self.docker("network", "prune", "-f")
        self.docker("volume", "prune", "-f")

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self._remove_all()
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        unmount_below(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()

    def run(self, command, check=True, timeout=COMMAND_S, environment=None, data=None):
        done = subprocess.run(
            command, input=data, capture_output=True, text=True, timeout=timeout, check=False,
            env={**self.environment, **(environment or {})}, cwd=service.TOP,
        )  # fmt: skip
        if check and done.returncode:
            tap.note((done.stdout + done.stderr)[-3000:])
            lines = (done.stderr or done.stdout).strip().split("\n")
            said = next((line for line in reversed(lines) if "rror" in line), lines[-1])
            raise RuntimeError(f"{' '.join(command)[:200]}: exit {done.returncode}: {said}")
        return done

    def docker(self, *arguments, **options):
        return self.run(["docker", *arguments], **options)

    # ---- images --------------------------------------------------------------------------------
    def size(self, image):
        return int(self.docker("image", "inspect", "--format", "{{.Size}}", image).stdout)

    def build(self, *arguments):
        proxies = [f"--build-arg={name}" for name in os.environ if name.lower().endswith("_proxy")]
        self.docker("build", "--quiet", "--network=host", f"--build-arg=BASE_IMAGE={BASE}",
                    *proxies, *arguments, timeout=BUILD_S)  # fmt: skip

    def _probe(self):
        """Whether a container runs here at all, on a network of its own and with limits."""
        self.docker("network", "create", "resnet-t-probe")
        self.docker("run", "--rm", "--network=resnet-t-probe", "--memory=64m", "--cpus=0.5", BASE, "true")
        self.docker("network", "rm", "resnet-t-probe")

    def prepare(self):
        """The base from debootstrap, and the stand-in for nginx."""
        form = "{{.Driver}} {{.MemoryLimit}} {{.CPUCfsQuota}}"
        driver, *limits = self.docker("info", "--format", form).stdout.split()
        if driver == "vfs":
            raise Unavailable("there is no overlay here; driver vfs would copy every layer in full")
        if limits != ["true", "true"]:
            raise Unavailable("this engine cannot limit memory and CPU")
        try:
            if self.docker("image", "inspect", BASE, check=False).returncode:
                self.docker("import", root.tarball("bookworm", []), BASE, timeout=BUILD_S)
            self._probe()
            self.build("--tag", NGINX, STANDIN)
        except (RuntimeError, subprocess.SubprocessError) as error:
            raise Unavailable(f"no base image, or no container runs here: {error}") from error

    def build_images(self):
        """Ours, every stage by its name, so that the next test finds them made."""
        self.prepare()
        ours = f"--build-arg=BUILD_IMAGE={BASE}"
        self.build(ours, "--target=build", "--tag=resnet-test/build", ".")
        self.build(ours, "--target=weights", "--tag=resnet-fcgi-weights:1.0.0", ".")
        self.build(ours, "--tag", BACKEND, ".")
        self.docker("image", "prune", "-f")


class Project:
    """compose.yaml. Asked like a service.Service."""

    NAME = "resnet-t"

    def __init__(self, engine):
        self.engine, self.port = engine, service.free_port()
        self.override = os.path.join(engine.directory, "override.yaml")
        with open(self.override, "w", encoding="utf-8") as file:
            # nothing is to be downloaded in a test
            json.dump({"services": {"weights": {"network_mode": "none"}}}, file)
        open(os.path.join(engine.directory, "env"), "w", encoding="utf-8").close()
        self.environment = {
            "PORT": str(self.port), "METRICS_PORT": str(self.port + 1), "NGINX_IMAGE": NGINX,
            "BUILD_IMAGE": BASE, "BASE_IMAGE": BASE, "CPUS": cpus(2),
            "MEMORY": "512m",
        }  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for container in self.all("backend") + self.all("nginx"):
                done = self.engine.docker("logs", "--tail=15", container, check=False)
                tap.note(f"--- {container}\n{done.stdout}{done.stderr}")
        self.compose("down", "--volumes", "--timeout=60", check=False)

    def compose(self, *arguments, check=True):
        return self.engine.run(
            ["docker-compose", "--project-name", self.NAME, "--file", "compose.yaml", "--file",
             self.override, "--env-file", os.path.join(self.engine.directory, "env"), *arguments],
            environment=self.environment, check=check,
        )  # fmt: skip

    def up(self, *options, scale=1, **environment):
        """Until nginx answers and all replicas are healthy."""
        self.environment.update(environment)
        self.compose("up", "--detach", "--no-build", f"--scale=backend={scale}", *options)
        service.until(self.answers, START_S, "an answer of nginx")

    def answers(self):
        try:
            healthy = [self.state(c)["Health"]["Status"] for c in self.all("backend")]
            return set(healthy) == {"healthy"} and self.get("/health/ready").status == 200
        except web.Broken:
            return False

    # ---- containers ----------------------------------------------------------------------------
    def all(self, name):
        label = "label=com.docker.compose."
        return self.engine.docker(
            "ps", "-aq", "--filter", f"{label}project={self.NAME}", "--filter", f"{label}service={name}"
        ).stdout.split()

    def one(self, name):
        (container,) = self.all(name)
        return container

    def inspect(self, container):
        return json.loads(self.engine.docker("inspect", container).stdout)[0]

    def state(self, container):
        return self.inspect(container)["State"]

    def execute(self, container, *command):
        return self.engine.docker("exec", container, *command, check=False)

    def pids(self, container):
        """As the host counts them."""
        lines = self.engine.docker("top", container, "-eo", "pid").stdout.split("\n")
        return [int(line) for line in lines[1:] if line.strip()]

    # ---- as a service.Service is asked ---------------------------------------------------------
    @property
    def inside(self):
        return self.port + 1

    def get(self, path, port=None):
        return web.request(port or self.port, "GET", path)

    def post(self, body, headers=None):
        return web.request(self.port, "POST", "/predict", body, headers)

    def status(self):
        return self.get("/status", port=self.inside).json()

    def metric(self, name):
        lines = self.get("/metrics", port=self.inside).body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def access(self):
        lines = self.engine.docker("logs", self.one("nginx")).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def memory(pid):
    """{file: text} of the memory group of a process, of either version of cgroups."""
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        paths = dict(line.rstrip("\n").split(":", 2)[1:] for line in file)
    top = "/sys/fs/cgroup" + ("/memory" + paths["memory"] if "memory" in paths else paths[""])
    found = {}
    for path in glob.glob(top + "/memory.*"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            found[os.path.basename(path)] = file.read()
    return found


def out_of_memory(group):
    """How often the kernel has killed somebody in it, and the most that was ever used (v1 only)."""
    text = group.get("memory.oom_control") or group.get("memory.events") or ""
    kills = [int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")]
    most = group.get("memory.max_usage_in_bytes") or group.get("memory.peak") or "0"
    return sum(kills), int(most)
