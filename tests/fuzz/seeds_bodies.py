"""seeds_bodies.py: seeds of whole bodies, in every dialect."""

import base64
import json
import struct

import draw
import seeds_http

PICTURE = draw.jpeg(16, 16, 1)
B64 = base64.b64encode(PICTURE).decode()
TENSOR = [0.5] * (3 * 32 * 32)
CROP = 32


def text(value):
    return json.dumps(value, separators=(",", ":")).encode()


def escaped(plain):
    return plain.replace("/", "\\/").replace("+", "\\u002b")


def predict_bodies():
    one = text({"image": B64})
    return {
        "picture": (b"image/jpeg", PICTURE), "gif": (b"image/gif", b"GIF89a"),
        "json": (b"application/json", one), "json-plus": (b"application/x+json; charset=utf-8", one),
        "json-as-form": (b"application/x-www-form-urlencoded", b" \t\r\n" + one),
        "json-picture": (b"application/json", PICTURE), "json-array": (b"application/json", b"[1,2]"),
        "json-many": (b"application/json", text({"images": [B64, B64], "top_k": 3, "precision": "bf16"})),
        "json-too-many": (b"application/json", text({"images": [B64] * 5})),
        "json-both": (b"application/json", text({"image": B64, "images": [B64]})),
        "json-neither": (b"application/json", b'{"top_k":1}'), "json-empty-list": (b"application/json", b'{"images":[]}'),
        "json-options": (b"application/json", text({"image": B64, "top_k": 1.5, "precision": 3})),
        "json-top-k": (b"application/json", text({"image": B64, "top_k": 99999999999})),
        "json-escapes": (b"application/json", ('{"im\\u0061ge":"' + escaped(B64) + '"}').encode()),
        "json-data-url": (b"application/json", text({"image": "data:image/jpeg;base64," + B64})),
        "json-data-url-plain": (b"application/json", text({"image": "data:image/jpeg," + B64})),
        "json-data-url-long": (b"application/json", text({"image": "data:" + "x" * 300 + ";base64," + B64})),
        "json-bad-64": (b"application/json", text({"image": B64[:-1]})), "json-number": (b"application/json", b'{"image":5}'),
        "json-twice": (b"application/json", b'{"image":"","image":""}'), "json-unknown": (b"application/json", b'{"file":"' + b"x" * 99 + b'"}'),
        "json-nul-key": (b"application/json", b'{"image\\u0000":""}'), "json-long-key": (b"application/json", b'{"' + b"k" * 50 + b'":1}'),
        "json-cut": (b"application/json", one[:-1]), "json-empty-string": (b"application/json", b'{"image":""}'),
        "no-type": (b"", PICTURE), "blank-type": (b" \t;x", PICTURE),
    }  # fmt: skip


def forms():
    out = {}
    for name, body in seeds_http.multipart().items():
        content_type, _, content = body.partition(b"\n")
        out["form-" + name] = (content_type, content)
    bare = b"Content-Disposition: form-data; name="
    content = seeds_http.part(seeds_http.PICTURE, PICTURE) + seeds_http.part(bare + b"top_k", b"2")
    out["form-picture"] = (seeds_http.FORM.strip(), content + b"--X--")
    out["form-data"] = (seeds_http.FORM.strip(), seeds_http.part(bare + b"data", PICTURE) + b"--X--")
    out["form-unknown"] = (seeds_http.FORM.strip(), seeds_http.part(bare + b"else", PICTURE) + b"--X--")
    out["form-no-picture"] = (seeds_http.FORM.strip(), seeds_http.part(bare + b"top_k", b"2") + b"--X--")
    return out


def body():
    return {name: kind + b"\n" + content for name, (kind, content) in {**predict_bodies(), **forms()}.items()}


# ---- dialects ------------------------------------------------------------------------------------


def tfserving():
    return {
        "instances": {"instances": [{"b64": B64}]}, "named": {"instances": [{"image_bytes": {"b64": B64}}]},
        "columns": {"inputs": [{"b64": B64}]}, "column": {"inputs": {"image_bytes": [{"b64": B64}]}},
        "signature": {"signature_name": "serving_default", "instances": [{"b64": B64}, {"b64": B64}]},
        "another-signature": {"signature_name": "x", "instances": []}, "both": {"instances": [], "inputs": []},
        "neither": {}, "empty": {"instances": []}, "numbers": {"instances": [[0.1, 0.2]]}, "text": {"instances": "x"},
        "single": {"inputs": {"b64": B64}}, "deep": {"instances": [{"x": {"y": {"b64": B64}}}]}, "string": {"instances": [B64]},
        "keys": {"instances": [{"b64": B64, "more": 1}]}, "signature-number": {"signature_name": 5, "instances": [{"b64": B64}]},
        "too-many": {"instances": [{"b64": B64}] * 4}, "column-empty": {"inputs": {"image_bytes": []}}, "column-tensor": {"inputs": [[1]]},
        "column-number": {"inputs": {"image_bytes": 5}}, "column-bad": {"inputs": [{"b64": "?"}]}, "column-mixed": {"inputs": [{"b64": B64}, 5]},
        "inner-number": {"instances": [{"image_bytes": 5}]}, "inner-both": {"instances": [{"image_bytes": {"b64": B64}, "b64": B64}]},
        "inner-none": {"instances": [{}]}, "instances-tensor": {"instances": [[[1.5]]]}, "instances-object": {"instances": {"a": 1}},
        "inputs-empty": {"inputs": []}, "top-k": {"instances": [{"b64": B64}], "top_k": 1},
    }  # fmt: skip


def oip_json():
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [B64]}
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 3, CROP, CROP], "data": TENSOR}
    outputs = [{"name": name} for name in ("probabilities", "logits", "features")]
    ranked = {"name": "classification", "parameters": {"classification": 2}}
    rows = [TENSOR[i : i + CROP] for i in range(0, len(TENSOR), CROP)]
    nested = [[rows[c * CROP : (c + 1) * CROP] for c in range(3)]]
    return {
        "image": {"inputs": [image]}, "two": {"inputs": [{**image, "shape": [2], "data": [B64, B64]}]},
        "shape-1-1": {"inputs": [{**image, "shape": [1, 1], "data": [[B64]]}]},
        "tensor": {"id": "x\u00e9\n", "inputs": [tensor], "outputs": outputs + [ranked]},
        "nested": {"inputs": [{**tensor, "data": nested}]}, "ragged": {"inputs": [{**tensor, "data": [nested[0][:2]]}]},
        "integers": {"inputs": [{**tensor, "data": [0] * len(TENSOR)}]}, "short": {"inputs": [{**tensor, "data": TENSOR[:-1]}]},
        "beyond": {"inputs": [{**tensor, "data": [1e300] + TENSOR[1:]}]}, "shape": {"inputs": [{**tensor, "shape": [1, 3, 9, 9]}]},
        "batch": {"inputs": [{**tensor, "shape": [9, 3, CROP, CROP]}]}, "datatype": {"inputs": [{**tensor, "datatype": "INT8"}]},
        "shape-text": {"inputs": [{**tensor, "shape": "x"}]}, "shape-negative": {"inputs": [{**image, "shape": [-1]}]},
        "shape-large": {"inputs": [{**image, "shape": [4294967297]}]}, "shape-long": {"inputs": [{**image, "shape": [1] * 9}]},
        "no-inputs": {"outputs": []}, "two-inputs": {"inputs": [image, tensor]}, "unknown-input": {"inputs": [{**image, "name": "x"}]},
        "precision-number": {"parameters": {"precision": 5}, "inputs": [image]}, "precision-unknown": {"parameters": {"precision": "x"}, "inputs": [image]},
        "features-ranked": {"inputs": [image], "outputs": [{"name": "features", "parameters": {"classification": 1}}]},
        "datatype-number": {"inputs": [{**image, "datatype": 5}]}, "data-mixed": {"inputs": [{**image, "shape": [2], "data": [B64, 5]}]},
        "data-bad": {"inputs": [{**image, "data": ["?"]}]}, "picture-bad": {"inputs": [{**image, "data": ["AAAA"]}]},
        "no-data": {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]}, "no-object": {"inputs": [5]},
        "id-number": {"id": 5, "inputs": [image]}, "id-long": {"id": "i" * 2000, "inputs": [image]},
        "parameters": {"parameters": {"binary_data_output": True, "x": 1}, "inputs": [image]},
        "precision": {"parameters": {"precision": "bf16", "top_k": 3}, "inputs": [image], "outputs": [ranked]},
        "binary-out": {"inputs": [image], "outputs": [{"name": n["name"], "parameters": {"binary_data": True}} for n in outputs]},
        "binary-ranked": {"inputs": [image], "outputs": [{"name": "classification", "parameters": {"binary_data": True}}]},
        "ranked-logits": {"inputs": [image], "outputs": [{"name": "logits", "parameters": {"classification": 1}}]},
        "output-twice": {"inputs": [image], "outputs": [ranked, ranked]}, "output-unknown": {"inputs": [image], "outputs": [{"name": "y"}]},
        "output-none": {"inputs": [image], "outputs": []}, "outputs-text": {"inputs": [image], "outputs": "x"},
        "classes": {"inputs": [image], "outputs": [{"name": "logits", "parameters": {"classification": 99}}]},
        "parameter-types": {"parameters": {"binary_data_output": 1}, "inputs": [image]}, "parameters-list": {"parameters": [], "inputs": [image]},
        "output-parameters": {"inputs": [image], "outputs": [{"name": "logits", "parameters": {"binary_data": "x"}}]},
        "empty-string": {"inputs": [{**image, "data": [""]}]}, "data-number": {"inputs": [{**image, "data": [5]}]},
        "data-text": {"inputs": [{**image, "data": "x"}]}, "two-of-one": {"inputs": [{**image, "data": [B64, B64]}]},
        "too-many": {"inputs": [{**image, "shape": [9], "data": [B64] * 9}]}, "nothing": {"inputs": []}, "inputs-text": {"inputs": "x"},
        "size-without-length": {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}]},
    }  # fmt: skip


def oip_binary():
    def made(header, data):
        head = text(header)
        return str(len(head)).encode(), head + data

    def image(size, shape=(1,)):
        return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": list(shape), "parameters": {"binary_data_size": size}}]}

    framed = struct.pack("<I", len(PICTURE)) + PICTURE
    floats = struct.pack(f"<{len(TENSOR)}f", *TENSOR)
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 3, CROP, CROP], "parameters": {"binary_data_size": len(floats)}}
    return {
        "image": made(image(len(framed)), framed), "two": made(image(2 * len(framed), (2,)), framed * 2),
        "short": made(image(len(framed)), framed[:-1]), "long": made(image(len(framed)), framed + b"x"),
        "size": made(image(5), framed), "element": made(image(8), b"\xff\xff\xff\xff1234"), "cut": made(image(2), b"12"),
        "empty-element": made(image(4), bytes(4)), "missing": made(image(len(framed), (2,)), framed),
        "more-elements": made(image(2 * len(framed)), framed * 2),
        "tensor": made({"inputs": [tensor], "parameters": {"binary_data_output": True}}, floats),
        "nan": made({"inputs": [tensor]}, struct.pack("<f", float("nan")) + floats[4:]),
        "tensor-size": made({"inputs": [{**tensor, "parameters": {"binary_data_size": 4}}]}, b"1234"),
        "size-text": made(image("x"), framed), "size-negative": made(image(-1), framed), "both": made({"inputs": [{**tensor, "data": [1]}]}, floats),
        "length-0": (b"0", b"{}"), "length-long": (b"99", b"{}"), "length-text": (b"x", b"{}"), "unused": made({"inputs": []}, b"x"),
        "bare-jpeg": (b"0", PICTURE),
    }  # fmt: skip


def dialects():
    out = {}

    def add(name, path, content, kind=b"application/json", length=b""):
        out[name] = b"\n".join((path, kind, length, content))

    for name, (kind, content) in {**predict_bodies(), **forms()}.items():
        add("predict-" + name, b"/predict", content, kind)
    for query in (b"top_k=2&precision=bf16", b"top_k=0", b"top_k=99", b"topk=1", b"precision=int8", b"precision=fp32&"):
        add("query-" + query.decode().replace("&", "+"), b"/predict?" + query, PICTURE, b"image/jpeg")
    add("tf-query", b"/v1/models/resnet50:predict?top_k=2", text(tfserving()["instances"]))
    add("torchserve-top-k", b"/predictions/resnet50?top_k=9", PICTURE, b"image/jpeg")
    add("no-path", b"/nowhere", PICTURE)
    add("torchserve", b"/predictions/resnet50", PICTURE, b"image/jpeg")
    add("torchserve-form", b"/predictions/resnet50/1.0", forms()["form-data"][1], b"multipart/form-data; boundary=X")
    add("torchserve-json", b"/predictions/resnet50", b'{"x":1}')
    add("empty", b"/predict", b"")
    for name, value in tfserving().items():
        add("tf-" + name, b"/v1/models/resnet50:predict", text(value))
    for name, value in oip_json().items():
        add("oip-" + name, b"/v2/models/resnet50/infer", text(value))
    for name, (length, content) in oip_binary().items():
        add("oip-binary-" + name, b"/v2/models/resnet50/versions/1/infer", content, b"application/octet-stream", length)
    add("oip-key-twice", b"/v2/models/resnet50/infer", b'{"inputs":[],"a":{"x":1,"x":2}}')
    return out


DRAWN = {"body": body, "dialects": dialects}
