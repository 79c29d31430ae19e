"""kserve_client.py: a client for the Open Inference Protocol (version 2), in the manner of KServe's
and Triton's, written from the protocol's text over http.client: it knows the server only by it.

    with Client("127.0.0.1", port) as client:
        image = Input("image", [1], "BYTES").binary([jpeg])
        result = client.infer("resnet50", [image], [Output("probabilities", binary=True)])
        result.values("probabilities")      # a flat list
"""

import base64
import http.client
import json
import struct

TIMEOUT_S = 150
LENGTH_HEADER = "Inference-Header-Content-Length"


class Refused(Exception):
    """An answer other than 200; the protocol wants an object with a string `error`."""

    def __init__(self, status, body, headers):
        self.status, self.headers = status, headers
        self.body = json.loads(body)
        self.error = self.body["error"]
        if not isinstance(self.error, str):
            raise ValueError(f"error is no string: {body!r}")
        super().__init__(f"{status}: {self.error}")


class Input:
    def __init__(self, name, shape, datatype, parameters=None):
        self.tensor = {"name": name, "shape": list(shape), "datatype": datatype}
        self.parameters = dict(parameters or {})
        self.raw = None

    def data(self, values):
        """As JSON: numbers, nested or flat; strings for BYTES (bytes become base64)."""
        self.tensor["data"] = as_json(values)
        return self

    def binary(self, values):
        """Behind the JSON: floats little-endian, each element of BYTES after its length."""
        if self.tensor["datatype"] == "BYTES":
            self.raw = b"".join(struct.pack("<I", len(v)) + v for v in values)
        else:
            self.raw = struct.pack(f"<{len(values)}f", *values)
        return self

    def raw_bytes(self, raw):
        self.raw = raw
        return self

    def json(self):
        parameters = dict(self.parameters)
        if self.raw is not None:
            parameters["binary_data_size"] = len(self.raw)
        return {**self.tensor, **({"parameters": parameters} if parameters else {})}


class Output:
    def __init__(self, name, binary=None, classes=None, **parameters):
        self.parameters = dict(parameters)
        if binary is not None:
            self.parameters["binary_data"] = binary
        if classes is not None:
            self.parameters["classification"] = classes
        self.name = name

    def json(self):
        return {"name": self.name, **({"parameters": self.parameters} if self.parameters else {})}


class Result:
    """header: the JSON part; rest: the bytes behind it."""

    def __init__(self, header, rest, headers):
        self.header, self.headers = header, headers
        self.raw, at = {}, 0
        for output in header["outputs"]:
            n = output.get("parameters", {}).get("binary_data_size")
            if n is not None:
                self.raw[output["name"]] = rest[at : at + n]
                at += n
        if at != len(rest):
            raise ValueError(f"{at} bytes of binary tensors announced, {len(rest)} came")

    def output(self, name):
        return next(o for o in self.header["outputs"] if o["name"] == name)

    def values(self, name):
        """The tensor as a flat list, however it came."""
        output = self.output(name)
        if name not in self.raw:
            found = output["data"]
        elif output["datatype"] == "BYTES":
            found = list(elements(self.raw[name]))
        else:
            found = list(struct.unpack(f"<{len(self.raw[name]) // 4}f", self.raw[name]))
        if len(found) != product(output["shape"]):
            raise ValueError(f"{name}: {len(found)} values for the shape {output['shape']}")
        return found


def product(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def elements(raw):
    """The strings of a BYTES tensor."""
    at = 0
    while at < len(raw):
        (n,) = struct.unpack_from("<I", raw, at)
        yield raw[at + 4 : at + 4 + n].decode()
        at += 4 + n


def as_json(values):
    if isinstance(values, bytes):
        return base64.b64encode(values).decode()
    return [as_json(v) for v in values] if isinstance(values, (list, tuple)) else values


class Client:
    def __init__(self, host, port, timeout_s=TIMEOUT_S):
        self.connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def exchange(self, method, path, body=None, headers=None):
        """(status, body, {header: value}), header names in lower case."""
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}

    def call(self, method, path, body=None, headers=None):
        status, answer, found = self.exchange(method, path, body, headers)
        if status != 200:
            raise Refused(status, answer, found)
        return answer, found

    def get(self, path):
        return json.loads(self.call("GET", path)[0])

    # ---- server and model ------------------------------------------------------------------
    def yes(self, path):
        """Readiness is a status; the body is an implementation's own."""
        return self.exchange("GET", path)[0] == 200

    def is_live(self):
        return self.yes("/v2/health/live")

    def is_ready(self):
        return self.yes("/v2/health/ready")

    def server(self):
        return self.get("/v2")

    def is_model_ready(self, model, version=None):
        return self.yes(self.path(model, version) + "/ready")

    def model(self, model, version=None):
        return self.get(self.path(model, version))

    def config(self, model, version=None):
        return self.get(self.path(model, version) + "/config")

    def stats(self, model=None, version=None):
        return self.get((self.path(model, version) if model else "/v2/models") + "/stats")

    def repository(self, **request):
        body = json.dumps(request) if request else ""
        return json.loads(self.call("POST", "/v2/repository/index", body)[0])

    @staticmethod
    def path(model, version=None):
        return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")

    # ---- inference -------------------------------------------------------------------------
    def infer(self, model, inputs, outputs=None, version=None, request_id=None, parameters=None,
              headers=None):  # fmt: skip
        body, more = compose(inputs, outputs, request_id, parameters)
        path = self.path(model, version) + "/infer"
        answer, found = self.call("POST", path, body, {**more, **(headers or {})})
        return parse(answer, found)


def compose(inputs, outputs=None, request_id=None, parameters=None):
    """The body of an inference request, and its headers."""
    request = {"inputs": [i.json() for i in inputs]}
    if request_id is not None:
        request["id"] = request_id
    if outputs is not None:
        request["outputs"] = [o.json() for o in outputs]
    if parameters:
        request["parameters"] = parameters
    header = json.dumps(request).encode()
    raw = b"".join(i.raw for i in inputs if i.raw is not None)
    if not any(i.raw is not None for i in inputs):
        return header, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(header))}
    return header + raw, headers


def parse(answer, headers):
    length = headers.get(LENGTH_HEADER.lower())
    n = len(answer) if length is None else int(length)
    return Result(json.loads(answer[:n]), answer[n:], headers)
