#!/usr/bin/env python3
"""The Open Inference Protocol through nginx, by a client that knows nothing but the protocol."""

import time

import draw
import kserve_client
import tap
from service import Service

MODEL = "resnet50"
ERROR_KEYS = ["success", "error", "code", "request_id"]


def server(client):
    tap.ok(client.is_live() and client.is_ready(), "server: live and ready")
    found = client.server()
    tap.equal((found["name"], found["version"]), ("resnet-fcgi", "1.0.0"), "server: name, version")
    tap.ok("binary_tensor_data" in found["extensions"], "server: extensions", found)
    tap.equal(client.get("/v2/health/ready"), {"ready": True}, "server: ready's body")
    tap.equal(client.get("/v2/health/live"), {"live": True}, "server: live's body")


def model(client):
    for version in (None, "1"):
        tap.ok(client.is_model_ready(MODEL, version), f"model, version {version}: ready")
        found = client.model(MODEL, version)
        tap.equal((found["name"], found["versions"]), (MODEL, ["1"]), "model: name and version")
        inputs = {i["name"]: (i["datatype"], i["shape"]) for i in found["inputs"]}
        expected = {"image": ("BYTES", [-1]), "input": ("FP32", [-1, 3, 224, 224])}
        tap.equal(inputs, expected, "model: inputs")
        outputs = {o["name"]: (o["datatype"], o["shape"]) for o in found["outputs"]}
        features = outputs["features"][1][1]
        expected = {"probabilities": ("FP32", [-1, 1000]), "logits": ("FP32", [-1, 1000]),
                    "features": ("FP32", [-1, features]), "classification": ("BYTES", [-1, -1])}  # fmt: skip
        tap.equal(outputs, expected, "model: outputs")
        config = client.config(MODEL, version)
        tap.equal((config["name"], config["max_batch_size"]), (MODEL, 4), "config: the batch")
        tap.equal(config["instance_group"][0]["count"], 2, "config: instances are workers")
        tap.equal(config["parameters"]["precision"]["string_value"], "fp32", "config: precision")
        dims = {o["name"]: o["dims"] for o in config["input"] + config["output"]}
        tap.equal((dims["input"], dims["features"]), ([3, 224, 224], [features]), "config: dims")


def repository(client):
    expected = [{"name": MODEL, "version": "1", "state": "READY", "reason": ""}]
    tap.equal(client.repository(), expected, "repository: without a body")
    tap.equal(client.repository(ready=True), expected, "repository: ready ones")


def refused(client, method, path, body=None, headers=None):
    """(status, code, sentence, headers) of an answer that must not be 200."""
    try:
        client.call(method, path, body, headers)
    except kserve_client.Refused as refusal:
        if list(refusal.body) == ERROR_KEYS and refusal.body["success"] is False:
            return refusal.status, refusal.body["code"], refusal.error, refusal.headers
        return refusal.status, None, refusal.error, refusal.headers
    return 200, None, "", {}


def paths(client):
    """What is not there, and what is asked for by the wrong method."""
    for path in ("/v2/models/other", "/v2/models/resnet50/versions/2", "/v2/models/other/ready",
                 "/v2/models/resnet50/versions/1/x", "/v2/repository/models/resnet50/load"):  # fmt: skip
        for method in ("GET", "POST"):
            status, code, sentence, _ = refused(client, method, path, "" if method == "POST" else None)
            tap.equal((status, code), (404, "not_found"), f"{method} {path}: 404")
            hint = "resnet-ctl reload" if "load" in path else '"resnet50" in version 1'
            tap.ok(hint in sentence, f"{method} {path}: the sentence helps", sentence)
    for path in ("/v2/models/other/infer", "/v2/models/resnet50/versions/2/infer"):
        tap.equal(refused(client, "POST", path, "{}")[:2], (404, "not_found"), f"POST {path}: 404")
    for path, wrong, allow in (
        ("/v2", "POST", "GET, HEAD"), ("/v2/health/ready", "DELETE", "GET, HEAD"),
        ("/v2/models/resnet50/stats", "POST", "GET, HEAD"),
        ("/v2/models/resnet50/infer", "GET", "POST"), ("/v2/repository/index", "GET", "POST"),
        ("/v2/models/resnet50/versions/1/infer", "PUT", "POST"),
        ("/v2/models/resnet50/infer", "TRACE", "POST"), ("/v2/repository/index", "TRACE", "POST"),
    ):  # fmt: skip
        status, code, _, headers = refused(client, wrong, path)
        found = (status, code, headers.get("allow"))
        tap.equal(found, (405, "method_not_allowed", allow), f"{wrong} {path}: 405")
    for path in ("/v2", "/v2/models/resnet50", "/v2/health/live"):
        found = client.exchange("HEAD", path)
        tap.equal(found[:2], (200, b""), f"HEAD {path}")


def stats(service, client):
    """Grows by what was asked, refusals apart."""
    before = client.stats(MODEL)["model_stats"][0]
    for _ in range(3):
        service.post(draw.jpeg())
    service.post(b"no picture")
    after = client.stats(MODEL, "1")["model_stats"][0]
    tap.equal((after["name"], after["version"]), (MODEL, "1"), "stats: whose")
    tap.equal(after["inference_count"] - before["inference_count"], 3, "stats: pictures")
    tap.equal(after["execution_count"] - before["execution_count"], 3, "stats: runs of the network")
    grown = {k: v["count"] - before["inference_stats"][k]["count"]
             for k, v in after["inference_stats"].items()}  # fmt: skip
    tap.equal((grown["success"], grown["fail"]), (3, 1), "stats: successes and failures")
    tap.equal((grown["compute_infer"], grown["cache_hit"]), (3, 0), "stats: by stage")
    spent = after["inference_stats"]["success"]["ns"]
    inside = after["inference_stats"]["compute_infer"]["ns"]
    tap.ok(0 < inside <= spent, "stats: inference is a part of the whole", after)
    tap.ok(abs(after["last_inference"] / 1000 - time.time()) < 60, "stats: when the last one was", after)
    tap.equal(client.stats()["model_stats"][0]["name"], MODEL, "stats: of all models")


def everything():
    with Service(workers=2, RESNET_MAX_IMAGES=4) as service:
        with kserve_client.Client("127.0.0.1", service.port) as client:
            for test in (server, model, repository, paths):
                test(client)
            stats(service, client)


tap.run(everything)
