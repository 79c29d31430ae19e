"""web.py: an HTTP client on a raw socket, one connection a request, that believes nothing: an
answer shorter or longer than its Content-Length is an error, and nothing is ever retried."""

import json
import socket

TIMEOUT_S = 150  # longer than a request's whole budget: the server gives up first


class Broken(Exception):
    """No answer, or not a whole one."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return next((v for k, v in self.headers if k == name.lower()), None)

    def json(self):
        return json.loads(self.body)

    def code(self):
        """The error code of our JSON, or None when the body is anything else."""
        try:
            return self.json().get("code")
        except (ValueError, AttributeError):
            return None

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:400]!r}"


def read_all(connection):
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def parse(raw, head=False):
    """raw: all bytes up to the end of the connection."""
    top, separator, body = raw.partition(b"\r\n\r\n")
    if not separator:
        raise Broken(f"no whole header in {len(raw)} bytes: {raw[:200]!r}")
    lines = top.decode("latin-1").split("\r\n")
    version, _, status = lines[0].partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdigit():
        raise Broken(f"no status line: {lines[0]!r}")
    headers = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines[1:])]
    answer = Answer(int(status[:3]), headers, body)
    length = answer.header("content-length")
    if length is None and answer.status == 204:  # which has no body, and must not name its length
        length = 0
    if length is None:
        raise Broken(f"no Content-Length: {answer}")
    if len(body) != (0 if head else int(length)):
        raise Broken(f"{len(body)} bytes where Content-Length says {length}: {answer}")
    return answer


def exchange(address, data, head=False, timeout_s=TIMEOUT_S):
    """Sends the bytes as they are, and reads the one answer. address: port, or (host, port)."""
    where = ("127.0.0.1", address) if isinstance(address, int) else address
    try:
        with socket.create_connection(where, timeout_s) as connection:
            try:
                connection.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered before it had read all; the answer may still be there
            return parse(read_all(connection), head)
    except OSError as error:
        raise Broken(f"{type(error).__name__}: {error}") from error


def compose(method, path, body=None, headers=None, connection="close"):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Connection: {connection}"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def request(address, method, path, body=None, headers=None, timeout_s=TIMEOUT_S):
    data = compose(method, path, body, headers)
    return exchange(address, data, head=method == "HEAD", timeout_s=timeout_s)


class ClosedBetween(Broken):
    """A kept connection was closed before any byte of the answer: HTTP's own race, in which a
    client cannot know whether its request was seen."""


class Kept:
    """One connection for many requests, opened again only when the server has closed it."""

    def __init__(self, port, timeout_s=TIMEOUT_S):
        self.port, self.timeout_s = port, timeout_s
        self.connection, self.used = None, False

    def request(self, method, path, body=None, headers=None):
        data = compose(method, path, body, headers, "keep-alive")
        try:
            if not self.connection:
                where = ("127.0.0.1", self.port)
                self.connection, self.used = socket.create_connection(where, self.timeout_s), False
            answer = self._exchange(data)
        except OSError as error:
            self.close()
            raise Broken(f"{type(error).__name__}: {error}") from error
        except Broken:
            self.close()
            raise
        self.used = True
        if answer.header("connection") == "close":
            self.close()
        return answer

    def _exchange(self, data):
        raw, whole = b"", None
        try:
            self.connection.sendall(data)
            while whole is None or len(raw) < whole:
                piece = self.connection.recv(65536)
                if not piece:
                    break
                raw += piece
                whole = whole or length_of(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if not raw and self.used:
            raise ClosedBetween("closed between two requests")
        return parse(raw)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def length_of(raw):
    """Bytes of the whole answer that begins with raw, or None as long as they are not known."""
    top, separator, _ = raw.partition(b"\r\n\r\n")
    for line in top.lower().split(b"\r\n") if separator else ():
        if line.startswith(b"content-length:"):
            return len(top) + 4 + int(line[15:])
    return None


def multipart(parts, boundary="----resnet-test-boundary"):
    """parts: (name, filename or None, type or None, bytes). Returns (body, Content-Type)."""
    body = b""
    for name, filename, kind, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{filename}"'.encode() if filename else b""
        body += f"\r\nContent-Type: {kind}".encode() if kind else b""
        body += b"\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
