#!/usr/bin/env python3
"""fake_worker.py: stands in for resnet-fcgi where only the supervisor is tested. It keeps the
supervisor's protocol (spawn/README.md) and loads nothing. $FAKE_DIR/mode says how it behaves:

ok                 serves
config, fail       cannot start: a sentence on the readiness pipe, then exit 78 or 1
hang               never becomes ready
slow SECONDS       becomes ready late
crash SECONDS      becomes ready, then ends with SIGSEGV
leave SECONDS      becomes ready, then ends with 0

/sleep/SECONDS is answered after that long, and so are /burn/SECONDS (of CPU time, without a tick)
and /tick/SECONDS (with one every 20 ms); /until/NAME is, once $FAKE_DIR/NAME is there; /crash ends
with SIGSEGV; /flood/N writes N lines to the log. The answer's body says who answered.
"""

import argparse
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time

IDLE, BUSY, DRAINING = 2, 3, 4
# in struct fcgi_board_worker; tests/unit/fcgi-scoreboard.c has them, too
STATE_AT, TICKS_AT, IDS_AT, STAGE_AT, ACCEPTED_AT, DEADLINE_AT, ATTEMPTS_AT = (
    16, 32, 48, 348, 360, 376, 456,
)  # fmt: skip
INFER, LAYER = 4, 7
POLLRDHUP = 0x2000
EXIT_CONFIG = 78


def read_exactly(connection, n):
    data = b""
    while len(data) < n:
        piece = connection.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_request(connection):
    """(id, {name: value}, bytes of STDIN)"""
    params, stdin = b"", 0
    while True:
        _, kind, request_id, n, padding = struct.unpack(">BBHHBx", read_exactly(connection, 8))
        content = read_exactly(connection, n + padding)[:n]
        if kind == 4:
            params += content
        if kind == 5:
            stdin += n
            if n == 0:
                return request_id, parse(params), stdin


def parse(params):
    pairs, at = {}, 0
    while at < len(params):
        lengths = []
        for _ in range(2):
            if params[at] & 0x80:
                lengths.append(struct.unpack_from(">I", params, at)[0] & 0x7FFFFFFF)
                at += 4
            else:
                lengths.append(params[at])
                at += 1
        name, value = params[at : at + lengths[0]], params[at + lengths[0] : at + sum(lengths)]
        pairs[name.decode()] = value.decode()
        at += sum(lengths)
    return pairs


def record(kind, request_id, content):
    return struct.pack(">BBHHBx", 1, kind, request_id, len(content), 0) + content


def crash():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def obey(path, worker):
    _, command, rest = (path + "//").split("/", 2)
    rest = rest.strip("/")
    if command == "crash":
        crash()
    elif command == "sleep":
        time.sleep(float(rest))
    elif command == "until":
        while not os.path.exists(os.path.join(os.environ["FAKE_DIR"], rest)):
            time.sleep(0.01)
    elif command == "burn":
        end = time.process_time() + float(rest)
        while time.process_time() < end:
            pass
    elif command == "tick":
        end = time.monotonic() + float(rest)
        while time.monotonic() < end:
            worker.add(TICKS_AT, 1)
            time.sleep(0.02)
    elif command == "flood":
        for i in range(int(rest)):
            os.write(2, f"event=flood who={worker.who} i={i}\n".encode())


def serve(connection, worker):
    request_id, params, stdin = read_request(connection)
    nginx_id = params.get("REQUEST_ID", "")
    worker.begin(params.get("HTTP_X_REQUEST_ID", nginx_id or "fake"), nginx_id)
    obey(params.get("DOCUMENT_URI", "/"), worker)
    who = worker.who
    body = f"{who} {stdin}\n".encode()
    head = f"Status: 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answer = record(6, request_id, head + body) + record(6, request_id, b"")
    connection.sendall(answer + record(3, request_id, bytes(8)))


class Worker:
    def __init__(self, options):
        self.who = f"{options.slot}.{options.generation}.{os.getpid()}"
        self.page = mmap.mmap(options.board_fd, 8192)
        self.busy_fd = options.busy_fd
        self.leave_now = self.leave_when_empty = False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "leave_now", True))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(self, "leave_when_empty", True))
        read_fd, write_fd = os.pipe()
        for fd in (read_fd, write_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_fd)
        self.wake_fd = read_fd
        self.listener = socket.socket(fileno=0)
        self.listener.setblocking(False)

    def state(self, state):
        struct.pack_into("=I", self.page, STATE_AT, state)

    def add(self, at, n):
        struct.pack_into("=Q", self.page, at, struct.unpack_from("=Q", self.page, at)[0] + n)

    def begin(self, request_id, nginx_id):
        now_ns = time.monotonic_ns()
        budget_ns = int(os.environ["RESNET_REQUEST_TIMEOUT"].removesuffix("ms")) * 1000000
        struct.pack_into("=129s33s", self.page, IDS_AT, request_id.encode(), nginx_id.encode())
        struct.pack_into("=Ii", self.page, STAGE_AT, INFER, LAYER)
        struct.pack_into("=Q", self.page, ACCEPTED_AT, now_ns)
        struct.pack_into("=Q", self.page, DEADLINE_AT, now_ns + budget_ns)
        self.add(ATTEMPTS_AT, 1)
        self.state(BUSY)
        os.write(self.busy_fd, struct.pack("=Q", 1))

    def loop(self, end=None):
        poll = select.poll()
        poll.register(0, select.POLLIN | POLLRDHUP)
        poll.register(self.wake_fd, select.POLLIN)
        self.state(IDLE)
        while not self.leave_now and (end is None or time.monotonic() < end):
            wait = None if end is None else max(0, end - time.monotonic()) * 1000
            events = dict(poll.poll(0 if self.leave_when_empty else wait))
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                if self.leave_when_empty or events.get(0, 0) & POLLRDHUP:
                    return
                if self.wake_fd in events:
                    os.read(self.wake_fd, 64)
                continue
            connection.setblocking(True)
            with connection:
                try:
                    serve(connection, self)
                except (EOFError, OSError):
                    pass
            self.state(IDLE)
        self.state(DRAINING)


def main():
    if "--test" in sys.argv:
        print("model good")
        sys.exit(0)
    parser = argparse.ArgumentParser()
    for name in ("slot", "generation", "ready-fd", "board-fd", "busy-fd", "deaths-fd",
                 "crew-fd"):
        parser.add_argument("--" + name, type=int, required=True)
    options, _ = parser.parse_known_args()
    with open(os.environ["FAKE_DIR"] + "/mode", encoding="ascii") as file:
        mode, *rest = file.read().split()
    seconds = float(rest[0]) if rest else 0
    if mode in ("config", "fail"):
        os.write(options.ready_fd, b"the fake worker does not want to start")
        sys.exit(EXIT_CONFIG if mode == "config" else 1)
    if mode == "hang":
        signal.pause()
    if mode == "slow":
        time.sleep(seconds)
    worker = Worker(options)
    worker.state(IDLE)  # before the byte, as a real one
    os.write(options.ready_fd, b"\n")
    os.close(options.ready_fd)
    worker.loop(time.monotonic() + seconds if mode in ("crash", "leave") else None)
    if mode == "crash":
        crash()


if __name__ == "__main__":
    main()
