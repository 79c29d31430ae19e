#!/usr/bin/env python3
"""Bodies that are wrong, in every dialect: each gets its status, its code and a sentence, whoever
asks for something ordinary meanwhile notices nothing, and the workers are the same afterwards."""
# timeout: 300

import base64
import json
import random
import re
import threading
import time

import draw
import json_cases
import tap
import web
from service import Service

PHOTO = draw.jpeg(64, 48)
B64 = base64.b64encode(PHOTO)
JSON = {"Content-Type": "application/json"}
PREDICT, TORCH, TF = "/predict", "/predictions/resnet50", "/v1/models/resnet50:predict"
OIP = "/v2/models/resnet50/infer"
MAX_IMAGES = 4
BOUNDARY = "b0123456789"
KINDS = {
    400: {"bad_request", "bad_json", "bad_base64", "bad_multipart"},
    413: {"too_many_images", "image_too_large"},
    415: {"unsupported_media_type"},
    422: {"image_undecodable", "tensor_shape_mismatch", "tensor_not_finite"},
}


def listed(answer):
    """A 200, or an error as the contract has it."""
    if answer.status == 200:
        return answer.json() is not None
    body = answer.json()
    whole = list(body) == ["success", "error", "code", "request_id"] and len(body["error"]) > 10
    return whole and body["code"] in KINDS.get(answer.status, ())


def found(answer):
    return answer.status, answer.code()


def refused(name, answer, status, code, words=""):
    good = found(answer) == (status, code) and listed(answer) and words in answer.json()["error"]
    tap.ok(good, f"{name}: {status} {code}", answer)


def short(text):
    return repr(text if len(text) < 40 else text[:40] + b"...")


# ---- JSON ---------------------------------------------------------------------------------------

INFER = b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["%s"]}],"outputs":[{"name":"classification"}]'


def holding(value):
    """A request that is good if the value is: the protocol steps over members that it does not know."""
    return INFER % B64 + b',"parameters":{"unknown":' + value + b"}}"


def values(service):
    """Bad ones where each dialect would hold them, good ones where a member may hold anything."""
    for value in json_cases.BAD:
        places = {
            OIP: holding(value),
            PREDICT: b'{"top_k":1,"image":' + value + b"}",
            TF: b'{"instances":[{"b64":' + value + b"}]}",
        }
        for path, body in places.items():
            refused(f"{path}: {short(value)}", service.post(body, JSON, path), 400, "bad_json")
    for value in json_cases.GOOD:
        tap.equal(service.post(holding(value), JSON, OIP).status, 200, f"{short(value)}: taken")
    for value, taken in json_cases.OPEN:
        answer = service.post(holding(value), JSON, OIP)
        expected = (200, None) if taken else (400, "bad_json")
        tap.equal(found(answer), expected, f"{short(value)}: {'taken' if taken else 'refused'}")


def texts(service):
    """The same as whole bodies: what is JSON but no request is bad_request; a body has to be an
    object, and a number is told so by the parser already."""
    for path in (PREDICT, TF):
        for text in json_cases.BAD:
            expected = (400, "bad_json" if text else "bad_request")
            tap.equal(found(service.post(text, JSON, path)), expected, f"{path} {short(text)}: {expected[1]}")
        for text in json_cases.GOOD:
            code = "bad_request" if text.strip()[:1] in b"{[" else "bad_json"
            tap.equal(found(service.post(text, JSON, path)), (400, code), f"{path} {short(text)}: {code}")


def encoding_of_text(service):
    body = json.dumps({"image": B64.decode()})
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-16", "utf-8-sig"):
        refused(name, service.post(body.encode(name), JSON), 400, "bad_json")


def strings(service):
    """What a picture's string, a key and a name may not be."""
    for name, text, code in (
        ("NUL at the end", b'"QUJD\\u0000"', "bad_base64"),
        ("NUL alone", b'"\\u0000\\u0000\\u0000\\u0000"', "bad_base64"),
        ("NUL in a group", b'"QU\\u0000D"', "bad_base64"),
        ("one character less", b'"' + B64[:-1] + b'"', "bad_base64"),
        ("no padding", b'"QQ"', "bad_base64"),
        ("padding only", b'"===="', "bad_base64"),
        ("too much padding", b'"QUJDQQ======"', "bad_base64"),
        ("something after padding", b'"QQ==QUJD"', "bad_base64"),
        ("stray bits", b'"QR=="', "bad_base64"),
        ("URL-safe", b'"_-__"', "bad_base64"),
        ("MIME lines", b'"' + B64[:76] + b"\\r\\n" + B64[76:] + b'"', "bad_base64"),
        ("blanks", b'" ' + B64 + b'"', "bad_base64"),
        ("letters that look alike", '"QUJ\u0410"'.encode(), "bad_base64"),
        ("a URL", b'"https://example.org/cat.jpg"', "bad_base64"),
        ("a data URL without base64", b'"data:image/jpeg,%FF%D8"', "bad_base64"),
        ("a data URL without end", b'"data:image/jpeg;base64"', "bad_base64"),
        ("a data URL of 10,000 parameters", b'"data:' + b";a=b" * 10_000 + b';base64,QUJD"', "bad_base64"),
        ("nothing", b'""', "bad_request"),
        ("a number", b"7", "bad_request"),
        ("an array", b'["QUJD"]', "bad_request"),
        ("an object", b'{"b64":7}', "bad_request"),
    ):
        refused(f"image: {name}", service.post(b'{"image":' + text + b"}", JSON), 400, code)
        if text[:1] == b'"':
            body = b'{"instances":[{"b64":' + text + b"}]}"
            refused(f"b64: {name}", service.post(body, JSON, TF), 400, code, "instances[0].b64")


def members(service):
    image = b'"image":"' + B64 + b'"'
    for name, body, code, words in (
        ("a key twice", b"{" + image + b"," + image + b"}", "bad_json", "twice"),
        ("a key twice, once escaped", b"{" + image + b"," + image.replace(b"m", b"\\u006d") + b"}", "bad_json", "twice"),
        ("top_k twice", b'{"top_k":1,' + image + b',"top_k":1}', "bad_json", "twice"),
        ("a key with a NUL", b'{"image\\u0000":"QUJD"}', "bad_request", "unknown key"),
        ("an empty key", b'{"":1,' + image + b"}", "bad_request", "unknown key"),
        ("a long key", b'{"' + b"k" * 100_000 + b'":1}', "bad_request", "unknown key"),
        ("a key in another case", b'{"Image":"QUJD"}', "bad_request", '\\"Image\\"'.replace("\\", "")),
        ("10,000 keys", b"{" + b",".join(b'"%d":%d' % (i, i) for i in range(10_000)) + b"}", "bad_json", "more than"),
        ("10,000 instances", b'{"images":[' + b",".join([b'"QUJD"'] * 10_000) + b"]}", "bad_json", "more than"),
    ):  # fmt: skip
        refused(name, service.post(body, JSON), 400, code, words)
    for value in (b"0", b"-1", b"1001", b"1.0", b"1e1", b"1e400", b"-0", b"2147483648", b"9223372036854775808",
                  b"9" * 400, b'"1"', b"null", b"[1]"):  # fmt: skip
        answer = service.post(b"{" + image + b',"top_k":' + value + b"}", JSON)
        refused(f"top_k {short(value)}", answer, 400, "bad_request", "1 to 1000")
    for value in (b'""', b'"FP32"', b'"fp32\\u0000"', b'"\\ud83d\\ude00"', b"32", b"null", b'"' + b"x" * 9999 + b'"'):
        answer = service.post(b"{" + image + b',"precision":' + value + b"}", JSON)
        refused(f"precision {short(value)}", answer, 400, "bad_request", "precision")


def too_many(service):
    one = draw.jpeg(8, 8)
    text = base64.b64encode(one).decode()
    n = MAX_IMAGES + 1
    tensor = {"name": "image", "datatype": "BYTES", "shape": [n], "data": [text] * n}
    form, kind = web.multipart([("file", "a", None, one)] * n)
    for name, path, body, headers in (
        ("a form", PREDICT, form, {"Content-Type": kind}),
        ("images", PREDICT, json.dumps({"images": [text] * n}).encode(), JSON),
        ("instances", TF, json.dumps({"instances": [{"b64": text}] * n}).encode(), JSON),
        ("inputs", TF, json.dumps({"inputs": [{"b64": text}] * n}).encode(), JSON),
        ("infer", OIP, json.dumps({"inputs": [tensor]}).encode(), JSON),
    ):
        refused(f"{n} pictures, {name}", service.post(body, headers, path), 413, "too_many_images")
    form, kind = web.multipart([("data", "a", None, one)] * 2)
    refused("2 for TorchServe", service.post(form, {"Content-Type": kind}, TORCH), 413, "too_many_images")


def large(service):
    """A body at its limit that is all base64, and one past it."""
    for name, body, status, code in (
        ("base64 of no picture", b'{"image":"' + b"A" * (1 << 20) + b'"}', 415, "unsupported_media_type"),
        ("... with escapes", b'{"image":"' + b"\\/" * (1 << 19) + b'"}', 415, "unsupported_media_type"),
        ("... that ends wrong", b'{"image":"' + b"A" * ((1 << 20) - 1) + b'!"}', 400, "bad_base64"),
        ("... and never ends", b'{"image":"' + b"A" * (1 << 20), 400, "bad_json"),
        ("blanks", b" " * (1 << 20) + b"{}", 400, "bad_request"),
        ("quotes", b'"' * (1 << 20), 400, "bad_json"),
        ("backslashes", b'{"' + b"\\" * (1 << 20), 400, "bad_json"),
        ("past the limit", b'{"image":"' + b"A" * (2 << 20) + b'"}', 413, "body_too_large"),
    ):
        tap.equal(found(service.post(body, JSON)), (status, code), f"a megabyte of {name}: {status} {code}")


# ---- forms --------------------------------------------------------------------------------------


def form_of(*parts, end=b"--"):
    """Parts as bytes, headers included."""
    line = b"--" + BOUNDARY.encode()
    return b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + end


def part(disposition, content=PHOTO, more=b""):
    return b"Content-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + content


def send_form(service, body, path=PREDICT, boundary=BOUNDARY):
    return service.post(body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}, path)


def forms(service):
    good = part(b'form-data; name="file"; filename="a.jpg"')
    tap.equal(send_form(service, form_of(good)).status, 200, "a form as it should be")
    for name, body, code in (
        ("10,000 parts", form_of(*[part(b'form-data; name="top_k"', b"1")] * 10_000), "bad_multipart"),
        ("no part", form_of(), "bad_multipart"),
        ("no boundary in it", PHOTO, "bad_multipart"),
        ("a part without headers", form_of(b"\r\n" + PHOTO), "bad_multipart"),
        ("a header without a colon", form_of(part(b'form-data; name="file"', more=b"x\r\n")), "bad_multipart"),
        ("a part without a name", form_of(part(b"form-data")), "bad_multipart"),
        ("an empty name", form_of(part(b'form-data; name=""')), "bad_multipart"),
        ("an open quote", form_of(part(b'form-data; name="file')), "bad_multipart"),
        ("an attachment", form_of(part(b'attachment; name="file"')), "bad_multipart"),
        ("a header of 5,000 bytes", form_of(part(b'form-data; name="file"', more=b"X: " + b"x" * 5000 + b"\r\n")),
         "bad_multipart"),
        ("20 headers", form_of(part(b'form-data; name="file"', more=b"X: x\r\n" * 20)), "bad_multipart"),
        ("no closing boundary", form_of(good, end=b"\r\n"), "bad_multipart"),
        ("a closing boundary cut short", form_of(good)[:-4], "bad_multipart"),
        ("line feeds only", form_of(good).replace(b"\r\n", b"\n"), "bad_multipart"),
        ("a form in a form", form_of(part(b'form-data; name="form"', form_of(good))), "bad_multipart"),
        ("top_k that is none", form_of(good, part(b'form-data; name="top_k"', b"many")), "bad_request"),
        ("a precision that is none", form_of(good, part(b'form-data; name="precision"', b"")), "bad_request"),
    ):  # fmt: skip
        refused(f"form: {name}", send_form(service, body), 400, code)
    for boundary in ("", '""', "x" * 71, '"a b "', "ä", '"', "a\tb"):
        answer = send_form(service, form_of(good), boundary=boundary)
        refused(f"boundary {boundary!r}", answer, 400, "bad_multipart")


INJECTED = b"X-Evil: 1"


def injection(service):
    """Names with line breaks in them reach neither the headers of an answer nor a line of the log."""
    for name, disposition, status in (
        ("a file name", b'form-data; name="file"; filename="a.jpg%0d%0aX-Evil: 1"', 200),
        ("a file name with a break", b'form-data; name="file"; filename="a\r\nX-Evil: 1\r\n.jpg"', 400),
        ("a file name with a bare break", b'form-data; name="file"; filename="a\nX-Evil: 1\n"', 200),
        ("a field's name", b'form-data; name="evil\nX-Evil: 1\n"', 400),
        ("a field's name, escaped", b'form-data; name="evil%0d%0aX-Evil: 1"', 400),
        ("a field's name with a quote", b'form-data; name="evil\\"\x1b[31m\x00"', 400),
        ("a part's own header", b'form-data; name="file"\r\nX-Evil: 1', 200),
    ):
        answer = send_form(service, form_of(part(disposition)))
        tap.equal(answer.status, status, f"{name}: {status}")
        tap.ok(listed(answer) and answer.header("x-evil") is None, f"{name}: no header of it", answer)
    refused("a key", service.post(b'{"a\\r\\nX-Evil: 1":1}', JSON), 400, "bad_request")
    with open(service.log, "rb") as file:
        lines = file.read().rpartition(b"\n")[0].splitlines()  # the last may be half there
    tap.ok(not any(line.startswith(INJECTED) for line in lines), "no line of the log begins so")
    shape = re.compile(rb"^\S+Z? .*\bevent=")
    odd = [line for line in lines if not shape.match(line)]
    tap.equal(odd, [], "each line of the log is one event")
    tap.ok(not any(c in b"".join(lines) for c in (0, 0x1B)), "no control character in it")


# ---- damage -------------------------------------------------------------------------------------


def damage(service):
    """Good bodies with a few bytes changed, cut, doubled or moved: some answer of the contract."""
    rng = random.Random(5)
    good = [
        (PREDICT, b'{"image":"' + B64 + b'","top_k":3,"precision":"fp32"}', JSON),
        (PREDICT, b'{"images":["data:image\\/jpeg;base64,' + B64 + b'"]}', JSON),
        (TF, b'{"signature_name":"","instances":[{"image_bytes":{"b64":"' + B64 + b'"}}]}', JSON),
        (TF, b'{"inputs":{"image_bytes":[{"b64":"' + B64 + b'"}]}}', JSON),
        (OIP, INFER % B64 + b"}", JSON),
        (PREDICT, form_of(part(b'form-data; name="file"; filename="a"'), part(b'form-data; name="top_k"', b"1")),
         {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}),
    ]  # fmt: skip
    for path, body, headers in good:
        tap.equal(service.post(body, headers, path).status, 200, f"undamaged: {path}, {len(body)} bytes")
    odd = []
    for _ in range(int(60 * tap.T)):
        path, body, headers = rng.choice(good)
        at = min(rng.randrange(len(body)), rng.choice((20, 60, len(body) - 1)))
        n = rng.randrange(1, 9)
        other = bytes(rng.choice(b'{}[]",:\\u0\x00\xff\r\n-=AZ') for _ in range(n))
        body = rng.choice((
            body[:at], body[at:], body[:at] + other + body[at + n :], body[:at] + other + body[at:],
            body[:at] + body[at + n :], body[: at + n] + body[at:],
        ))  # fmt: skip
        answer = service.post(body, headers, path)
        if not listed(answer):
            odd.append((path, body[:100], answer))
    tap.equal(odd, [], "each damaged body gets an answer of the contract")


# ---- beside all that ----------------------------------------------------------------------------


class Ordinary(threading.Thread):
    """Somebody who classifies a photograph again and again."""

    def __init__(self, service):
        super().__init__()
        self.service, self.expected = service, service.post(PHOTO).json()["predictions"]
        self.answered, self.wrong, self.over = 0, [], False

    def run(self):
        while not self.over and not self.wrong:
            try:
                answer = self.service.post(PHOTO)
            except web.Broken as error:
                answer = error
            if getattr(answer, "status", 0) != 200 or answer.json()["predictions"] != self.expected:
                self.wrong.append(answer)
            self.answered += 1
            time.sleep(0.005)


def everything():
    with Service(workers=2, RESNET_MAX_IMAGES=MAX_IMAGES, RESNET_MAX_BODY="2m") as service:
        before, ordinary = service.all_workers(), Ordinary(service)
        ordinary.start()
        try:
            for test in (values, texts, encoding_of_text, strings, members, too_many, large, forms,
                         injection, damage):  # fmt: skip
                test(service)
        finally:
            ordinary.over = True
            ordinary.join()
        tap.ok(ordinary.answered > 10, "somebody asked for something ordinary meanwhile", ordinary.answered)
        tap.equal(ordinary.wrong, [], f"and was answered as ever, {ordinary.answered} times")
        tap.equal(service.workers(), before, "the same workers are still there")


tap.run(everything)
