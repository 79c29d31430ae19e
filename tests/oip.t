#!/usr/bin/env python3
"""The Open Inference Protocol through nginx, by a client that knows nothing but the protocol."""

import os
import struct
import subprocess
import tempfile
import time

import draw
import kserve_client
import tap
import web
from kserve_client import Input, Output
from service import Service, clean_environment, program, real_model

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


# ---- inference -----------------------------------------------------------------------------------


def image(*pictures):
    return Input("image", [len(pictures)], "BYTES").binary(list(pictures))


def photographs(service, client):
    """One answer, whatever it travels as, and the one that /predict gives."""
    pictures = [draw.jpeg(seed=seed) for seed in (1, 2, 3)]
    body, kind = web.multipart([("file", f"{i}.jpg", None, p) for i, p in enumerate(pictures)])
    predicted = service.post(body, {"Content-Type": kind}, "/predict?top_k=1000").json()["results"]
    first = client.infer(MODEL, [image(*pictures)], request_id="my id \u00e4")
    tap.equal(first.header["id"], "my id \u00e4", "image: the id comes back")
    tap.equal((first.header["model_name"], first.header["model_version"]), (MODEL, "1"), "image: model")
    names = [o["name"] for o in first.header["outputs"]]
    tap.equal(names, ["probabilities", "logits", "features", "classification"], "image: all outputs")
    features = client.model(MODEL)["outputs"][2]["shape"][1]
    shapes = {o["name"]: o["shape"] for o in first.header["outputs"]}
    expected = {"probabilities": [3, 1000], "logits": [3, 1000], "features": [3, features],
                "classification": [3, 5]}  # fmt: skip
    tap.equal(shapes, expected, "image: shapes")
    tap.equal(first.headers["content-type"], "application/json", "image: JSON where nothing is said")

    probabilities = first.values("probabilities")
    for i, result in enumerate(predicted):
        same = {p["class_id"]: p["probability"] for p in result["predictions"]}
        found = dict(enumerate(probabilities[1000 * i : 1000 * i + 1000]))
        tap.equal(found, same, f"image {i}: the probabilities of /predict, to the last digit")
        best = [f"{p['probability']:.9g}:{p['class_id']}:{p['label']}" for p in result["predictions"][:5]]
        found = [reread(c) for c in first.values("classification")[5 * i : 5 * i + 5]]
        tap.equal(found, [reread(c) for c in best], f"image {i}: and its top five")

    flat = Input("image", [3], "BYTES").data(pictures)
    nested = Input("image", [3, 1], "BYTES").data([[p] for p in pictures])
    for name, tensor in (("base64", flat), ("base64, nested", nested)):
        again = client.infer(MODEL, [tensor])
        tap.equal(again.header["outputs"], first.header["outputs"], f"image as {name}: the same answer")
    binary = client.infer(MODEL, [image(*pictures)], parameters={"binary_data_output": True})
    tap.equal(binary.headers["content-type"], "application/octet-stream", "binary: Content-Type")
    for name in names:
        tap.equal([as_float(v) for v in binary.values(name)], [as_float(v) for v in first.values(name)],
                  f"binary {name}: the same values")  # fmt: skip
    mixed = [Output("logits", binary=True), Output("classification", classes=2)]
    mixed = client.infer(MODEL, [image(pictures[0])], mixed, version="1")
    tap.equal([o["name"] for o in mixed.header["outputs"]], ["logits", "classification"],
              "outputs: those that were asked for, in that order")  # fmt: skip
    tap.equal(mixed.output("classification")["shape"], [1, 2], "outputs: so many classes")
    logits = [as_float(v) for v in first.values("logits")[:1000]]
    tap.equal(mixed.values("logits"), logits, "outputs: one picture as three, to the bit")


def queries(service, client):
    """What /predict takes in its query; and a data: URL for base64."""
    body, headers = kserve_client.compose([image(draw.jpeg())], [Output("classification")])
    path = "/v2/models/resnet50/infer?top_k=2&precision=fp32"
    result = kserve_client.parse(*client.call("POST", path, body, headers))
    tap.equal(result.output("classification")["shape"], [1, 2], "?top_k=2: two classes")
    for query in ("top_k=0", "topk=2", "precision=fp7"):
        found = refused(client, "POST", "/v2/models/resnet50/infer?" + query, body, headers)
        tap.equal(found[:2], (400, "bad_request"), f"?{query}: refused")
    url = "data:image/jpeg;base64," + kserve_client.as_json(draw.jpeg())
    result = client.infer(MODEL, [Input("image", [1], "BYTES").data([url])], [Output("logits")])
    expected = client.infer(MODEL, [image(draw.jpeg())], [Output("logits")])
    tap.equal(result.values("logits"), expected.values("logits"), "a data: URL")


def as_float(value):
    """What a float's shortest decimal stands for."""
    return struct.unpack("<f", struct.pack("<f", value))[0] if isinstance(value, float | int) else value


def reread(text):
    value, class_id, label = text.split(":", 2)
    return as_float(float(value)), int(class_id), label


def tensors(service, client):
    """What preprocessing makes of a photograph, sent instead of it."""
    picture = draw.jpeg(seed=4)
    path, dump = (os.path.join(service.directory, name) for name in ("a.jpg", "a.npy"))
    with open(path, "wb") as file:
        file.write(picture)
    command = [program("resnet-classify"), "-m", service.model, "--dump-tensor", dump, path]
    subprocess.run(command, check=True, env=clean_environment(), stdout=subprocess.DEVNULL, timeout=60)
    with open(dump, "rb") as file:
        raw = file.read()[-3 * 224 * 224 * 4 :]
    expected = client.infer(MODEL, [image(picture)]).header["outputs"]
    shape = [1, 3, 224, 224]
    found = client.infer(MODEL, [Input("input", shape, "FP32").raw_bytes(raw)])
    tap.equal(found.header["outputs"], expected, "input: as the photograph, to the bit")
    values = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    found = client.infer(MODEL, [Input("input", shape, "FP32").data(values)])
    tap.equal(found.header["outputs"], expected, "input: as numbers, flat")
    rows = [values[i : i + 224] for i in range(0, len(values), 224)]
    nested = [[rows[c * 224 : c * 224 + 224] for c in range(3)]]
    found = client.infer(MODEL, [Input("input", shape, "FP32").data(nested)])
    tap.equal(found.header["outputs"], expected, "input: as numbers, nested")
    both = client.infer(MODEL, [Input("input", [4, 3, 224, 224], "FP32").raw_bytes(raw * 4)],
                        [Output("logits", binary=True)])  # fmt: skip
    tap.equal(both.raw["logits"], both.raw["logits"][:4000] * 4, "input: four rows, four times the same")
    timing = found.headers["server-timing"]
    tap.ok("decode;dur=0.000" not in timing, "input: reading the numbers counts as decoding", timing)


def raw_infer(client, body, headers=None):
    return refused(client, "POST", "/v2/models/resnet50/infer", body, headers)[:3]


def infer_refused(client, inputs, **more):
    body, headers = kserve_client.compose(inputs, **more)
    return raw_infer(client, body, headers)


def bad_requests(service, client):
    jpeg, shape = draw.jpeg(), [1, 3, 224, 224]
    floats = Input("input", shape, "FP32").raw_bytes
    nan = struct.pack("<f", float("nan")) + b"\0" * (3 * 224 * 224 * 4 - 4)
    good = image(jpeg)
    cases = [
        ("a photograph as it is", raw_infer(client, jpeg), 415, "unsupported_media_type", "POST /predict"),
        ("nothing", raw_infer(client, b""), 400, "bad_request", "empty"),
        ("deep JSON", raw_infer(client, b"[" * 10000), 400, "bad_json", "inputs"),
        ("deep inside", raw_infer(client, b'{"inputs":' + b"[" * 10000), 400, "bad_json", "deeper"),
        ("gzip", raw_infer(client, b"{}", {"Content-Encoding": "gzip"}), 415, "unsupported_media_type", ""),
        ("no base64", infer_refused(client, [Input("image", [1], "BYTES").data(["?"])]), 400, "bad_base64", ""),
        ("no JPEG", infer_refused(client, [image(b"GIF89a")]), 415, "unsupported_media_type", ""),
        ("half a JPEG", infer_refused(client, [image(jpeg, jpeg[:600])]), 422, "image_undecodable", "2 of 2"),
        ("five pictures", infer_refused(client, [image(*[jpeg] * 5)]), 413, "too_many_images", "4"),
        ("another shape", infer_refused(client, [Input("input", [1, 224, 224, 3], "FP32").data([0.5])]),
         422, "tensor_shape_mismatch", "[n,3,224,224]"),
        ("another datatype", infer_refused(client, [Input("input", shape, "UINT8").data([1])]),
         422, "tensor_shape_mismatch", "FP32"),
        ("too few bytes", infer_refused(client, [floats(b"\0" * 8)]), 422, "tensor_shape_mismatch", "602112"),
        ("too few numbers", infer_refused(client, [Input("input", shape, "FP32").data([1.5] * 9)]),
         422, "tensor_shape_mismatch", "150528"),
        ("NaN", infer_refused(client, [floats(nan)]), 422, "tensor_not_finite", "element 0"),
        ("another precision", infer_refused(client, [good], parameters={"precision": "fp7"}),
         400, "bad_request", "precision"),
        ("another output", infer_refused(client, [good], outputs=[Output("nothing")]), 400, "bad_request", "logits"),
        ("two inputs", infer_refused(client, [good, good]), 400, "bad_request", "one tensor"),
        ("a length too long", raw_infer(client, b"{}", {kserve_client.LENGTH_HEADER: "3"}), 400, "bad_request", ""),
    ]  # fmt: skip
    for name, (found, code, sentence), status, expected, word in cases:
        tap.equal((found, code), (status, expected), f"{name}: {status} {expected}")
        tap.ok(word in sentence, f"{name}: the sentence names {word!r}", sentence)
    tap.equal(client.infer(MODEL, [good]).output("logits")["shape"], [1, 1000], "and a good one goes on")


def precisions():
    """A request chooses one that the model has, for photographs and tensors alike."""
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        path = os.path.join(directory, "both.rnm")
        command = [program("resnet-pack"), "random", "--seed", "1", "--width", "1/8",
                   "--precision", "fp32,bf16", "-o", path]  # fmt: skip
        subprocess.run(command, check=True, env=clean_environment(), timeout=120)
        with Service(workers=1, model=path) as service:
            with kserve_client.Client("127.0.0.1", service.port) as client:
                tensor = Input("input", [1, 3, 224, 224], "FP32").raw_bytes(b"\0\0\0\x3f" * 3 * 224 * 224)
                for inputs in ([image(draw.jpeg())], [tensor]):
                    name, logits = inputs[0].tensor["name"], {}
                    for wanted in ("bf16", "fp32", None):
                        parameters = {"precision": wanted} if wanted else None
                        result = client.infer(MODEL, inputs, parameters=parameters)
                        found = (result.header["parameters"]["precision"], result.headers["x-precision"])
                        tap.equal(found, (wanted or "fp32",) * 2, f"{name}: {wanted} is what it says")
                        logits[wanted] = result.values("logits")
                    tap.equal(logits[None], logits["fp32"], f"{name}: fp32 where nothing is said")
                    tap.ok(logits["bf16"] != logits["fp32"], f"{name}: bf16 is another one")


def read_npy(path):
    """The bytes of its array."""
    with open(path, "rb") as file:
        head = file.read(10)
        size = int.from_bytes(head[8:10], "little")
        file.seek(10 + size)
        return file.read()


def golden():
    """Exact inputs of four photographs against float64 logits of the same weights."""
    model = real_model()
    if not model:
        tap.skip("real weights", "RESNET_SHARED names no folder with real weights")
        return
    data = os.path.join(os.environ["RESNET_SHARED"], "data", "ref")
    inputs = read_npy(os.path.join(data, "input4.npy"))
    expected = struct.unpack("<4000d", read_npy(os.path.join(data, "logits4_f64.npy")))
    with Service(workers=1, model=model) as service:
        with kserve_client.Client("127.0.0.1", service.port) as client:
            tensor = Input("input", [4, 3, 224, 224], "FP32").raw_bytes(inputs)
            found = client.infer(MODEL, [tensor], [Output("logits", binary=True)]).values("logits")
            shape = client.model(MODEL)["outputs"][2]["shape"]
    off = max(abs(a - b) for a, b in zip(found, expected)) / max(map(abs, expected))
    tap.ok(off < 5e-6, "real weights: four tensors in, logits out, as in float64", off)
    tap.equal(shape, [-1, 2048], "real weights: features")


def everything():
    with Service(workers=2, RESNET_MAX_IMAGES=4) as service:
        before = service.all_workers()
        with kserve_client.Client("127.0.0.1", service.port) as client:
            for test in (server, model, repository, paths):
                test(client)
            for test in (stats, photographs, queries, tensors, bad_requests):
                test(service, client)
        tap.equal(service.workers(), before, "the same workers are still there")


tap.run(everything, precisions, golden)
