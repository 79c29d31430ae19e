"""wire.py: a FastCGI exchange as nginx has it, recorded between nginx and a socket of ours, and what
can be done to it: cut, changed, put in another order.

A mutation is a pair of a name and the bytes. Each maker yields them in an order that is the same
every time."""

import contextlib
import os
import random
import re
import socket
import struct
import threading
import time

import fcgi_client as fcgi
import service

HEADER_BYTES = 8


class Recorder:
    """Stands between nginx and the socket at `path` while the block lasts: .sent has what nginx sent
    on the last connection, .answered what came back. refuses: nobody is there, as nginx sees it."""

    def __init__(self, path, refuses=False):
        self.path, self.real, self.refuses = path, path + ".real", refuses
        self.sent, self.answered, self.listener, self.thread = b"", b"", None, None

    def __enter__(self):
        os.rename(self.path, self.real)
        if not self.refuses:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(16)
            self.listener.settimeout(fcgi.SECONDS)
            self.thread = threading.Thread(target=self._serve, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.thread:
            self.thread.join(fcgi.SECONDS)
            self.listener.close()
            os.unlink(self.path)
        os.rename(self.real, self.path)

    def _serve(self):
        """One connection: nginx says all that it has to say, then reads."""
        with contextlib.suppress(OSError):
            peer, _ = self.listener.accept()
            with peer, fcgi.connect(self.real) as backend:
                peer.settimeout(fcgi.SECONDS)
                sent = b""
                while not is_whole(sent) and (got := peer.recv(1 << 16)):
                    sent += got
                backend.sendall(sent)
                self.answered = fcgi.read_to_end(backend)
                peer.sendall(self.answered)
                self.sent = sent


def records(wire):
    """The whole records of a connection, each its bytes; what is left is the last."""
    found, at = [], 0
    while len(wire) - at >= HEADER_BYTES:
        n, padding = struct.unpack(">HB", wire[at + 4 : at + 7])
        end = at + HEADER_BYTES + n + padding
        if end > len(wire):
            break
        found.append(wire[at:end])
        at = end
    return found + ([wire[at:]] if at < len(wire) else [])


def kind(record):
    return record[1]


def content(record):
    return record[HEADER_BYTES : HEADER_BYTES + struct.unpack(">H", record[4:6])[0]]


def is_whole(wire):
    """Whether STDIN has come to its end."""
    return any(kind(r) == fcgi.STDIN and not content(r) and len(r) >= HEADER_BYTES for r in records(wire))


def fresh(wire):
    """The same with the time of now, where it has one: a request grows old."""
    return re.sub(rb"MSEC\d{10}\.\d{3}", lambda _: b"MSEC%.3f" % time.time(), wire)


def in_records(wire, most, kinds=(fcgi.PARAMS, fcgi.STDIN)):
    """The same request with records of so many bytes of content at most, and no padding."""
    out = b""
    for record in records(wire):
        data, id_ = content(record), struct.unpack(">H", record[2:4])[0]
        parts = [data[i : i + most] for i in range(0, len(data), most)]
        parts = parts if parts and kind(record) in kinds else [data]
        out += b"".join(fcgi.record(kind(record), part, id_) for part in parts)
    return out


# ---- mutations ------------------------------------------------------------------------------------


def with_header(record, version=None, type_=None, id_=None, n=None, padding=None, reserved=None):
    fields = list(struct.unpack(">BBHHBB", record[:HEADER_BYTES]))
    for i, value in enumerate((version, type_, id_, n, padding, reserved)):
        fields[i] = fields[i] if value is None else value
    return struct.pack(">BBHHBB", *fields) + record[HEADER_BYTES:]


def put(parts, i, *new):
    """The records with the i-th replaced by what is given."""
    return b"".join([*parts[:i], *new, *parts[i + 1 :]])


def cuts(wire, body_stride):
    """Ends of what is sent: each byte of the head and of records' headers, and some of the bodies."""
    at, ends = 0, set()
    for record in records(wire):
        step = 1 if kind(record) != fcgi.STDIN else body_stride
        ends.update(range(at, at + min(HEADER_BYTES + 1, len(record))))
        ends.update(range(at, at + len(record), step))
        at += len(record)
    return [(f"cut at {end}", wire[:end]) for end in sorted(ends)]


def harmless(wire):
    """What changes nothing of the request: (name, pieces to be sent one by one)."""
    parts, rng = records(wire), random.Random(7)
    for i, record in enumerate(parts):
        for n in (1, 7, 255):
            bare = with_header(record[: HEADER_BYTES + len(content(record))], padding=n)
            yield f"record {i}: {n} bytes of rubbish behind it", [put(parts, i, bare + rng.randbytes(n))]
        yield f"record {i}: the reserved byte", [put(parts, i, with_header(record, reserved=255))]
    for most in (1, 2, 3, 8, 61, 1000):
        yield f"records of {most} bytes", [in_records(wire, most)]
    yield "record by record", parts
    yield "in small pieces", [wire[i : i + 16] for i in range(0, len(wire), 16)]
    for i in range(8):
        ends = sorted(rng.sample(range(1, len(wire)), 20))
        yield f"in pieces {i}", [wire[a:b] for a, b in zip([0, *ends], [*ends, len(wire)])]


def headers_changed(wire, all_types):
    """One field of one record. The last record's own padding is never missed: nobody reads on."""
    parts = records(wire)
    for i, record in enumerate(parts):
        n, last = len(content(record)), i == len(parts) - 1
        types = range(256) if i in all_types else (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 255)
        for value in types:
            if value != kind(record):
                yield f"record {i}: type {value}", put(parts, i, with_header(record, type_=value))
        for value in (0, 2, 128, 255):
            yield f"record {i}: version {value}", put(parts, i, with_header(record, version=value))
        for value in (0, 2, 256, 65535):
            yield f"record {i}: id {value}", put(parts, i, with_header(record, id_=value))
        for value in {0, n - 1, n + 1, 65535} - {-1, n}:
            yield f"record {i}: length {value}", put(parts, i, with_header(record, n=value))
        for value in () if last else (1, 9, 255):
            if value != record[6]:
                yield f"record {i}: padding {value}", put(parts, i, with_header(record, padding=value))


def inserted(wire):
    """A record that does not belong there, at each boundary but the end."""
    names = b"".join(b"\x0e\x00FCGI_MAX_CONNS" for _ in range(8))
    more = {
        "empty PARAMS": fcgi.record(fcgi.PARAMS),
        "empty STDIN": fcgi.record(fcgi.STDIN),
        "BEGIN": fcgi.begin(),
        "BEGIN of another": fcgi.begin(request_id=2),
        "ABORT": fcgi.record(fcgi.ABORT),
        "DATA": fcgi.record(8, b"x" * 9),
        "empty DATA": fcgi.record(8),
        "GET_VALUES": fcgi.record(fcgi.GET_VALUES, names, 0),
        "an unknown type": fcgi.record(99, b"x", 0),
        "END": fcgi.record(fcgi.END, bytes(8)),
        "STDOUT": fcgi.record(fcgi.STDOUT, b"Status: 200 OK\r\n\r\n"),
    }
    parts = records(wire)
    for i, part in enumerate(parts):
        for name, record in more.items():
            if kind(record) != kind(part) or content(part) or i == 0:
                yield f"{name} before record {i}", put(parts, i, record, part)


def reordered(wire):
    """Neighbours swapped, and records left out."""
    parts = records(wire)
    for i in range(len(parts) - 1):
        if kind(parts[i]) != kind(parts[i + 1]) or not content(parts[i + 1]):
            yield f"records {i} and {i + 1} swapped", b"".join(swapped(parts, i))
        if i and (kind(parts[i]) != fcgi.PARAMS or not content(parts[i])):
            yield f"record {i} left out", put(parts, i)


def swapped(parts, i):
    return [*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]]


def mutated(wire, seed):
    """Some random harm; the same for the same seed."""
    rng, data = random.Random(seed), bytearray(wire)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, n = rng.randrange(len(data) or 1), rng.choice((1, 2, 8, 40, 300))
        what = rng.randrange(6)
        if what == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1 and data:
            data[at] = rng.choice((0, 1, 127, 128, 255))
        elif what == 2:
            del data[at : at + n]
        elif what == 3:
            data[at:at] = rng.randbytes(n)
        elif what == 4:
            data[at:at] = data[at : at + n]
        else:
            del data[at:]
    return bytes(data)


# ---- sending --------------------------------------------------------------------------------------


def connect(path):
    """Waits while the queue is full."""

    def connected():
        with contextlib.suppress(BlockingIOError):
            return fcgi.connect(path)

    return service.until(connected, fcgi.SECONDS, "a place in the queue")


def send(peer, pieces):
    """Whether all was taken; who is refused may be left before the end."""
    try:
        for piece in pieces:
            peer.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def outcome(peer):
    """The status of a whole answer, None after a close without one, "broken" for anything else."""
    peer.settimeout(fcgi.SECONDS)
    try:
        got = fcgi.read_to_end(peer)
    except fcgi.Broken as error:
        got = error.got
    except socket.timeout:
        return "no close"
    if not got:
        return None
    try:
        return fcgi.Answer(got).status
    except (fcgi.Broken, ValueError, KeyError, struct.error):
        return "broken"


def hang_in_the_air(path, wire):
    """Sends it, leaves, and looks for no answer."""
    with connect(path) as peer:
        send(peer, [fresh(wire)])


def tell(path, wires):
    """Sends each on a connection of its own, and that nothing follows. Their outcomes."""
    peers = [connect(path) for _ in wires]
    for peer, wire in zip(peers, wires):
        if send(peer, [fresh(wire)]):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_WR)
    found = []
    for peer in peers:
        with peer:
            found.append(outcome(peer))
    return found


def tell_in_pieces(path, pieces, pause_s=0.0):
    """Sends them one by one, and keeps the connection. The outcome."""
    with connect(path) as peer:
        for piece in pieces:
            send(peer, [fresh(piece)])
            time.sleep(pause_s)
        return outcome(peer)


def several(makers, most):
    """At most so many of them, evenly spread."""
    all_of_them = list(makers)
    step = max(1, len(all_of_them) / most)
    return [all_of_them[int(i * step)] for i in range(min(most, len(all_of_them)))]
