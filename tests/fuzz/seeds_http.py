"""seeds_http.py: seeds of what comes with a request: records, parameters, bodies."""

import base64
import struct

import json_cases


def record(kind, content=b"", padding=0, request=1):
    head = struct.pack(">BBHHBB", 1, kind, request, len(content), padding, 0)
    return head + content + bytes(padding)


def pair(name, value):
    return b"".join(
        bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)
        for text in (name, value)
    ) + name + value  # fmt: skip


BEGIN = record(1, b"\0\1\0\0\0\0\0\0")
PARAMS = {
    b"REQUEST_METHOD": b"POST", b"DOCUMENT_URI": b"/predict", b"QUERY_STRING": b"top_k=3",
    b"CONTENT_TYPE": b"image/jpeg", b"CONTENT_LENGTH": b"5", b"REQUEST_ID": b"0123456789abcdef" * 2,
    b"HTTP_X_REQUEST_ID": b"client.id-0001", b"MSEC": b"1700000000.100",
    b"HTTP_X_REQUEST_TIMEOUT_MS": b"5000", b"RESNET_LISTENER": b"public",
    b"HTTP_TRACEPARENT": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}  # fmt: skip


def pairs(params):
    return b"".join(pair(name, value) for name, value in params.items())


def records():
    whole = pairs(PARAMS)
    head = BEGIN + record(4, whole, 3) + record(4)
    long = {**PARAMS, b"HTTP_COOKIE": b"c" * 300}
    cut = b"".join(record(4, pairs(long)[i : i + 7]) for i in range(0, len(pairs(long)), 7))
    return {
        "whole": head + record(5, b"abcde") + record(5),
        "two-pieces-of-body": head + record(5, b"abc", 5) + record(5, b"de", 6) + record(5),
        "no-body": head + record(5),
        "body-never-ends": head + record(5, b"ab"),
        "body-too-long": head + record(5, b"abcdefgh") + record(5),
        "body-of-80000": BEGIN + record(4, pair(b"CONTENT_LENGTH", b"80000")) + record(4)
        + record(5, b"x" * 40000) * 2 + record(5),
        "params-in-pieces": BEGIN + cut + record(4) + record(5),
        "ends-in-a-param": BEGIN + record(4, whole[:-3]) + record(4) + record(5),
        "ends-in-a-length": BEGIN + record(4, b"\x80\0") + record(4),
        "param-of-2-gigabytes": BEGIN + record(4, b"\xff\xff\xff\xff\xff\xff\xff\xff") + record(4),
        "no-params": BEGIN + record(4) + record(5),
        "aborted": BEGIN + record(4, whole) + record(2) + record(4) + record(5),
        "aborted-later": head + record(2) + record(5, b"abcde") + record(5),
        "values-asked-for": record(9, pair(b"FCGI_MPXS_CONNS", b""), request=0),
        "an-authorizer": record(1, b"\0\2\0\0\0\0\0\0") + record(4, whole) + record(4),
        "kept-open": record(1, b"\0\1\1\0\0\0\0\0") + record(4, whole) + record(4) + record(5),
        "another-request": BEGIN + record(4, whole, request=2) + record(4),
        "begun-twice": BEGIN + BEGIN + record(4),
        "stdin-of-another": head + record(5, b"abcde", request=7) + record(5, request=7),
        "unknown-type": head + record(99, b"x") + record(5, b"abcde") + record(5),
        "values-in-the-body": head + record(9, pair(b"FCGI_MPXS_CONNS", b"") * 8, request=0),
        "unknown-in-the-body": head + record(99, b"x", request=0) + record(5),
        "version-2-in-the-body": head + b"\2" + record(5, b"abcde")[1:],
        "body-too-large": head + record(5, b"y" * 20000) + record(5),
        "version-2": b"\2" + BEGIN[1:],
        "begin-of-7-bytes": record(1, b"\0\1\0\0\0\0\0"),
        "id-0": record(1, b"\0\1\0\0\0\0\0\0", request=0),
        "much": BEGIN + record(4, pair(b"A", b"b" * 60000)) * 3,
        "nothing": b"",
    }  # fmt: skip


def request():
    lines = [name + b"=" + value for name, value in PARAMS.items()]
    other = {
        "no-path": [b"REQUEST_METHOD=POST"],
        "request-uri": [b"REQUEST_METHOD=PUT", b"REQUEST_URI=/predictions/resnet50?x=1&&y&=2&top_k="],
        "long-uri": [b"REQUEST_METHOD=GET", b"REQUEST_URI=/" + b"a" * 2000],
        "script-name": [b"REQUEST_METHOD=GET", b"SCRIPT_NAME=/v2/models/resnet50/infer"],
        "ids": [b"HTTP_X_REQUEST_ID=short", b"REQUEST_ID=" + b"a" * 40],
        "numbers": [b"CONTENT_LENGTH=99999999999999999999", b"HTTP_X_REQUEST_TIMEOUT_MS=-1"],
        "largest": [b"CONTENT_LENGTH=9223372036854775807", b"MSEC=1099511627776.999",
                    b"HTTP_X_REQUEST_TIMEOUT_MS=9223372036854775807"],
        "clock": [b"MSEC=1600000000.000", b"CONTENT_LENGTH=x"],
        "future": [b"MSEC=1700000001.999", b"HTTP_CONTENT_ENCODING=gzip"],
        "msec": [b"MSEC=1700000000.1"], "msec-sign": [b"MSEC=-1.000"], "msec-x": [b"MSEC=1.0x0"],
        "trace-later": [b"HTTP_TRACEPARENT=" + PARAMS[b"HTTP_TRACEPARENT"].replace(b"00-", b"01-", 1) + b"-x"],
        "trace-more": [b"HTTP_TRACEPARENT=" + PARAMS[b"HTTP_TRACEPARENT"] + b"-x"],
        "trace-ff": [b"HTTP_TRACEPARENT=" + PARAMS[b"HTTP_TRACEPARENT"].replace(b"00-", b"ff-", 1)],
        "trace-zero": [b"HTTP_TRACEPARENT=00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"],
        "trace-dashes": [b"HTTP_TRACEPARENT=" + b"0" * 55],
        "trace-digits": [b"HTTP_TRACEPARENT=0g-" + b"1" * 32 + b"-" + b"1" * 16 + b"-00"],
        "digits": [b"CONTENT_LENGTH=", b"HTTP_X_REQUEST_TIMEOUT_MS=9999999999999999999"], "msec-far": [b"MSEC=1099511627777.000"],
        "id-signs": [b"HTTP_X_REQUEST_ID=abcdefgh/", b"REQUEST_ID=0123456789abcdef0123456789abcde!"],
        "inference": [b"HTTP_INFERENCE_HEADER_CONTENT_LENGTH=12"],
    }  # fmt: skip
    return {"whole": b"\n".join(lines), **{name: b"\n".join(text) for name, text in other.items()}}


def part(headers, content):
    return b"--X\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


FORM = b"multipart/form-data; boundary=X\n"
PICTURE = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg'


def multipart():
    bare = b"Content-Disposition: form-data; name="
    return {
        "one": FORM + part(PICTURE, b"\xff\xd8\xff") + b"--X--\r\n",
        "two-and-an-option": FORM + part(PICTURE, b"a") + part(bare + b"image", b"b")
        + part(bare + b'"top_k"', b"3") + part(bare + b"precision", b"fp32") + b"--X--",
        "preamble": FORM + b"words\r\n" + part(PICTURE, b"a") + b"--X--\r\nwords",
        "empty-part": FORM + b"--X\r\n" + PICTURE + b"\r\n\r\n--X--",
        "quoted-boundary": b'Multipart/Form-Data; x=y; Boundary="X"\n' + part(PICTURE, b"a") + b"--X--",
        "escaped-name": FORM + part(bare + b'"a\\"b\\\\c"; x', b"a") + b"--X--",
        "long-name": FORM + part(bare + b"n" * 200, b"a") + b"--X--",
        "blanks": FORM + b"--X \t\r\n" + PICTURE.replace(b"; ", b" ;\t ") + b"\r\n\r\na\r\n--X--",
        "no-name": FORM + part(b"Content-Disposition: form-data", b"a") + b"--X--",
        "not-form-data": FORM + part(b"Content-Disposition: attachment", b"a") + b"--X--",
        "no-disposition": FORM + part(b"A: b", b"a") + b"--X--",
        "no-colon": FORM + part(b"words", b"a") + b"--X--",
        "no-break": FORM + b"--Xa",
        "ends-in-headers": FORM + b"--X\r\nContent-",
        "ends-in-part": FORM + b"--X\r\n" + PICTURE + b"\r\n\r\nabc",
        "long-header": FORM + part(b"A: " + b"b" * 5000, b"a"),
        "many-headers": FORM + part(b"A: b\r\n" * 20 + PICTURE, b"a"),
        "many-parts": FORM + part(PICTURE, b"a") * 70 + b"--X--",
        "no-boundary": b"multipart/form-data\n",
        "long-boundary": b"multipart/form-data; boundary=" + b"b" * 80 + b"\n",
        "empty-boundary": b'multipart/form-data; boundary=""\n',
        "boundary-without-end": b'multipart/form-data; boundary="X\n',
        "not-there": FORM + b"no boundary at all",
        "name-twice": FORM + part(bare + b"a; name=b", b"a") + b"--X--",
        "name-elsewhere": FORM + part(b'Content-Disposition: form-data; filename="; name=x"', b"a"),
    }  # fmt: skip


def json():
    cases = json_cases.GOOD + json_cases.BAD + [case for case, _ in json_cases.OPEN]
    short = [case for case in cases if len(case) < 4096]
    out = {f"case-{i:03}": case for i, case in enumerate(short)}
    out.update({f"in-array-{i:03}": b"[" + case + b"]" for i, case in enumerate(short)})
    out.update({f"in-object-{i:03}": b'{"a":' + case + b',"b":[1,2]}' for i, case in enumerate(short)})
    out["numbers"] = b"[" + b",".join(b"%d.%de-%d" % (i, i * i, i % 50) for i in range(200)) + b"]"
    out["beyond-float"] = b"[[1,2,1e39],[1e400],[-0.0,1e-46,1e-400],[9223372036854775808]]"
    out["integers"] = b"[[9223372036854775807,-9223372036854775808],[1,2.0]]"
    out["duplicates"] = b'{"a":1,"\\u0061":2,"b":{"c":1,"c":2}}'
    out["long-string"] = b'{"a":"' + b"QUJD" * 200 + b'","b":"' + b"x" * 300 + b'\\n"}'
    out["many-values"] = b"[" + b"[]," * 5000 + b"[]]"
    out["deep"] = b"[" * 63 + b"0" + b"]" * 63
    return out


def base64_seeds():
    texts = {str(n): base64.b64encode(bytes(range(256))[:n]) for n in (0, 1, 2, 3, 4, 50, 255)}
    wrong = {"stray-bits-1": b"AAB=", "stray-bits-2": b"AB==", "three": b"AAA", "url": b"AA-_",
             "break": b"AAAA\r\nAAAA", "early": b"A=AA", "padding": b"====", "only-one": b"A===",
             "nul": b"AAA\0", "later": b"AAAAAA=A", "blank": b"AA A"}  # fmt: skip
    return {**texts, **wrong}


DRAWN = {"records": records, "control_records": records, "request": request,
         "multipart": multipart, "json": json, "base64": base64_seeds}  # fmt: skip
