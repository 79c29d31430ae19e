#!/usr/bin/env python3
"""compose.yaml, Dockerfile and Kubernetes' manifests agree with one another and with the tree; no
Docker is needed. docker.t brings all of it up."""

import copy
import os
import re
import shutil
import subprocess

import kustomize
import service
import sources
import tap
import yaml
from manifests import Manifests, seconds

WEIGHTS, BACKEND, NGINX = "weights", "backend", "nginx"


def filled_in(text):
    """As compose does it with nothing set."""
    return re.sub(r"\$\{\w+(?::-([^}]*))?\}", lambda found: found[1] or "", text)


def load():
    return yaml.safe_load(filled_in(sources.read("compose.yaml")))


def manifests():
    return Manifests(kustomize.render(os.path.join(service.TOP, "spawn/deploy/kubernetes/base")))


def argument(name):
    """The last value that an instruction of the Dockerfile has."""
    return re.findall(rf"^{name} (.+)$", sources.read("Dockerfile"), re.MULTILINE)[-1]


def of_compose(project):
    """Sentences about what is wrong."""
    services = project["services"]
    for name, one in services.items():
        if (one.get("read_only"), one.get("cap_drop")) != (True, ["ALL"]):
            yield f"{name}: writable root or capabilities"
        if one.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name}: privileges can be gained"
        if one.get("user") != argument("USER"):
            yield f"{name}: not the image's user"
        for volume in one["volumes"]:
            path = volume.split(":")[0]
            if path.startswith("./") and not os.path.exists(os.path.join(service.TOP, path)):
                yield f"{name}: {path} is not there"
            if not path.startswith(("./", "/")) and path not in project["volumes"]:
                yield f"{name}: volume {path} is not there"
    backend, nginx = services[BACKEND], services[NGINX]
    if backend["environment"]["SLOTS"] != nginx["environment"]["NGINX_SLOTS"]:
        yield "nginx does not list as many slots as there are"
    for key in set(backend["environment"]) & set(nginx["environment"]):
        if backend["environment"][key] != nginx["environment"][key]:
            yield f"{key} is not the same for both"
    for one in (backend, nginx):
        if seconds(one["stop_grace_period"]) < seconds(backend["environment"]["RESNET_REQUEST_TIMEOUT"]) + 30:
            yield "a short stop_grace_period"
        if not (one.get("mem_limit") and one.get("healthcheck")):
            yield "no limit or no health check"
    user = argument("USER").split(":")
    options = project["volumes"]["sockets"]["driver_opts"]["o"].split(",")
    if not {f"uid={user[0]}", f"gid={user[1]}", "mode=0770"} <= set(options):
        yield "the sockets' volume is somebody else's"


BROKEN = {
    "a writable root": lambda p: p["services"][NGINX].update(read_only=False),
    "capabilities": lambda p: p["services"][WEIGHTS].pop("cap_drop"),
    "new privileges": lambda p: p["services"][BACKEND].pop("security_opt"),
    "root": lambda p: p["services"][BACKEND].update(user="0:0"),
    "more slots": lambda p: p["services"][BACKEND]["environment"].update(SLOTS=5),
    "another limit": lambda p: p["services"][NGINX]["environment"].update(RESNET_MAX_BODY="1MiB"),
    "a short grace": lambda p: p["services"][NGINX].update(stop_grace_period="10s"),
    "no limit": lambda p: p["services"][BACKEND].pop("mem_limit"),
    "a file that has gone": lambda p: p["services"][NGINX]["volumes"].append("./gone:/gone:ro"),
    "a volume that has gone": lambda p: p["volumes"].pop("model"),
    "root's sockets": lambda p: p["volumes"]["sockets"]["driver_opts"].update(o="mode=0770"),
}


def compose_is_whole():
    tap.equal(list(of_compose(load())), [], "compose.yaml: users, slots, limits, files agree")
    for what, breaks in BROKEN.items():
        project = copy.deepcopy(load())
        breaks(project)
        tap.ok(list(of_compose(project)), f"can fail: {what}")


def compose_parses():
    if not shutil.which("docker-compose"):
        return tap.skip("docker-compose takes compose.yaml", "docker-compose is not installed")
    done = subprocess.run(["docker-compose", "config", "--quiet"],
                          cwd=service.TOP, capture_output=True, text=True, timeout=60, check=False,
                          env={k: v for k, v in service.clean_environment().items()
                               if k != "PYTHONPATH"})  # fmt: skip
    tap.equal((done.returncode, done.stderr), (0, ""), "docker-compose takes compose.yaml")
    return None


def image_fits():
    """Its version is the tree's; what Kubernetes' manifests expect of it is what it is made of."""
    version = re.search(r"^VERSION := (\S+)$", sources.read("GNUmakefile"), re.MULTILINE)[1]
    project, pod = load(), manifests()
    images = {version} | {project["services"][n]["image"].split(":")[1] for n in (WEIGHTS, BACKEND)}
    label = re.search(r'image\.version="([^"]+)"', sources.read("Dockerfile"))[1]
    tap.equal(images | {label}, {version}, "one version everywhere")
    security = pod.pod["securityContext"]
    tap.equal("{runAsUser}:{runAsGroup}".format(**security), argument("USER"), "Kubernetes' user")
    places = dict(pair.split("=") for pair in argument("ENV").split())
    wanted = {name: pod.settings[name] for name in ("RESNET_MODEL", "RESNET_RUN_DIR")}
    tap.equal(places, wanted, "and its places")
    copied = re.findall(r"^COPY ((?!--from).+) \S+$", sources.read("Dockerfile"), re.MULTILINE)
    paths = [path for line in copied for path in line.split() if "$" not in path and "*" not in path]
    gone = [path for path in paths if not os.path.exists(os.path.join(service.TOP, path))]
    tap.ok(len(paths) > 5 and not gone, "what the Dockerfile copies is there", (paths, gone))


tap.run(compose_is_whole, compose_parses, image_fits)
