"""mutants.py: clients that send mutate.py's requests, one connection each, and judge what comes back.

An answer is whole HTTP with a status and a code that this server has for what a stranger may send;
where no answer is owed (the request never ends, nobody waits for it, or where it ends is anybody's
guess) a connection that is closed without one is as good. Never an answer in part.
"""

import collections
import json
import re
import socket
import struct
import time

import mutate
import sources

ANSWER_S = 120  # the longest wait for an answer that is owed, and for the end of a connection
GUESS_S = 0.1  # how long a client waits that cannot know whether an answer will come
NEVER = {"ok", "worker_failed", "internal_error", "input_quarantined", "cancelled", "too_many_requests",
         "overloaded", "draining", "starting", "unavailable", "request_timeout"}  # fmt: skip
EMPTY = {204, 304}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def documented():
    """{(status, code)} of every answer that a request alone can bring about."""
    ours = re.findall(r'^\s*X\([A-Z0-9_]+, (\d+), "(\w+)"\)', sources.read("fcgi/errors.h"), re.MULTILINE)
    table = sources.read("nginx/templates/resnet.conf.template").split("$resnet_error_code {")[1].split("}")[0]
    nginx = re.findall(r"^\s*(\d+)\s+(\w+);", table, re.MULTILINE)
    pairs = {(int(status), code) for status, code in [*ours, *nginx] if code not in NEVER}
    return pairs | {(400, "bad_request")}


class Wrong(Exception):
    """What is wrong with an answer, or with there being none."""


class Exchange:
    """One request, sent as it says, and all that came back. ended: "closed" by the server, "reset",
    or "gone": we were the ones who left. has_left: we said that nothing more would come, and for nginx
    that is to hang up: what it was answering may break off."""

    def __init__(self, port, draft):
        self.draft, self.raw, self.ended, self.has_left = draft, b"", "gone", False
        where = ("127.0.0.1", port + draft.internal)
        with socket.create_connection(where, ANSWER_S) as self.connection:
            try:
                self._send()
                self._receive()
            except (BrokenPipeError, ConnectionResetError):
                self.ended = "reset"
            except TimeoutError:
                raise Wrong(f"neither answer nor end within {ANSWER_S} s") from None

    def _send(self):
        data, n = self.draft.sent, self.draft.pieces
        size = -(-len(data) // n) or 1
        try:
            for at in range(0, len(data), size):
                self.connection.sendall(data[at : at + size])
                if n > 1:
                    time.sleep(0.001)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered before it had read all; the answer may still be there

    def _receive(self):
        if self.draft.ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.draft.ending in ("reset", "leave"):
            return
        if self.draft.ending == "wait" and not self._until_whole():
            return
        self.has_left = True
        try:
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server was first
        while self._more():
            pass

    def _more(self):
        piece = self.connection.recv(65536)
        self.raw += piece
        if not piece:
            self.ended = "closed"
        return piece

    def _until_whole(self):
        """Reads up to the end of the first answer; False: that is the connection's end, too."""
        if not self.draft.owed:
            self.connection.settimeout(GUESS_S)
        try:
            while not is_whole(self.raw, self.draft):
                if not self._more():
                    return False
        except TimeoutError:
            if self.draft.owed:
                raise
        self.connection.settimeout(ANSWER_S)
        return True


# ---- reading answers -----------------------------------------------------------------------------


def split(raw, is_head):
    """(status, {header: value}, body, what follows) of the first answer, or None: not there whole.
    Interim answers are passed over."""
    top, separator, rest = raw.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    if not separator or not re.match(r"HTTP/1\.[01] \d{3} ", lines[0] + " "):
        return None
    status = int(lines[0][9:12])
    if status // 100 == 1:
        return split(rest, is_head)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = headers.get("content-length", "0" if status in EMPTY else "")
    if not length.isdigit():
        raise Wrong(f"no Content-Length: {raw[:400]!r}")
    n = 0 if is_head or status in EMPTY else int(length)
    return (status, headers, rest[:n], rest[n:]) if len(rest) >= n else None


def is_head(draft):
    return draft.sent.lstrip(b"\r\n").startswith(b"HEAD ")


def is_whole(raw, draft):
    return split(raw, is_head(draft)) is not None


def is_bare(data):
    """Whether the request line names no version: then the answer is HTTP/0.9's, a body and nothing else."""
    line = re.split(rb"\r?\n", data.lstrip(b"\r\n"), maxsplit=1)[0]
    return not re.search(rb" HTTP/\d", line)


def judge_body(status, headers, body, draft, known):
    """The answer's outcome: its status, and the code of an error."""
    request_id = headers.get("x-request-id", "")
    if not re.fullmatch(r"[A-Za-z0-9._-]{8,128}", request_id):
        raise Wrong(f"{status} without a request's id: {headers}")
    if request_id.startswith("mutated-") and request_id.encode() not in draft.sent:
        raise Wrong(f"{status} with another request's id: {request_id}")
    if status in EMPTY or (not body and (is_head(draft) or b"HEAD " in draft.behind)):
        return str(status)
    is_json = headers.get("content-type", "").startswith("application/json")
    if status == 200:
        if is_json:
            json.loads(body)
        return "200"
    error = json.loads(body) if is_json else {}
    code = error.get("code")
    if (status, code) not in known or error.get("success") is not False or len(error.get("error", "")) < 10:
        raise Wrong(f"{status} {code} is no answer to this: {body[:400]!r}")
    if error.get("request_id") != request_id:
        raise Wrong(f"{status} {code}: one id in the header, another in the body: {body[:400]!r}")
    if code == "deadline_exceeded" and b"timeout" not in draft.sent.lower():
        raise Wrong("504 deadline_exceeded for a request that did not shorten its time")
    return f"{status} {code}"


def judge(exchange, known):
    """The outcome of a request in a few words; Wrong says why it is none that may be."""
    draft, raw = exchange.draft, exchange.raw
    if is_bare(draft.sent) and raw and not raw.startswith(b"HTTP/1."):
        return "HTTP/0.9"
    outcomes, first = [], is_head(draft)
    try:
        while raw and raw != CONTINUE:
            found = split(raw, first)
            if not found and draft.behind and outcomes:  # answers to whatever came behind the request
                found = split(raw, b"HEAD " in draft.behind)
                if not found and not raw.startswith(b"HTTP/1."):
                    break  # HTTP/0.9's
            if not found and exchange.has_left:
                outcomes.append("broken off, as we left")
                break
            if not found:
                raise Wrong(f"an answer in part, {len(raw)} bytes: {raw[:400]!r}")
            *answer, raw = found
            outcomes.append(judge_body(*answer, draft, known))
            first = False
    except ValueError as error:
        raise Wrong(f"no JSON ({error}): {exchange.raw[:600]!r}") from error
    if draft.owed and not outcomes:
        raise Wrong(f"no answer, and the connection is {exchange.ended}")
    return outcomes[0] if outcomes else f"no answer, {exchange.ended}"


# ---- many of them --------------------------------------------------------------------------------


class Tally:
    """What was sent, by dialect and by mutation; what came back; what of it was wrong, in words."""

    def __init__(self):
        self.dialects, self.mutations = collections.Counter(), collections.Counter()
        self.outcomes, self.wrong = collections.Counter(), []

    def add(self, other):
        self.dialects += other.dialects
        self.mutations += other.mutations
        self.outcomes += other.outcomes
        self.wrong += other.wrong


def send(port, seed, numbers, known):
    """These requests, one after the other."""
    tally = Tally()
    for number in numbers:
        draft = mutate.request(seed, number)
        tally.dialects[draft.dialect] += 1
        tally.mutations.update(draft.how or ["none"])
        try:
            outcome = judge(Exchange(port, draft), known)
        except (Wrong, OSError) as error:
            outcome = "wrong"
            tally.wrong.append(
                f"mutate.py {seed} {number} ({draft.dialect}: {', '.join(draft.how)}): "
                f"{type(error).__name__}: {error}; sent: {draft.sent[:300]!r}"
            )
        tally.outcomes[outcome] += 1
    return tally
