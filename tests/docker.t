#!/usr/bin/env python3
"""The image and compose.yaml under a real Docker engine: up with nothing prepared, hardened, killed
from outside, stopped, short of memory and of CPU, replicas replaced one by one. nginx is a stand-in
with the stock image's order of things (tests/fixtures/nginx-image): no registry is reached."""

# alone
# timeout: 1500

import json
import os
import signal
import threading
import time

import checkpoint
import containers
import draw
import keeper
import kustomize
import service
import tap
import web
from load import Load, known
from manifests import Manifests

MIB = 1 << 20
SIDE_64M = 8000  # pixels each way: 64 million, which RESNET_MAX_PIXELS just allows
REFUSED, SLOW = draw.flat(SIDE_64M, SIDE_64M, progressive=True), draw.flat(SIDE_64M, SIDE_64M)
MANY = 10_000


# ---- up, with nothing prepared ---------------------------------------------------------------


def image_is_small(engine):
    beyond = engine.size(containers.BACKEND) - engine.size(containers.BASE)
    tap.note(f"the image is {beyond / 1e6:.0f} MB beyond its base, without a model")
    tap.ok(beyond <= 120e6, "at most 120 MB beyond the base", beyond)
    ran = engine.docker("run", "--rm", "--network=none", containers.BACKEND, "sh", "-c",
                        "for p in /usr/bin/resnet-*; do $p --version || exit; done")  # fmt: skip
    tap.ok(len(ran.stdout.splitlines()) >= 6, "all its programs find their libraries", ran.stdout)
    labels = engine.docker("image", "inspect", "--format", "{{json .Config.Labels}}",
                           containers.BACKEND).stdout  # fmt: skip
    version = json.loads(labels)["org.opencontainers.image.version"]
    tap.ok(f" {version} (" in ran.stdout, "its label's version is theirs", ran.stdout)


def answers(project):
    project.up()
    said = project.engine.docker("logs", project.one("weights")).stderr
    tap.ok("SYNTHETIC" in said, "without weights and network: a synthetic model, with a warning", said)
    answer = project.post(draw.jpeg())
    tap.equal(answer.status, 200, "a photograph is answered")
    tap.ok("synthetic" in answer.json()["model"], "which says so", answer)
    tap.equal(project.get("/health").json()["status"], "healthy", "/health")
    tap.equal(project.get("/").status, 200, "the page")
    tap.equal(project.get("/metrics").status, 404, "no /metrics for clients")
    tap.ok(project.metric("resnet_build_info"), "/metrics on the second listener")


def privileges(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    zero = {name: int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")}
    return set(lines["Uid"].split() + lines["Gid"].split()), set(zero.values()), lines["NoNewPrivs"]


def own_processes(project, container):
    """Privileges of its first process and all below it: a health check is none of them, and comes and
    goes, at first with all that Docker has."""
    first = project.state(container)["Pid"]
    return [privileges(pid) for pid in {first, *keeper.descendants(first)}]


def is_hardened(project):
    for name in ("backend", "nginx"):
        container = project.one(name)
        found = own_processes(project, container)
        tap.ok(len(found) >= 2, f"{name}: there are processes", found)
        tap.ok(all(one == ({"10001"}, {0}, "1") for one in found),
               f"{name}: one user, no capability, none to be gained", found)  # fmt: skip
        for place in ("/x", "/usr/bin/x", "/var/lib/x"):
            tap.ok(project.execute(container, "touch", place).returncode, f"{name}: {place} is read-only")
    model = project.execute(project.one("backend"), "touch", "/var/lib/resnet-fcgi/resnet50.rnm")
    tap.ok(model.returncode, "nor can the backend write to its model")
    links = project.execute(project.one("backend"), "ls", "/sys/class/net").stdout.split()
    tap.equal(links, ["lo"], "nor reach any network")
    ready = project.execute(project.one("backend"), "resnet-ctl", "health", "ready")
    tap.equal(ready.returncode, 0, "resnet-ctl finds its slot")


# ---- killed, stopped ---------------------------------------------------------------------------


def restarts(project):
    return [project.inspect(container)["RestartCount"] for container in project.all("backend")]


def first_process_killed(project):
    pictures, backend = known(project), project.one("backend")
    with Load(project, pictures, 8, patience_s=0.02) as load:
        service.until(lambda: load.good() > 20, containers.START_S, "answers")
        os.kill(project.state(backend)["Pid"], signal.SIGKILL)
        service.until(lambda: restarts(project) == [1], containers.START_S, "a restart")
        seen = load.good()
        service.until(lambda: load.good() > seen + 50, containers.START_S, "answers again")
    tap.note(f"first process killed: {load.results}")
    tap.ok(load.only("200", "503 unavailable"), "whole answers, or our 503", load.results)
    tap.ok(load.count("503 unavailable") > 0, "503 while nobody is there", load.results)
    last = sorted(load.answers, key=lambda got: got.start)[-8:]
    tap.equal({got.outcome for got in last}, {"200"}, "and then 200 again")
    service.until(project.answers, containers.START_S, "health")
    tap.equal(restarts(project), [1], "restarted once, by Docker")


class Inside:
    """nginx at its container's own address: whom it refuses, no proxy has accepted before."""

    def __init__(self, project):
        networks = project.inspect(project.one("nginx"))["NetworkSettings"]["Networks"]
        (network,) = networks.values()
        self.port = (network["IPAddress"], 8080)


def stopped(project):
    """Of what nginx accepted, nothing is lost: what waited has its answer, and what nginx logged, its
    clients have, whole. A quarter of a CPU makes a queue of some seconds."""
    project.up(CPUS="0.25")
    pictures = known(project)
    with Load(Inside(project), pictures, 24) as load:
        service.until(lambda: project.metric("resnet_queue_depth") >= 16, containers.START_S, "a queue")
        begun = time.monotonic()
        project.compose("stop")
    waited = [got for got in load.answers if got.start < begun <= got.end]
    tap.ok(len(waited) >= 16, "stopped while requests wait", len(waited))
    tap.equal({got.outcome for got in waited}, {"200"}, "and each of them is answered")
    logged = {line["request_id"]: (line["status"], line["completed"]) for line in project.access()
              if line["request_id"].startswith(load.tag)}  # fmt: skip
    got = {got.id for got in load.answers if got.outcome == "200"}
    tap.note(f"compose stop: {len(waited)} waited, {len(got)} answers in all")
    tap.equal(set(logged.values()), {(200, "OK")}, "all that nginx accepted got 200")
    tap.equal(sorted(set(logged) ^ got), [], "and all of these reached their clients, whole")
    ends = [project.state(project.one(name)) for name in ("nginx", "backend")]
    tap.equal([end["ExitCode"] for end in ends], [0, 0], "nginx and backend drained")
    tap.ok(ends[0]["FinishedAt"] <= ends[1]["FinishedAt"], "nginx first", ends)


# ---- short of memory ---------------------------------------------------------------------------


class Bombs:
    """Four clients that only send the worst pictures that are legal."""

    def __init__(self, project, pictures):
        """pictures: [(bytes, the only right answer)]"""
        self.project, self.pictures, self.found = project, pictures, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(4)]

    def _send(self, number):
        while not self._stop.is_set():
            picture, expected = self.pictures[number % len(self.pictures)]
            number += 1
            try:
                answer = self.project.post(picture)
                found = (answer.status, answer.code())
            except web.Broken as error:
                found = str(error)
            self.found.append((expected, found))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wrong(self):
        return [(expected, found) for expected, found in self.found if expected != found]


def largest_progressive(limit_bytes, model_bytes, workers):
    """A picture whose coefficients take most of what one decoder may have: 2 bytes each."""
    share = (limit_bytes - model_bytes) / workers / 2
    side = int((0.9 * share / (2 * 3)) ** 0.5)
    return draw.flat(side, side, progressive=True), side


def model_bytes(project):
    path = "/var/lib/resnet-fcgi/resnet50.rnm"
    return int(project.execute(project.one("backend"), "stat", "-c", "%s", path).stdout)


def survives(project, requests, slow):
    size = model_bytes(project)
    accepted, side = largest_progressive(512 * MIB, size, 4)
    good, refused = (200, None), (413, "image_too_large")
    worst = [(REFUSED, refused)] * 7 + [(accepted, good)] + ([(SLOW, good)] if slow else [])
    pid = project.state(project.one("backend"))["Pid"]
    workers = sorted(worker["pid"] for worker in project.status()["workers"])
    with Bombs(project, worst) as bombs, Load(project, known(project), 8, requests=requests) as load:
        load.join()
    kills, most = containers.out_of_memory(containers.memory(pid))
    name = f"a model of {size // MIB} MiB, {requests} requests"
    tap.note(f"{name}: {load.results}, {len(bombs.found)} of the worst pictures, the largest accepted "
             f"{side} x {side}; {most / MIB:.0f} MiB of 512 at most, page cache included; "
             f"{load.rate():.0f} answers/s")  # fmt: skip
    tap.ok(load.all_good() and load.good() == requests, f"{name}: all 200", load.results)
    tap.equal(bombs.wrong()[:3], [], f"{name}: 413 where refused, 200 where not")
    tap.ok(len(bombs.found) > 20, f"{name}: among the worst pictures", len(bombs.found))
    tap.equal((kills, project.state(project.one("backend"))["OOMKilled"], restarts(project)),
              (0, False, [0]), f"{name}: no OOM, no restart")  # fmt: skip
    tap.equal(sorted(worker["pid"] for worker in project.status()["workers"]), workers,
              f"{name}: the same four workers")  # fmt: skip


def short_of_memory(project):
    memory = {"MEMORY": "512m", "RESNET_WORKERS": "4", "CPUS": containers.cpus(4)}
    project.up(**memory)
    tap.equal(len(project.status()["workers"]), 4, "four workers in 512 MiB")
    survives(project, 400, slow=True)


def many_requests(project):
    """The same, with a model so small that they do not take long."""
    project.up("--force-recreate", MEMORY="512m", RESNET_WORKERS="4", CPUS=containers.cpus(4),
               RESNET_WEIGHTS=service.small_model(), RESNET_PRECISION="fp32")  # fmt: skip
    survives(project, MANY, slow=False)


# ---- weights of one's own ----------------------------------------------------------------------


def weights_are_packed(project):
    path = os.path.join(project.engine.directory, "weights")
    with open(path, "wb") as file:
        file.write(checkpoint.safetensors(checkpoint.resnet(depth=50, width=8)))
    os.chmod(path, 0o644)
    project.up("--force-recreate", RESNET_WEIGHTS=path, RESNET_PRECISION="int8", RESNET_WORKERS="auto",
               CPUS=containers.cpus(2))  # fmt: skip
    tap.equal(sorted(project.status()["precisions"]), ["fp32", "int8"], "one's own weights, int8 beside fp32")
    answer = project.post(draw.jpeg())
    tap.equal((answer.status, answer.header("x-precision")), (200, "int8"), "answered in int8")
    tap.ok("synthetic" not in answer.json()["model"], "by a model that is not synthetic", answer)


# ---- short of CPU --------------------------------------------------------------------------------


def short_of_cpu(project):
    if containers.cpus(2) == "2":
        project.up(RESNET_WORKERS="auto", CPUS="1.5")
        tap.equal(len(project.status()["workers"]), 2, "1.5 CPUs: two workers")
        with Load(project, known(project), 8) as load:
            service.until(lambda: project.metric("resnet_cpu_throttled_seconds_total") > 0,
                          containers.START_S, "being throttled")  # fmt: skip
        tap.ok(load.all_good(), "throttled, which /metrics tells, and every answer 200", load.results)
    else:
        tap.skip("1.5 CPUs", "there is only one here")
    project.up(RESNET_WORKERS="auto", CPUS="0.25")
    tap.equal(len(project.status()["workers"]), 1, "a quarter of a CPU: one worker")
    with Load(project, known(project), 4, requests=40) as load:
        load.join()
    took = sorted(got.end - got.start for got in load.answers)
    tap.note(f"a quarter of a CPU: answers after {took[len(took) // 2]:.2f} s (median)")
    tap.ok(load.all_good(), "slow, and every answer 200", load.results)
    tap.ok(project.answers(), "and its health is true")


# ---- replicas ------------------------------------------------------------------------------------


def slots(project):
    links = [project.execute(c, "readlink", "/run/resnet-fcgi").stdout.strip()
             for c in project.all("backend")]  # fmt: skip
    return sorted(links)


def served_by(load):
    with load.lock:
        return {got.served.split("/")[0] for got in load.answers if got.served}


def replicas_replaced(project):
    project.up(scale=4, CPUS=containers.cpus(1), RESNET_WORKERS="auto")
    tap.equal(slots(project), [f"/slots/{n}" for n in range(1, 5)], "four replicas, a slot each")
    own = [project.get(f"/slots/{n}/status", port=project.inside) for n in range(1, 5)]
    tap.equal([answer.status for answer in own], [200] * 4, "each has its own /status for operators")
    tap.equal(project.get("/slots/1/status").status, 404, "and none for clients")
    pictures, before = known(project), project.all("backend")
    with Load(project, pictures, 8) as load:
        for container in before:
            seen = load.good()
            project.engine.docker("stop", "--time=150", container)
            project.engine.docker("rm", container)
            service.until(lambda: load.good() > seen + 50, containers.START_S, "answers of the others")
            project.up("--no-recreate", scale=4)
        service.until(lambda: len(served_by(load)) == 8, containers.START_S, "answers of all")
    served = served_by(load)
    tap.note(f"four replicas replaced: {load.results} by {len(served)} of them")
    tap.ok(load.all_good(), "every answer is 200 and whole", load.results)
    tap.equal(len(served), 8, "the old ones' and the new ones'")
    tap.equal(slots(project), [f"/slots/{n}" for n in range(1, 5)], "and the slots are taken again")


# ---- as Kubernetes would run it ------------------------------------------------------------------


def as_a_pod(engine):
    """The manifests' commands, user and places, in an image with a model in it."""
    manifests = Manifests(kustomize.render(os.path.join(service.TOP, "spawn/deploy/kubernetes/base")))
    engine.build(f"--build-arg=BUILD_IMAGE={containers.BASE}", "--build-arg=MODEL=synthetic",
                 "--tag=resnet-test/baked", ".")  # fmt: skip
    user = "{runAsUser}:{runAsGroup}".format(**manifests.pod["securityContext"])
    common = ["--network=none", "--read-only", "--cap-drop=ALL", f"--user={user}",
              "--security-opt=no-new-privileges"]  # fmt: skip
    files = manifests.containers["nginx-files"]["command"]
    copied = engine.docker(
        "run", "--rm", *common, "--tmpfs=/nginx-files:uid=10001", "--entrypoint=sh",
        "resnet-test/baked", "-c", '"$@" && ls /nginx-files', "sh", *files,
    ).stdout.split()  # fmt: skip
    needed = {m["subPath"] for m in manifests.containers["nginx"]["volumeMounts"]
              if m["name"] == "nginx-files"}  # fmt: skip
    tap.ok(needed and needed <= set(copied), "the image has the files that nginx mounts", copied)
    settings = [f"--env={name}={value}" for name, value in manifests.settings.items()]
    backend = manifests.containers["backend"]
    container = engine.docker(
        "run", "--detach", *common, *settings, "--tmpfs=/run/resnet-fcgi:uid=10001,gid=10001",
        f"--entrypoint={backend['command'][0]}", "resnet-test/baked", *backend["command"][1:],
    ).stdout.strip()  # fmt: skip
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = backend[probe]["exec"]["command"]
        service.until(lambda: engine.docker("exec", container, *command, check=False).returncode == 0,
                      containers.START_S, probe)  # fmt: skip
        tap.ok(True, f"with the model in the image, {probe} is answered")
    engine.docker("rm", "--force", container)


def everything():
    try:
        with containers.Engine() as engine:
            engine.build_images()
            image_is_small(engine)
            as_a_pod(engine)
            with containers.Project(engine) as project:
                answers(project)
                is_hardened(project)
                first_process_killed(project)
                stopped(project)
                short_of_memory(project)
                short_of_cpu(project)
                weights_are_packed(project)
                many_requests(project)
                replicas_replaced(project)
    except containers.Unavailable as error:
        tap.skip("containers", str(error))


if tap.T < 60:
    tap.skip_all("takes minutes: make check-full")
if containers.missing() or service.SANITIZED:
    tap.skip_all(containers.missing() or "the image is not built with sanitizers")
tap.run(everything)
