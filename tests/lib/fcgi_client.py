"""fcgi_client.py: FastCGI spoken byte by byte over a unix socket, so that a test can also speak it
wrongly, slowly, or not at all."""

import json
import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, GET_VALUES = 1, 2, 3, 4, 5, 6, 7, 9
KEEP_CONN = 1
SECONDS = 150  # longer than a request's whole budget; no wait in a test is longer


def record(kind, content=b"", request_id=1):
    return struct.pack(">BBHHBB", 1, kind, request_id, len(content), 0, 0) + content


def stream(kind, content, chunk=65535):
    """A stream's records and the empty one that ends it."""
    parts = [record(kind, content[i : i + chunk]) for i in range(0, len(content), chunk)]
    return b"".join(parts) + record(kind)


def length(n):
    return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)


def pairs(params):
    out = b""
    for name, value in params.items():
        name, value = name.encode(), str(value).encode()
        out += length(len(name)) + length(len(value)) + name + value
    return out


def begin(flags=0, role=1, request_id=1):
    return record(BEGIN, struct.pack(">HB5x", role, flags), request_id)


def predict_params(body=b"", **more):
    """What nginx says of POST /predict; None takes a parameter away."""
    params = {
        "REQUEST_METHOD": "POST",
        "DOCUMENT_URI": "/predict",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "image/jpeg",
        "CONTENT_LENGTH": len(body),
        **more,
    }
    return {name: value for name, value in params.items() if value is not None}


def request(body=b"", flags=0, **more):
    """All bytes of one request."""
    params = predict_params(body, **more)
    return begin(flags) + stream(PARAMS, pairs(params)) + stream(STDIN, body)


class Broken(Exception):
    """The answer is not whole: .got has what came."""

    def __init__(self, text, got):
        super().__init__(f"{text}; got {got[:200]!r}")
        self.got = got


class Answer:
    def __init__(self, wire):
        """wire: every byte until the peer closed. Raises Broken unless that is one whole answer."""
        self.wire, self.stdout, ended, at = wire, b"", False, 0
        while at < len(wire) and not ended:
            if len(wire) - at < 8:
                raise Broken("a record's header is cut", wire)
            _, kind, _, n, padding = struct.unpack(">BBHHBx", wire[at : at + 8])
            if len(wire) - at < 8 + n + padding:
                raise Broken("a record is cut", wire)
            if kind == STDOUT:
                self.stdout += wire[at + 8 : at + 8 + n]
            ended = kind == END
            at += 8 + n + padding
        if not ended:
            raise Broken("no END_REQUEST", wire)
        head, _, self.body = self.stdout.partition(b"\r\n\r\n")
        self.headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.status = int(self.headers["Status"].split()[0])
        if int(self.headers["Content-Length"]) != len(self.body):
            raise Broken("Content-Length is not the body's length", wire)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json.get("code")


def connect(path, seconds=SECONDS):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(seconds)
    peer.connect(path)
    return peer


def read_to_end(peer):
    """Bytes until the peer closes, or resets the connection: then Broken."""
    wire = b""
    while True:
        try:
            got = peer.recv(1 << 16)
        except ConnectionResetError as error:
            raise Broken("connection reset", wire) from error
        if not got:
            return wire
        wire += got


def exchange(path, wire, seconds=SECONDS):
    """Sends wire whole, reads to the end."""
    with connect(path, seconds) as peer:
        peer.sendall(wire)
        return Answer(read_to_end(peer))


def predict(path, body, seconds=SECONDS, **more):
    return exchange(path, request(body, **more), seconds)
