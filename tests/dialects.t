#!/usr/bin/env python3
"""Every path of the interface, through nginx: one table of requests and what comes back; what is
told whoever sends the wrong thing; and the same photograph in every dialect, to the last digit."""
# timeout: 240

import base64
import json
import os
import re
import struct

import draw
import kserve_client
import tap
import tfserving_client
import torchserve_client
import web
from kserve_client import Input, Output
from service import START_S, TOP, Service, until

PHOTO, OTHER = draw.jpeg(), draw.jpeg(seed=2, progressive=True)
B64 = base64.b64encode(PHOTO).decode()
CLASSES = 1000
JSON = {"Content-Type": "application/json"}
TF, TF1 = "/v1/models/resnet50", "/v1/models/resnet50/versions/1"
TORCH = "/predictions/resnet50"
OIP = "/v2/models/resnet50"


def dump(value):
    return json.dumps(value).encode()


def form(*parts):
    body, kind = web.multipart(parts)
    return body, {"Content-Type": kind}


def picture_part(name, data=PHOTO):
    return (name, "a.jpg", "image/jpeg", data)


def oip(*images, **more):
    data = [base64.b64encode(i).decode() for i in images]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return dump({"inputs": [tensor], **more})


# ---- checks of bodies ---------------------------------------------------------------------------


def predictions(n):
    def check(body):
        found = body["predictions"]
        return len(found) == n and list(found[0]) == ["class_id", "label", "probability"]

    return check


def results(n, k):
    return lambda body: [len(r["predictions"]) for r in body["results"]] == [k] * n


def rows(key, n):
    return lambda body: list(body) == [key] and [len(r) for r in body[key]] == [CLASSES] * n


def labels(n):
    return lambda body: len(body) == n and list(body.values()) == sorted(body.values(), reverse=True)


def outputs(*names):
    return lambda body: [o["name"] for o in body["outputs"]] == list(names)


def has(**members):
    return lambda body: all(body.get(k) == v for k, v in members.items())


def keys(*names):
    return lambda body: list(body) == list(names)


def is_metadata(body):
    signature = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
    dims = [d["size"] for d in signature["outputs"]["probabilities"]["tensor_shape"]["dim"]]
    return body["model_spec"]["name"] == "resnet50" and dims == ["-1", str(CLASSES)]


def is_available(body):
    return body["model_version_status"][0]["state"] == "AVAILABLE"


# ---- the table ----------------------------------------------------------------------------------
# method, path, body and headers, what the JSON has to be; HEAD is tried wherever GET is here.

GOOD = [
    ("GET", "/", None, None),
    ("GET", "/health", None, has(success=True, status="healthy")),
    ("GET", "/health/live", None, has(success=True)),
    ("GET", "/health/ready", None, has(success=True)),
    ("GET", "/health/startup", None, has(success=True)),
    ("GET", "/status", None, lambda body: "workers" in body),
    ("GET", "/openapi.json", None, lambda body: body["openapi"].startswith("3.1")),
    ("GET", "/ping", None, keys("status")),
    ("GET", TF, None, is_available),
    ("GET", TF1, None, is_available),
    ("GET", TF + "/metadata", None, is_metadata),
    ("GET", TF1 + "/metadata", None, is_metadata),
    ("GET", "/v2", None, has(name="resnet-fcgi")),
    ("GET", "/v2/health/live", None, has(live=True)),
    ("GET", "/v2/health/ready", None, has(ready=True)),
    ("GET", OIP, None, has(name="resnet50", versions=["1"])),
    ("GET", OIP + "/versions/1", None, has(name="resnet50")),
    ("GET", OIP + "/ready", None, has(ready=True)),
    ("GET", OIP + "/versions/1/ready", None, has(ready=True)),
    ("GET", OIP + "/config", None, has(name="resnet50")),
    ("GET", OIP + "/versions/1/config", None, has(name="resnet50")),
    ("GET", OIP + "/stats", None, keys("model_stats")),
    ("GET", OIP + "/versions/1/stats", None, keys("model_stats")),
    ("POST", "/v2/repository/index", (b"", {}), lambda body: body[0]["state"] == "READY"),
    ("POST", "/predict", (PHOTO, {"Content-Type": "image/jpeg"}), predictions(5)),
    ("POST", "/predict", (PHOTO, {}), predictions(5)),
    ("POST", "/predict?top_k=2&precision=fp32", (PHOTO, {}), predictions(2)),
    ("POST", "/predict", form(picture_part("file")), predictions(5)),
    ("POST", "/predict", form(picture_part("image"), ("top_k", None, None, b"3")), predictions(3)),
    ("POST", "/predict?top_k=9", form(picture_part("image"), ("top_k", None, None, b"3"),
                                      ("precision", None, None, b"fp32")), predictions(3)),
    ("POST", "/predict", form(picture_part("file"), picture_part("file", OTHER)), results(2, 5)),
    ("POST", "/predict", (dump({"image": B64}), JSON), predictions(5)),
    ("POST", "/predict", (dump({"image": B64, "top_k": 1, "precision": "fp32"}), JSON), predictions(1)),
    ("POST", "/predict", (dump({"image": "data:image/jpeg;base64," + B64}), JSON), predictions(5)),
    ("POST", "/predict", (dump({"images": [B64]}), JSON), predictions(5)),
    ("POST", "/predict", (dump({"images": [B64, B64, B64], "top_k": 2}), JSON), results(3, 2)),
    ("POST", "/predict", (dump({"image": B64}), {"Content-Type": "application/x-www-form-urlencoded"}),
     predictions(5)),
    ("POST", TORCH, (PHOTO, {}), labels(5)),
    ("PUT", TORCH, (PHOTO, {}), labels(5)),
    ("POST", TORCH + "/1.0", (PHOTO, {"Content-Type": "application/octet-stream"}), labels(5)),
    ("PUT", TORCH + "/1.0?top_k=1", (PHOTO, {}), labels(1)),
    ("POST", TORCH, form(picture_part("data")), labels(5)),
    ("POST", TORCH, form(picture_part("body")), labels(5)),
    ("POST", TF + ":predict", (dump({"instances": [{"b64": B64}]}), JSON), rows("predictions", 1)),
    ("POST", TF1 + ":predict", (dump({"instances": [{"b64": B64}] * 3}), {}), rows("predictions", 3)),
    ("POST", TF + ":predict", (dump({"instances": [{"image_bytes": {"b64": B64}}],
                                     "signature_name": "serving_default"}), JSON), rows("predictions", 1)),
    ("POST", TF + ":predict", (dump({"inputs": {"b64": B64}}), JSON), rows("outputs", 1)),
    ("POST", TF + ":predict", (dump({"inputs": [{"b64": B64}] * 2}), JSON), rows("outputs", 2)),
    ("POST", TF + ":predict", (dump({"inputs": {"image_bytes": [{"b64": B64}]}}), JSON), rows("outputs", 1)),
    ("POST", TF + ":predict", (dump({"inputs": {"image_bytes": {"b64": B64}}}), JSON), rows("outputs", 1)),
    ("POST", OIP + "/infer", (oip(PHOTO, outputs=[{"name": "logits"}]), JSON), outputs("logits")),
    ("POST", OIP + "/versions/1/infer", (oip(PHOTO, OTHER, id="7"), JSON), has(id="7")),
]  # fmt: skip

POSTED = ["X-Request-ID", "X-Served-By", "X-Model", "Server-Timing", "X-Precision"]
ASKED = ["X-Request-ID"]


def send(service, method, path, body=None, headers=None):
    return web.request(service.port, method, path, body, headers)


def answers(service):
    for method, path, sent, check in GOOD:
        body, headers = sent or (None, {})
        answer = send(service, method, path, body, headers)
        name = f"{method} {path}, {len(body or b'')} bytes"
        if not tap.equal(answer.status, 200, f"{name}: 200"):
            tap.note(answer)
            continue
        tap.ok(check is None or check(answer.json()), f"{name}: body", answer)
        kind = "text/html; charset=utf-8" if path == "/" else "application/json"
        tap.equal(answer.header("content-type"), kind, f"{name}: Content-Type")
        computed = body and path != "/v2/repository/index"
        missing = [h for h in (POSTED if computed else ASKED) if not answer.header(h)]
        tap.equal(missing, [], f"{name}: headers")
        if method == "GET":
            head = send(service, "HEAD", path)
            tap.equal((head.status, head.body), (200, b""), f"HEAD {path}")
            tap.equal(head.header("content-type"), kind, f"HEAD {path}: Content-Type")


def internal(service):
    for path in ("/metrics", "/status"):
        answer = service.get(path, port=service.inside)
        tap.equal(answer.status, 200, f"second listener: {path}")
        tap.equal(service.get(path, method="HEAD", port=service.inside).status, 200, f"HEAD {path}")
    tap.equal(service.get("/metrics").status, 404, "first listener: no /metrics")


def refused(service, name, sent, status, code, words):
    """words: of the sentence, all of them."""
    method, path, body, headers = sent
    answer = send(service, method, path, body, headers)
    found = answer.json() if answer.header("content-type") == "application/json" else {}
    tap.equal((answer.status, found.get("code")), (status, code), f"{name}: {status} {code}")
    whole = list(found) == ["success", "error", "code", "request_id"] and found["success"] is False
    tap.ok(whole and found["request_id"] == answer.header("x-request-id"), f"{name}: body", answer)
    sentence = found.get("error", "")
    tap.ok(all(w in sentence for w in words), f"{name}: says {', '.join(words)}", sentence)
    return answer


INFERENCE = [("/predict", "POST"), (TORCH, "POST, PUT"), (TORCH + "/1.0", "POST, PUT"),
             (TF + ":predict", "POST"), (TF1 + ":predict", "POST"), (OIP + "/infer", "POST"),
             (OIP + "/versions/1/infer", "POST"), ("/v2/repository/index", "POST")]  # fmt: skip


def methods(service):
    """Wrong ones, with and without a body; the sentence shows how it is done."""
    for path, allow in INFERENCE:
        for method in ("GET", "DELETE", "OPTIONS", "PUT"):
            if method in allow:
                continue
            for body in (None, PHOTO):
                name = f"{method} {path}{' with a body' if body else ''}"
                sent = (method, path, body, {})
                answer = refused(service, name, sent, 405, "method_not_allowed", [allow])
                tap.equal(answer.header("allow"), allow, f"{name}: Allow")
        head = send(service, "HEAD", path)
        tap.equal((head.status, head.header("allow")), (405, allow), f"HEAD {path}")
    for path in sorted({path for method, path, _, _ in GOOD if method == "GET"}):
        for method in ("POST", "PUT", "DELETE"):
            answer = send(service, method, path, b"{}", JSON)
            expected = (405, "method_not_allowed", "GET, HEAD")
            tap.equal((answer.status, answer.code(), answer.header("allow")), expected, f"{method} {path}")
    with_body = send(service, "GET", "/health", PHOTO)
    tap.equal(with_body.status, 200, "GET /health with a body: it is read, and not looked at")


TEXT = b"a cat sat on the mat\n"
EXAMPLE = {  # what the sentence of a path shows
    "/predict": "curl --data-binary @photo.jpg http://HOST/predict",
    TORCH: "curl -T photo.jpg http://HOST/predictions/resnet50",
    TF + ":predict": '{"instances":[{"b64":',
    OIP + "/infer": '"inputs"',
}


def wrong_things(service):
    """What somebody sends who mixed up two paths, or forgot something."""
    post = lambda path, body, headers=None: ("POST", path, body, headers or {})  # noqa: E731
    media, bad = "unsupported_media_type", "bad_request"
    predict_json, tf_json = dump({"image": B64}), dump({"instances": [{"b64": B64}]})
    for path, example in EXAMPLE.items():
        refused(service, f"{path}: empty", post(path, b""), 400, bad, ["empty", example])
        if path != OIP + "/infer":
            refused(service, f"{path}: gzip", post(path, PHOTO, {"Content-Encoding": "gzip"}), 415, media,
                    ["Content-Encoding", "gzip", "uncompressed"])  # fmt: skip
            refused(service, f"GET {path}", ("GET", path, PHOTO, {}), 405, "method_not_allowed",
                    ["expected POST", example])  # fmt: skip
    for name, sent, status, code, words in [
        ("a picture to :predict", post(TF + ":predict", PHOTO), 415, media,
         ["a JPEG", '{"instances":[{"b64":', "POST /predict"]),
        ("a picture to infer", post(OIP + "/infer", PHOTO), 415, "unsupported_media_type", ['"inputs"', "POST /predict"]),
        ("a picture called JSON", post("/predict", PHOTO, JSON), 415, media, ["a JPEG", "image/jpeg"]),
        ("JSON to /predictions", post(TORCH, predict_json, JSON), 415, media,
         ["is JSON", "picture as it is", '"data"', "POST /predict"]),
        ("JSON to /predictions, unnamed", post(TORCH, tf_json), 415, media, ["is JSON", "POST /predict"]),
        ("a text to /predict", post("/predict", TEXT), 415, media, ["JPEG, PNG or WebP", "61 20 63 61"]),
        ("a text to /predictions", post(TORCH, TEXT), 415, media, ["JPEG, PNG or WebP"]),
        ("a text to :predict", post(TF + ":predict", TEXT), 400, "bad_json", ["byte 0", '{"instances":']),
        ("a text to infer", post(OIP + "/infer", TEXT), 400, "bad_json", ['"inputs"']),
        ("a form to :predict", post(TF + ":predict", *form(picture_part("file"))), 400, "bad_json",
         ['{"instances":']),
        ("TensorFlow's to /predict", post("/predict", tf_json), 400, bad, ['"instances"', '"images"']),
        ("ours to :predict", post(TF + ":predict", predict_json), 400, bad, ['"image"', '"instances"']),
        ("inputs to /predict", post("/predict", oip(PHOTO)), 400, bad, ['"inputs"', '"image"']),
        ("a string as an instance", post(TF + ":predict", dump({"instances": [B64]})), 400, bad,
         ["instances[0]", '"b64"', "a string"]),
        ("a tensor as an instance", post(TF + ":predict", dump({"instances": [[[0.5, 0.25]]]})), 400, bad,
         ["instances[0]", '"b64"', OIP + "/infer"]),
        ("a flat tensor", post(TF + ":predict", dump({"instances": [0.5, 1]})), 400, bad, [OIP + "/infer"]),
        ("a tensor as inputs", post(TF + ":predict", dump({"inputs": [[0.5, 1]]})), 400, bad,
         ["inputs[0]", OIP + "/infer"]),
        ("another signature", post(TF + ":predict", dump({"signature_name": "x", "instances": []})), 400, bad,
         ["signature_name", '"serving_default"']),
        ("instances and inputs", post(TF + ":predict", dump({"instances": [], "inputs": []})), 400, bad, ["both"]),
        ("neither", post(TF + ":predict", b"{}"), 400, bad, ["neither", '{"instances":']),
        ("no instance", post(TF + ":predict", dump({"instances": []})), 400, bad, ["one at least"]),
        ("no input", post(TF + ":predict", dump({"inputs": {"image_bytes": []}})), 400, bad, ["one"]),
        ("an instance without b64", post(TF + ":predict", dump({"instances": [{}]})), 400, bad,
         ["instances[0]", '"b64"']),
        ("b64 that is none", post(TF + ":predict", dump({"instances": [{"b64": "????"}]})), 400, "bad_base64",
         ["instances[0].b64", "character 0"]),
        ("b64 of no picture", post(TF + ":predict", dump({"instances": [{"b64": "AAAA"}]})), 415, media, ["JPEG"]),
        ("top_k of all", post(TF + ":predict?top_k=5", tf_json), 400, bad, ["top_k", "all classes"]),
        ("file to /predictions", post(TORCH, *form(picture_part("file"))), 400, "bad_multipart",
         ['"file"', '"data"']),
        ("two to /predictions", post(TORCH, *form(picture_part("data"), picture_part("data"))), 413,
         "too_many_images", ["one by one"]),
        ("data to /predict", post("/predict", *form(picture_part("data"))), 400, "bad_multipart",
         ['"data"', '"file"']),
        ("a query nobody knows", post(TORCH + "?topk=1", PHOTO), 400, bad, ["top_k", TORCH]),
        ("another model of TorchServe's", post("/predictions/densenet", PHOTO), 404, "not_found", [TORCH]),
        ("another version of TorchServe's", post(TORCH + "/2.0", PHOTO), 404, "not_found", ["1.0"]),
        ("another model of TensorFlow's", post("/v1/models/half:predict", tf_json), 404, "not_found",
         [TF + ":predict"]),
        ("another version of TensorFlow's", post(TF + "/versions/2:predict", tf_json), 404, "not_found",
         ["version 1"]),
        ("classify", post(TF + ":classify", tf_json), 404, "not_found", ["only predicts"]),
        ("another precision", post(TF + ":predict?precision=fp8", tf_json), 400, bad, ["fp32"]),
        ("another precision in JSON", post("/predict", dump({"image": B64, "precision": "fp8"})), 400, bad,
         ["fp32"]),
        ("no time", post("/predict", PHOTO, {"X-Request-Timeout-Ms": "0"}), 504, "deadline_exceeded", ["0 ms"]),
        ("a bomb", post("/predict", draw.header_only(65500, 65500)), 413, "image_too_large", ["pixels"]),
        ("a cut picture", post(TORCH, PHOTO[:900]), 422, "image_undecodable", ["truncated"]),
        ("17 pictures", post("/predict", dump({"images": [B64] * 17})), 413, "too_many_images", ["16"]),
        ("17 instances", post(TF + ":predict", dump({"instances": [{"b64": B64}] * 17})), 413,
         "too_many_images", ["16"]),
        ("a shape that is none", post(OIP + "/infer", dump({"inputs": [
            {"name": "input", "datatype": "FP32", "shape": [1, 3, 2, 2], "data": [0.5] * 12}]})), 422,
         "tensor_shape_mismatch", ["224"]),
    ]:  # fmt: skip
        refused(service, name, sent, status, code, words)


# ---- one photograph in every dialect ------------------------------------------------------------


def exact(answer):
    """JSON whose numbers stay the text that they are."""
    return json.loads(answer.body, parse_float=str)


def of_predict(service, body, headers=None):
    answer = service.post(body, headers, f"/predict?top_k={CLASSES}")
    found = exact(answer)
    lists = [r["predictions"] for r in found["results"]] if "results" in found else [found["predictions"]]
    return [[p["probability"] for p in sorted(one, key=lambda p: p["class_id"])] for one in lists]


def of_tf(service, request):
    found = exact(service.post(dump(request), path=TF + ":predict"))
    return found.get("predictions") or found.get("outputs")


def split(values):
    return [values[i : i + CLASSES] for i in range(0, len(values), CLASSES)]


def of_oip(service, *images):
    answer = service.post(oip(*images, outputs=[{"name": "probabilities"}]), path=OIP + "/infer")
    return split(exact(answer)["outputs"][0]["data"])


def of_oip_binary(service, *images):
    """The floats; the text that reads back as them is compared."""
    with kserve_client.Client("127.0.0.1", service.port) as client:
        image = Input("image", [len(images)], "BYTES").binary(images)
        return split(client.infer("resnet50", [image], [Output("probabilities", binary=True)]).values("probabilities"))


def as_floats(texts):
    return [[struct.unpack("<f", struct.pack("<f", float(t)))[0] for t in row] for row in texts]


def same_digits(service):
    alone, other = of_predict(service, PHOTO)[0], of_predict(service, OTHER)[0]
    tap.ok(alone != other and len(set(alone)) > CLASSES // 2, "two photographs, two answers")
    b64 = {"b64": B64}, {"b64": base64.b64encode(OTHER).decode()}
    for name, found, expected in [
        ("a form", of_predict(service, *form(picture_part("file"))), [alone]),
        ("two in a form", of_predict(service, *form(picture_part("file", OTHER), picture_part("file"))), [other, alone]),
        ("JSON", of_predict(service, dump({"image": B64})), [alone]),
        ("escaped slashes", of_predict(service, dump({"image": B64}).replace(b"/", rb"\/")), [alone]),
        ("escaped pluses", of_predict(service, dump({"image": B64}).replace(b"+", rb"\u002B")), [alone]),
        ("a data URL", of_predict(service, dump({"images": ["data:;base64," + B64]})), [alone]),
        ("two in JSON", of_predict(service, dump({"images": [b64[1]["b64"], B64]})), [other, alone]),
        ("instances", of_tf(service, {"instances": [b64[0]]}), [alone]),
        ("two instances", of_tf(service, {"instances": [b64[1], {"image_bytes": b64[0]}]}), [other, alone]),
        ("inputs", of_tf(service, {"inputs": {"image_bytes": list(b64)}}), [alone, other]),
        ("infer", of_oip(service, PHOTO), [alone]),
        ("infer of two", of_oip(service, OTHER, PHOTO), [other, alone]),
        ("infer in bytes", of_oip_binary(service, PHOTO, OTHER), as_floats([alone, other])),
    ]:
        tap.equal(found, expected, f"{name}: the same {CLASSES} probabilities, digit by digit")
    best = exact(service.post(PHOTO))["predictions"]
    expected = {p["label"]: p["probability"] for p in best}
    found = exact(service.post(PHOTO, path=TORCH))
    tap.equal(list(found.items()), list(expected.items()), "TorchServe: the same five, in order")
    answer = service.post(oip(PHOTO, outputs=[{"name": "classification"}]), path=OIP + "/infer")
    found = [text.split(":")[:2] for text in answer.json()["outputs"][0]["data"]]
    expected = [[p["probability"], str(p["class_id"])] for p in best]
    tap.equal([[float(p), i] for p, i in found], [[float(p), i] for p, i in expected], "classification")


def clients(service):
    """Scripts that know the other servers, and not this one."""
    expected = [float(p) for p in of_predict(service, PHOTO)[0]]
    for version in (None, 1):
        tf = tfserving_client.Client(f"http://127.0.0.1:{service.port}", version=version)
        tf.wait_available()
        tap.equal(tf.signature()["method_name"], "tensorflow/serving/predict", "TensorFlow: signature")
        for call in (tf.predict, tf.predict_named, tf.predict_columns):
            tap.equal(call([PHOTO, PHOTO]), [expected] * 2, f"TensorFlow, version {version}: {call.__name__}")
    try:
        tf.post({"instances": [{"b64": "AAAA"}]})
        tap.ok(False, "TensorFlow: an error is raised")
    except tfserving_client.ServerError as error:
        tap.ok(error.status == 415 and "JPEG" in error.error, "TensorFlow: an error is raised", str(error))
    best = {p["label"]: p["probability"] for p in service.post(PHOTO).json()["predictions"]}
    for version in (None, "1.0"):
        torch = torchserve_client.Client("127.0.0.1", service.port, version=version)
        tap.equal(torch.ping(), "Healthy", "TorchServe: ping")
        for call in (torch.predict, torch.upload, torch.predict_form):
            tap.equal(call(PHOTO), best, f"TorchServe, version {version}: {call.__name__}")


# ---- and nothing left out -----------------------------------------------------------------------

ELSEWHERE = {  # what these requests cannot bring about, and who does
    "ok": "predict.t", "body_truncated": "worker-hazards.t", "body_too_large": "bad-input.t",
    "tensor_not_finite": "oip.t", "too_many_requests": "nginx-errors.t", "cancelled": "hang-up.t",
    "worker_failed": "poison.t", "overloaded": "overload.t", "draining": "spawn-drain.t",
    "starting": "cold-start.t",
}  # fmt: skip
UNUSED = {"input_quarantined"}  # in the contract, and never said


def every_code():
    """Each code of the table was met here, or stands in the test that is said to meet it."""
    with open(os.path.join(TOP, "fcgi", "errors.h"), encoding="utf-8") as file:
        codes = set(re.findall(r'X\(\w+, \d+, "(\w+)"\)', file.read()))
    with open(__file__, encoding="utf-8") as file:
        here = {code for code in codes if file.seek(0) == 0 and f'"{code}"' in file.read().split("ELSEWHERE")[0]}
    tap.ok(len(codes) > 20, "the table of errors was found", codes)
    for code, test in ELSEWHERE.items():
        with open(os.path.join(TOP, "tests", test), encoding="utf-8") as file:
            tap.ok(code in file.read(), f"{code}: {test}")
    tap.equal(codes - here - set(ELSEWHERE) - UNUSED, set(), "no code is left out")


def everything():
    with Service(workers=2) as service:
        # Ready with its first worker, started with all of them.
        until(lambda: service.get("/health/startup").status == 200, START_S, "a whole generation")
        before = service.workers()
        for test in (answers, internal, methods, wrong_things, same_digits, clients):
            test(service)
        tap.equal(service.workers(), before, "the same workers are still there")


tap.run(everything, every_code)
