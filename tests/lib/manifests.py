"""manifests.py: what can be wrong with a set of Kubernetes manifests that a schema does not see:
names that lead nowhere, probes that time out too early, time-outs that do not follow from
RESNET_REQUEST_TIMEOUT, privileges. faults() returns sentences."""

import re

import sources

HARDENED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]}}  # fmt: skip
MAIN_CONF = "nginx.conf"
# Every field in use, for where the API's own schemas cannot be had: it tells a slip of the pen, not a
# field in the wrong place.
FIELDS = set("""
    allowPrivilegeEscalation annotations apiVersion automountServiceAccountToken
    averageUtilization averageValue backend backendRefs backendRequest behavior capabilities
    clusterIP command configMap configMapRef containerPort containers data drop egress
    emptyDir enableServiceLinks envFrom exec failureThreshold from fsGroup hostnames http
    httpGet image ingress initContainers kind labelSelector labels lifecycle limits
    livenessProbe matchLabels matches maxReplicas maxSkew maxSurge maxUnavailable medium
    metadata metric metrics minReplicas mountPath name namespace namespaceSelector parentRefs
    path pathType paths periodSeconds podSelector pods policies policyTypes port ports preStop
    protocol readOnly readOnlyRootFilesystem readinessProbe request requests resource
    resources restartPolicy revisionHistoryLimit rollingUpdate rules runAsGroup runAsNonRoot
    runAsUser scaleDown scaleTargetRef scaleUp seccompProfile securityContext selectPolicy
    selector service sizeLimit spec stabilizationWindowSeconds startupProbe strategy subPath
    target targetPort template terminationGracePeriodSeconds timeoutSeconds timeouts
    topologyKey topologySpreadConstraints type unhealthyPodEvictionPolicy value volumeMounts
    volumes whenUnsatisfiable
""".split())
FREE = ("annotations", "data", "labels", "limits", "matchLabels", "requests")  # keys are anybody's


class Manifests:
    def __init__(self, documents):
        self.documents = documents
        self.deployment = self.one("Deployment")
        self.pod = self.deployment["spec"]["template"]["spec"]
        self.labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        self.containers = {c["name"]: c for c in self.pod["initContainers"] + self.pod["containers"]}
        self.long_lived = [self.containers[name] for name in ("backend", "nginx")]
        data = {k: v for d in self.all("ConfigMap") for k, v in d["data"].items()}
        self.settings = {k: v for k, v in data.items() if k != MAIN_CONF}
        self.main_conf = data[MAIN_CONF]
        self.request_s = seconds(self.settings["RESNET_REQUEST_TIMEOUT"])

    def all(self, kind):
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind):
        (document,) = self.all(kind)
        return document

    def ports(self):
        """{name: number} of nginx's container."""
        return {p["name"]: p["containerPort"] for p in self.containers["nginx"]["ports"]}

    def probes(self):
        for container in self.long_lived:
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                yield f"{container['name']}: {kind}", container.get(kind, {})


def seconds(text):
    """ "120s", "140" -> 120, 140"""
    return int(re.fullmatch(r"(\d+)s?", text)[1])


def faults(documents):
    """Sentences; none when all is well. Manifests that have lost a part altogether are one."""
    try:
        manifests = Manifests(documents)
        return [text for check in CHECKS for text in check(manifests)]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        return [f"a part is missing: {type(error).__name__}: {error}"]


def unheard_of(value, free=FREE):
    """Names of fields that are not in FIELDS."""
    inner = value if isinstance(value, list) else []
    names = set()
    if isinstance(value, dict):
        names = set(value) - FIELDS
        inner = [item for key, item in value.items() if key not in free]
    return names.union(*(unheard_of(item, free) for item in inner))


def spelling(m):
    for document in m.documents:
        free = (*FREE, "selector") if document["kind"] == "Service" else FREE
        if names := unheard_of(document, free):
            yield f"{document['kind']}: no field in use is called {sorted(names)}"


def life(m):
    spec = m.deployment["spec"]
    if spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
        yield "a rolling update may take pods away before others are ready"
    if "replicas" in spec:
        yield "replicas: they are the HorizontalPodAutoscaler's"
    if m.containers["backend"].get("restartPolicy") != "Always":
        yield "the backend is no native sidecar: nginx would be left alone when a pod ends"
    if m.pod["initContainers"][-1]["name"] != "backend":
        yield "the backend is not the last of initContainers"
    if m.pod.get("enableServiceLinks", True):
        yield "enableServiceLinks: variables of the cluster's would begin with RESNET_"
    scaler = m.one("HorizontalPodAutoscaler")["spec"]
    target = scaler["scaleTargetRef"]
    if (target["kind"], target["name"]) != ("Deployment", m.deployment["metadata"]["name"]):
        yield f"the HorizontalPodAutoscaler scales {target}"
    if not 1 <= scaler["minReplicas"] <= scaler["maxReplicas"]:
        yield f"from {scaler['minReplicas']} to {scaler['maxReplicas']} replicas"
    wanted = {x["resource"]["name"]: x["resource"]["target"]["averageUtilization"]
              for x in scaler["metrics"] if x["type"] == "Resource"}  # fmt: skip
    if wanted != {"cpu": 70, "memory": 80}:
        yield f"the targets are {wanted}"


def selectors(m):
    if m.deployment["spec"]["selector"]["matchLabels"] != m.labels:
        yield "the Deployment does not select its own pods"
    chosen = [("Service", d["spec"]["selector"]) for d in m.all("Service")]
    chosen += [("PodDisruptionBudget", m.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"])]
    chosen += [("NetworkPolicy", m.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"])]
    chosen += [("topologySpreadConstraints", c["labelSelector"]["matchLabels"])
               for c in m.pod["topologySpreadConstraints"]]  # fmt: skip
    for what, labels in chosen:
        if labels != m.labels:
            yield f"{what} selects {labels}, the pods have {m.labels}"


def ports(m):
    known = m.ports()
    listens = {int(p) for p in re.findall(r"^\s*listen (\d+);", m.main_conf, re.M)}
    envsh = sources.read("nginx/15-resnet.envsh")
    public = re.search(r"NGINX_LISTEN:-(\d+)", envsh)[1]
    listens.add(int(m.settings.get("NGINX_LISTEN", public)))
    listens.add(int(m.settings["NGINX_INTERNAL_LISTEN"]))
    if set(known.values()) != listens:
        yield f"nginx listens on {sorted(listens)}, the container names {known}"
    for service in m.all("Service"):
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in known:
                yield f"Service: there is no port {port['targetPort']}"
    for rule in m.one("NetworkPolicy")["spec"]["ingress"]:
        for port in rule["ports"]:
            if port["port"] not in known:
                yield f"NetworkPolicy: there is no port {port['port']}"
    for what, probe in m.probes():
        if "httpGet" in probe and probe["httpGet"]["port"] not in known:
            yield f"{what}: there is no port {probe['httpGet']['port']}"


def routes(m):
    """What leads to the Service, and waits longer than our nginx does."""
    offered = {(d["metadata"]["name"], key) for d in m.all("Service") for p in d["spec"]["ports"]
               for key in (p["name"], p["port"])}  # fmt: skip
    for ingress in m.all("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                to = path["backend"]["service"]
                if (to["name"], to["port"]["name"]) not in offered:
                    yield f"Ingress leads to {to}"
        notes = ingress["metadata"]["annotations"]
        for name in ("read", "send"):
            if int(notes[f"nginx.ingress.kubernetes.io/proxy-{name}-timeout"]) <= m.request_s + 10:
                yield f"Ingress: its {name} time-out ends before ours"
        if int(notes["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")) <= int(
            m.settings["RESNET_MAX_BODY"].removesuffix("MiB")
        ):
            yield "Ingress: its limit of a body is below ours"
    for route in m.all("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for to in rule["backendRefs"]:
                if (to["name"], to["port"]) not in offered:
                    yield f"HTTPRoute leads to {to}"
            for name in ("request", "backendRequest"):
                if seconds(rule["timeouts"][name]) <= m.request_s + 10:
                    yield f"HTTPRoute: timeouts.{name} ends before ours"


def probes(m):
    asks_s = int(re.search(r"ASK_MS = (\d+)", sources.read("spawn/view.c"))[1]) / 1000
    for what, probe in m.probes():
        if not probe:
            yield f"{what} is missing"
        elif probe.get("timeoutSeconds", 1) < 5:
            yield f"{what}: timeoutSeconds is less than 5"
        elif "exec" in probe and probe["timeoutSeconds"] <= asks_s:
            yield f"{what}: the kubelet gives up before resnet-ctl does, after {asks_s} s"
    startup = m.containers["backend"]["startupProbe"]
    start_s = seconds(m.settings["RESNET_START_TIMEOUT"])
    if startup["periodSeconds"] * startup["failureThreshold"] <= start_s:
        yield "backend: startupProbe: gives up before RESNET_START_TIMEOUT"


def time_outs(m):
    leave = m.containers["nginx"]["lifecycle"]["preStop"]["exec"]["command"][-1]
    (pause_s,) = re.findall(r"sleep (\d+);", leave)
    grace_s = int(pause_s) + m.request_s + 30
    if m.pod["terminationGracePeriodSeconds"] != grace_s:
        yield f"terminationGracePeriodSeconds: {grace_s} follow from preStop and RESNET_REQUEST_TIMEOUT"
    if f"worker_shutdown_timeout {m.request_s + 20}s;" not in m.main_conf:
        yield f"worker_shutdown_timeout: {m.request_s + 20}s follow from RESNET_REQUEST_TIMEOUT"


def privileges(m):
    security = m.pod["securityContext"]
    if not security["runAsNonRoot"] or 0 in (security["runAsUser"], security["runAsGroup"]):
        yield "the pod runs as root"
    if security["seccompProfile"] != {"type": "RuntimeDefault"}:
        yield "the pod has no seccomp profile"
    if m.pod["automountServiceAccountToken"]:
        yield "the pod is given a token"
    for name, container in m.containers.items():
        if container["securityContext"] != HARDENED:
            yield f"{name}: securityContext is {container['securityContext']}"


def mounts(m):
    volumes = {volume["name"]: volume for volume in m.pod["volumes"]}
    used = {x["name"] for c in m.containers.values() for x in c["volumeMounts"]}
    if used != set(volumes):
        yield f"volumes {sorted(volumes)}, mounted are {sorted(used)}"
    made = {d["metadata"]["name"] for d in m.all("ConfigMap")}
    named = {v["configMap"]["name"] for v in volumes.values() if "configMap" in v}
    named |= {e["configMapRef"]["name"] for c in m.long_lived for e in c["envFrom"]}
    if made != named:
        yield f"ConfigMaps {sorted(made)}, used are {sorted(named)}"
    for container in m.long_lived:
        if m.settings["RESNET_RUN_DIR"] not in [x["mountPath"] for x in container["volumeMounts"]]:
            yield f"{container['name']}: RESNET_RUN_DIR is not mounted"


def resources(m):
    for name, container in m.containers.items():
        _, _, tag = container["image"].rpartition(":")
        if tag in (container["image"], "", "latest"):
            yield f"{name}: {container['image']} is no image of a certain tag"
        if set(container["resources"]["requests"]) != {"cpu", "memory"}:
            yield f"{name}: requests of CPU and memory are needed, by the HorizontalPodAutoscaler too"
        if "memory" not in container["resources"]["limits"]:
            yield f"{name}: no limit of memory"
    ours = {m.containers[name]["image"] for name in ("nginx-files", "backend")}
    if len(ours) != 1:
        yield f"template and backend come from different images: {sorted(ours)}"


CHECKS = (spelling, life, selectors, ports, routes, probes, time_outs, privileges, mounts, resources)
