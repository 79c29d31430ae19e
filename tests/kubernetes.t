#!/usr/bin/env python3
"""The Kubernetes manifests: every overlay renders, nothing in it is misspelt or of another type than
the API's, names and time-outs follow from each other, and what the probes ask is answered by the
running programs. No cluster is needed, and none has seen them."""
# timeout: 600

import copy
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

import kustomize
import service
import tap
import web
from manifests import Manifests, faults

TOP = os.path.join(service.TOP, "spawn", "deploy", "kubernetes")
PACKAGES = ("typescript@5.9.3", "kubernetes-models@4.5.1", "@kubernetes-models/gateway-api@0.5.1")
ORDINARY = ["base", "overlays/minikube", "overlays/production"]
RENDERED = {}  # name: documents


def kubectl_works():
    """kubectl of 1.28 or newer: older ones know a kustomize without components' patches."""
    if not shutil.which("kubectl"):
        return False
    done = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True,
                          text=True, timeout=30, check=False)  # fmt: skip
    version = re.search(r'"gitVersion":\s*"v1\.(\d+)', done.stdout)
    return bool(version) and int(version[1]) >= 28


def by_kubectl(directory):
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True,
                          timeout=60, check=True)  # fmt: skip
    return [document for document in kustomize.yaml.safe_load_all(done.stdout) if document]


def comparable(documents):
    """Without the hashes in ConfigMaps' names, which are kustomize's own, in some order."""
    text = re.sub(r"(resnet-fcgi(?:-nginx)?)-[0-9a-z]{10}\b", r"\1-HASH", json.dumps(documents))
    return sorted(json.loads(text), key=lambda d: (d["kind"], d["metadata"]["name"]))


def every_part(directory):
    """The base with all components, whether an overlay takes them or not."""
    inside = os.path.relpath(TOP, os.path.realpath(directory))
    parts = sorted(os.path.basename(path) for path in glob.glob(TOP + "/components/*"))
    tap.ok(len(parts) >= 3, "there are components", parts)
    spec = {"resources": [f"{inside}/base"], "components": [f"{inside}/components/{p}" for p in parts]}
    with open(os.path.join(directory, "kustomization.yaml"), "w", encoding="utf-8") as file:
        json.dump(spec, file)


def they_render():
    overlays = [os.path.relpath(path, TOP) for path in glob.glob(TOP + "/overlays/*")]
    tap.equal(sorted(["base", *overlays]), ORDINARY, "base and overlays, all of them looked at")
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        every_part(directory)
        for name in [*ORDINARY, directory]:
            path = os.path.join(TOP, name)
            title = "all components" if name == directory else name
            RENDERED[title] = kustomize.render(path)
            tap.ok(len(RENDERED[title]) >= 8, f"{title} renders", RENDERED[title])
            if kubectl_works():
                tap.equal(comparable(by_kubectl(path)), comparable(RENDERED[title]),
                          f"{title}: kubectl kustomize has the same")  # fmt: skip
            else:
                tap.skip(f"{title}: kubectl kustomize", "no kubectl of 1.28 or newer is here: "
                         "only the tests' own renderer has seen it")  # fmt: skip


def renderer_can_fail():
    for slip in ("namePrefix: x", "resources: [no-such-file.yaml]",
                 "patches: [{target: {kind: Pod, name: x}, path: kustomization.yaml}]"):
        with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
            with open(os.path.join(directory, "kustomization.yaml"), "w", encoding="utf-8") as file:
                file.write(slip + "\n")
            try:
                found = kustomize.render(directory)
            except (kustomize.Unsupported, OSError) as error:
                found = error
            tap.ok(isinstance(found, Exception), f"can fail: {slip}", found)


# ---- the API's schemas ---------------------------------------------------------------------------


def install_schemas():
    """The directory that holds them, or None. npm fetches them once for a build directory."""
    directory = os.path.join(service.BUILD, "npm-kubernetes")
    done = os.path.join(directory, "node_modules")
    names = [os.path.join(done, name.rsplit("@", 1)[0], "package.json") for name in PACKAGES]
    if not all(map(os.path.exists, names)) and shutil.which("npm") and shutil.which("node"):
        os.makedirs(directory, exist_ok=True)
        command = ["npm", "install", "--prefix", directory, "--no-audit", "--no-fund",
                   "--ignore-scripts", "--fetch-timeout=20000", "--fetch-retries=1", *PACKAGES]
        try:
            subprocess.run(command, capture_output=True, timeout=100, check=False)
        except subprocess.TimeoutExpired:
            pass
    return directory if all(map(os.path.exists, names)) else None


def strictly_validated(directory, documents):
    """What the TypeScript compiler (unknown fields, types) and the schemas (what is missing,
    patterns, kinds and versions) say; nothing when all is well."""
    with tempfile.TemporaryDirectory(prefix="check-", dir=directory) as place:
        lines, script = [], ["import {createRequire} from 'module';",
                             "const require = createRequire(import.meta.url);"]  # fmt: skip
        for number, document in enumerate(documents):
            kind, value = document["kind"], json.dumps(document)
            module = MODULES.get(document["apiVersion"])
            if not module:
                return f"{document['apiVersion']} is not known here"
            lines += [f"import type {{I{kind} as T{number}}} from '{module}';",
                      f"export const d{number}: T{number} = {value};"]  # fmt: skip
            script += [f"try {{ new (require('{module}').{kind})({value}).validate(); }}",
                       f"catch (error) {{ console.log('{kind}: ' + error.message); }}"]  # fmt: skip
        for name, text in (("all.ts", lines), ("all.mjs", script)):
            with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                file.write("\n".join(text) + "\n")
        compiler = os.path.join(directory, "node_modules", "typescript", "bin", "tsc")
        commands = (["node", compiler, "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext",
                     "--moduleResolution", "nodenext", "--target", "es2022", "all.ts"],
                    ["node", "all.mjs"])  # fmt: skip
        said = [subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120,
                               check=False) for command in commands]  # fmt: skip
    return "".join(done.stdout + done.stderr for done in said)


MODULES = {
    "v1": "kubernetes-models/v1",
    "apps/v1": "kubernetes-models/apps/v1",
    "autoscaling/v2": "kubernetes-models/autoscaling/v2",
    "policy/v1": "kubernetes-models/policy/v1",
    "networking.k8s.io/v1": "kubernetes-models/networking.k8s.io/v1",
    "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
}


def nginx_of(documents):
    return Manifests(documents).containers["nginx"]


SLIPS = {
    "an unknown field of a container": lambda d: nginx_of(d).update(imagePulPolicy="Always"),
    "an unknown field of a probe": lambda d: nginx_of(d)["livenessProbe"].update(timeoutSecond=5),
    "a number as text": lambda d: nginx_of(d)["livenessProbe"].update(timeoutSeconds="5"),
    "a field that is missing": lambda d: Manifests(d).one("Deployment")["spec"].pop("selector"),
    "a kind that is none": lambda d: Manifests(d).all("Service")[0].update(kind="Servize"),
    "an API that has gone": lambda d: Manifests(d).one("HorizontalPodAutoscaler").update(
        apiVersion="autoscaling/v2beta2"
    ),
    "a duration that is none": lambda d: Manifests(d).one("HTTPRoute")["spec"]["rules"][0][
        "timeouts"
    ].update(request="140 s"),
}


def they_are_valid():
    directory = install_schemas()
    if not directory:
        return tap.skip("types and fields by the API's schemas", "node, npm or its registry cannot be "
                        "reached: types, and fields in a wrong place, have not been looked at")  # fmt: skip
    for name, documents in RENDERED.items():
        tap.equal(strictly_validated(directory, documents), "", f"{name}: valid, no unknown field")
    for what, slip in SLIPS.items():
        documents = copy.deepcopy(RENDERED["all components"])
        slip(documents)
        tap.ok(strictly_validated(directory, documents), f"can fail: {what}")
    return None


# ---- what no schema sees -------------------------------------------------------------------------


def deployment(m):
    return m.deployment["spec"]


BROKEN = {
    "a field that is misspelt": lambda m: m.pod.update(hostNetwrk=False),
    "one of a port": lambda m: m.containers["nginx"]["ports"][0].update(protocoll="TCP"),
    "maxUnavailable 1": lambda m: deployment(m)["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    "replicas": lambda m: deployment(m).update(replicas=3),
    "no native sidecar": lambda m: m.containers["backend"].pop("restartPolicy"),
    "service links": lambda m: m.pod.pop("enableServiceLinks"),
    "another Deployment scaled": lambda m: m.one("HorizontalPodAutoscaler")["spec"][
        "scaleTargetRef"].update(name="x"),
    "another label": lambda m: m.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(
        more="x"),
    "a port without a name": lambda m: m.all("Service")[0]["spec"]["ports"][0].update(targetPort="x"),
    "a probe of no port": lambda m: m.containers["nginx"]["livenessProbe"]["httpGet"].update(port="x"),
    "a port nobody listens on": lambda m: m.containers["nginx"]["ports"][2].update(containerPort=8083),
    "a route elsewhere": lambda m: m.one("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0].update(
        name="x"),
    "a short route": lambda m: m.one("HTTPRoute")["spec"]["rules"][0]["timeouts"].update(
        request="60s"),
    "a short Ingress": lambda m: m.one("Ingress")["metadata"]["annotations"].update(
        {"nginx.ingress.kubernetes.io/proxy-read-timeout": "60"}),
    "a hasty kubelet": lambda m: m.containers["backend"]["livenessProbe"].update(timeoutSeconds=5),
    "no readiness": lambda m: m.containers["backend"].pop("readinessProbe"),
    "too little time to start": lambda m: m.containers["backend"]["startupProbe"].update(
        failureThreshold=3),
    "a short grace": lambda m: m.pod.update(terminationGracePeriodSeconds=30),
    "a longer request": lambda m: next(d for d in m.all("ConfigMap") if "RESNET_MODEL" in d["data"])[
        "data"].update(RESNET_REQUEST_TIMEOUT="300s"),
    "root": lambda m: m.pod["securityContext"].update(runAsUser=0),
    "no seccomp": lambda m: m.pod["securityContext"].pop("seccompProfile"),
    "capabilities": lambda m: m.containers["nginx"]["securityContext"].pop("capabilities"),
    "a writable root": lambda m: m.containers["backend"]["securityContext"].update(
        readOnlyRootFilesystem=False),
    "a volume that is not there": lambda m: m.pod["volumes"].pop(),
    "settings that are not there": lambda m: m.documents.remove(m.all("ConfigMap")[0]),
    "the latest image": lambda m: m.containers["nginx"].update(image="nginx:latest"),
    "no requests": lambda m: m.containers["nginx"]["resources"].pop("requests"),
}  # fmt: skip


def they_hang_together():
    for name, documents in RENDERED.items():
        tap.equal(faults(documents), [], f"{name}: names, ports, time-outs, privileges agree")
    for name in ("base", "overlays/production"):
        spec = Manifests(RENDERED[name]).one("HorizontalPodAutoscaler")["spec"]
        tap.equal((spec["minReplicas"], spec["maxReplicas"]), (3, 10), f"{name}: 3 to 10 pods")
    for what, breaks in BROKEN.items():
        documents = copy.deepcopy(RENDERED["all components"])
        breaks(Manifests(documents))
        tap.ok(faults(documents), f"can fail: {what}")


# ---- beside the running programs -----------------------------------------------------------------


def asked(manifests, probe, run_dir):
    """Exit code of the very command that the kubelet would run, from the build directory."""
    command = manifests.containers["backend"][probe]["exec"]["command"]
    program = service.program(command[0].removeprefix("/usr/bin/"))
    done = subprocess.run([program, *command[1:]], env=service.clean_environment(RESNET_RUN_DIR=run_dir),
                          capture_output=True, timeout=30, check=False)  # fmt: skip
    return done.returncode


class Alone(service.Nginx):
    """nginx with the ConfigMap's main file, its paths moved into a directory; our tests may be root,
    whose nginx wants to be told so."""

    def __init__(self, directory, environment, main_conf):
        super().__init__(directory, environment)
        self.main_conf, self.alive_port = main_conf, 0

    def start(self):
        for _ in range(5):  # another test may take a port between probe and bind
            self.port, self.alive_port = service.free_port(), service.free_port()
            self.launch()
            if service.nginx_listens(self.process, f"{self.directory}/tmp", self.alive_port):
                break
        service.until(self.answers, service.START_S, "nginx with the ConfigMap's main file")

    def launch(self):
        service.render(self.directory, self.port, self.environment)
        text = self.main_conf.replace(" /tmp/", f" {self.directory}/tmp/")
        text = text.replace("/etc/nginx/conf.d", f"{self.directory}/conf.d")
        text = text.replace("/dev/stderr", f"{self.directory}/error.log")
        text = text.replace("listen 8082;", f"listen 127.0.0.1:{self.alive_port};")
        user = "user root root;\n" if os.getuid() == 0 else ""
        with open(os.path.join(self.directory, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(user + text)
        self.process = subprocess.Popen(
            [service.NGINX, "-p", self.directory, "-c", f"{self.directory}/nginx.conf",
             "-g", "daemon off;"], stderr=subprocess.DEVNULL)  # fmt: skip

    def answers(self):
        try:
            return web.request(self.alive_port, "GET", "/").status == 404
        except (web.Broken, OSError):
            return False


def settings_of(manifests):
    """Those that are not places of a container."""
    places = ("RESNET_MODEL", "RESNET_RUN_DIR", "NGINX_INTERNAL_LISTEN")
    return {k: v for k, v in manifests.settings.items() if k not in places}


def backend_answers(manifests, running, alone):
    path = manifests.containers["nginx"]["livenessProbe"]["httpGet"]["path"]
    # Ready with its first worker, started with all of them.
    service.until(lambda: running.get("/health/startup").status == 200, service.START_S, "a whole generation")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        tap.equal(asked(manifests, probe, running.run_dir), 0, f"{probe} of a running backend")
        tap.equal(nginx_of(manifests.documents)[probe]["httpGet"]["path"], path, f"nginx: {probe}")
    tap.equal(web.request(alone.alive_port, "GET", path).status, 204, f"nginx answers {path}")
    tap.equal(web.request(alone.port, "GET", path).status, 404, "and not on the clients' port")
    tap.equal(web.request(alone.port, "GET", "/health/ready").status, 200, "the template is included")


def probes_are_answered():
    manifests = Manifests(copy.deepcopy(RENDERED["overlays/production"]))
    path = manifests.containers["nginx"]["livenessProbe"]["httpGet"]["path"]
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        with service.Service(**settings_of(manifests), RESNET_FCGI_SERVICE_HOST="x") as running:
            alone = Alone(directory, running.environment, manifests.main_conf)
            try:
                alone.start()
                backend_answers(manifests, running, alone)
                with open(running.log, encoding="utf-8") as file:
                    unknown = set(re.findall(r"(RESNET_\w+) is not a variable", file.read()))
                tap.equal(unknown, {"RESNET_FCGI_SERVICE_HOST"},
                          "resnet-spawn knows every setting, and not what service links would add")
            finally:
                code = alone.stop()
            tap.equal(code, 0, "QUIT ends nginx")
        with Silent(directory, manifests) as silent:
            tap.equal(web.request(silent.alive_port, "GET", path).status, 204,
                      "without a backend nginx still lives")  # fmt: skip
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            tap.ok(asked(manifests, probe, directory) != 0, f"can fail: {probe} of nobody")


class Silent(Alone):
    """The same, with nobody behind it."""

    def __init__(self, directory, manifests):
        super().__init__(directory, {"RESNET_RUN_DIR": f"{directory}/nobody"}, manifests.main_conf)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


tap.run(they_render, renderer_can_fail, they_are_valid, they_hang_together, probes_are_answered)
