"""web.py: an HTTP client on a raw socket, one connection a request, that believes nothing: an
answer shorter or longer than its Content-Length is an error, and nothing is ever retried."""

import json
import socket

TIMEOUT_S = 60


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


def request(address, method, path, body=None, headers=None, timeout_s=TIMEOUT_S):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
    return exchange(address, data, head=method == "HEAD", timeout_s=timeout_s)


def multipart(parts, boundary="----resnet-test-boundary"):
    """parts: (name, filename or None, type or None, bytes). Returns (body, Content-Type)."""
    body = b""
    for name, filename, kind, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{filename}"'.encode() if filename else b""
        body += f"\r\nContent-Type: {kind}".encode() if kind else b""
        body += b"\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
