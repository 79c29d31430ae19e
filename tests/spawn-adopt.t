#!/usr/bin/env python3
"""A listening socket that is handed over: descriptor 0 (spawn-fcgi -n) and LISTEN_FDS (systemd)."""

import os
import shutil
import signal
import socket

import tap
from supervisor import Supervisor, receive, send, wait_for


def listener(s):
    listening = socket.socket(socket.AF_UNIX)
    path = os.path.join(s.directory, "adopted.sock")
    listening.bind(path)
    listening.listen(64)
    return listening, path


def ask(path, what="/"):
    return send(path, {"DOCUMENT_URI": what})


def taken(s):
    """Waits until the queue is empty: unlike that a worker is busy, that stays true."""
    wait_for(lambda: s.status()["queue"]["depth"] == 0, "the requests to be taken")


def start_activated(s, listening):
    """LISTEN_PID is the supervisor's own: the shell becomes it."""
    before = ["sh", "-c", 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"']
    s.start(before=before, stdin=listening)


def descriptor_0():
    with Supervisor(start=False) as s:
        listening, path = listener(s)
        early = ask(path)
        s.start(stdin=listening)
        listening.close()
        s.until()
        tap.equal(receive(early)[0], 200, "what was queued before the start is answered")
        tap.equal(sorted(n for n in os.listdir(s.run_dir) if n.endswith(".sock")),
                  ["ctl.sock", "shed.sock"], "no work.sock of its own")  # fmt: skip
        held = [ask(path, "/sleep/3") for _ in range(2)]
        taken(s)
        held += [ask(path, "/sleep/0.1") for _ in range(4)]
        s.signal(signal.SIGTERM)
        tap.equal([receive(c)[0] for c in held], [200] * 6, "TERM: the queue is served to its end")
        tap.equal(s.wait(), 0, "exit code 0")
        tap.ok(os.path.exists(path), "the socket is not unlinked")


def reload_keeps_it():
    with Supervisor(start=False) as s:
        listening, path = listener(s)
        s.start(stdin=listening)
        s.until()
        tap.equal(s.run("resnet-ctl", "reload").returncode, 0, "reload")
        tap.equal(receive(ask(path))[0], 200, "the new workers serve the adopted socket")
        listening.close()


def listen_fds():
    with Supervisor(workers=1, start=False) as s:
        listening, path = listener(s)
        start_activated(s, listening)
        s.until()
        first = ask(path, "/sleep/3")
        taken(s)
        queued = ask(path)
        s.signal(signal.SIGTERM)
        tap.equal(receive(first)[0], 200, "LISTEN_FDS: TERM finishes the present request")
        tap.equal(s.wait(), 0, "exit code 0")
        late = ask(path)
        start_activated(s, listening)
        s.until()
        tap.equal([receive(queued)[0], receive(late)[0]], [200, 200],
                  "what was still queued, and what came meanwhile, is the next one's")  # fmt: skip
        listening.close()


def what_cannot_be_adopted():
    with Supervisor(start=False) as s:
        tcp = socket.create_server(("127.0.0.1", 0))
        s.start(stdin=tcp)
        tap.equal(s.wait(), 78, "a TCP socket: 78")
        tap.ok("TCP" in s.log(), "with a sentence", s.log)
        tcp.close()
        listening, _ = listener(s)
        s.start(before=["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" "$@"'], stdin=listening)
        tap.equal(s.wait(), 78, "two sockets: 78")
        listening.close()


def spawn_fcgi():
    program = shutil.which("spawn-fcgi")
    if not program:
        tap.skip("spawn-fcgi -n -- resnet-spawn", "spawn-fcgi is not installed")
        return
    with Supervisor(start=False) as s:
        path = os.path.join(s.directory, "s.sock")
        s.start(before=[program, "-s", path, "-n", "--"])
        s.until()
        tap.equal(receive(ask(path))[0], 200, "spawn-fcgi -n -- resnet-spawn answers")
        held = ask(path, "/sleep/3")
        taken(s)
        s.signal(signal.SIGTERM)
        tap.equal(receive(held)[0], 200, "TERM in mid-request finishes it")
        tap.equal(s.wait(), 0, "exit code 0")


tap.run(descriptor_0, reload_keeps_it, listen_fds, what_cannot_be_adopted, spawn_fcgi)
