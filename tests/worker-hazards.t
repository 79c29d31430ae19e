#!/usr/bin/env python3
"""What libfcgi would do to a worker, each hazard once: none of it happens."""
# timeout: 240

import fcntl
import os
import signal
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import tap
from service import until
from worker import Worker

PHOTO = draw.jpeg()
HELD_S = 5  # a peer may be silent so long (FCGI_ACCEPT_TIMEOUT_MS)
SLACK_S = 20


def whole(worker, name, **params):
    """The worker goes on: a good request is answered."""
    answer = worker.predict(PHOTO, **params)
    return tap.equal((answer.status, answer.json["success"]), (200, True), name)


def closed_within(peer, seconds):
    peer.settimeout(seconds)
    try:
        return peer.recv(1 << 16) == b""
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def held(sent, name):
    """A peer that sends a little and then nothing holds the worker for the time-out, not longer."""
    with Worker() as worker:
        worker.wait_ready()
        with worker.connect() as peer:
            peer.sendall(sent)
            start = time.monotonic()
            whole(worker, f"{name}: the next one is served")
            waited = time.monotonic() - start
            tap.ok(waited < HELD_S + SLACK_S, f"{name}: in time", f"{waited:.1f} s")
            tap.ok(closed_within(peer, SLACK_S), f"{name}: its connection is closed")


def silent_peer():
    held(b"", "a silent peer")


def three_bytes():
    held(fcgi.begin()[:3], "three bytes and silence")


def half_a_body():
    """This one is told so before it is left."""
    wire = fcgi.request(PHOTO)
    with Worker() as worker:
        worker.wait_ready()
        with worker.connect() as peer:
            peer.sendall(wire[: len(wire) // 2])
            start = time.monotonic()
            answer = fcgi.Answer(fcgi.read_to_end(peer))
            waited = time.monotonic() - start
        tap.equal((answer.status, answer.code), (400, "body_truncated"), "half a body and silence")
        tap.ok(waited < HELD_S + SLACK_S, "half a body and silence: in time", f"{waited:.1f} s")
        whole(worker, "half a body and silence: the next one is served")


def a_dribble_of_body():
    """A byte now and then keeps libfcgi reading for ever; here the request's time ends it."""
    wire = fcgi.request(PHOTO)
    with Worker(RESNET_REQUEST_TIMEOUT="8s") as worker:  # the next request's, too
        worker.wait_ready()
        with worker.connect() as peer:
            peer.sendall(wire[:-2000])
            start = time.monotonic()
            peer.settimeout(0.1)
            got = b""
            while not got and time.monotonic() - start < HELD_S + SLACK_S:
                try:
                    peer.sendall(fcgi.record(fcgi.STDIN, b"x"))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # answered and closed; the answer is still there
                try:
                    got = peer.recv(1 << 16)
                except socket.timeout:
                    pass
            tap.ok(b"deadline_exceeded" in got, "a dribble of body: 504 in the end", got)
        whole(worker, "a dribble of body: the next one is served")


def many_silent_peers_are_bounded():
    with Worker() as worker:
        worker.wait_ready()
        peers = [worker.connect() for _ in range(3)]
        start = time.monotonic()
        whole(worker, "three silent peers: the next one is served")
        waited = time.monotonic() - start
        tap.ok(waited < 3 * HELD_S + SLACK_S, "three silent peers: in time", f"{waited:.1f} s")
        for peer in peers:
            peer.close()


def keep_conn_does_not_pin():
    with Worker() as worker:
        with worker.connect() as peer:
            peer.sendall(fcgi.request(PHOTO, flags=fcgi.KEEP_CONN))
            answer = fcgi.Answer(fcgi.read_to_end(peer))  # closed by the worker
            tap.equal(answer.status, 200, "KEEP_CONN: answered whole, then closed")
        whole(worker, "KEEP_CONN: the next connection is served")


def is_read(peer):
    """Whether the worker has read all that was sent."""
    return not any(fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)))


def signal_during_body():
    """TERM in the middle of a body: the request is finished, with its whole body, then it leaves."""
    wire = fcgi.request(PHOTO)
    with Worker() as worker:
        worker.wait_ready()
        with worker.connect() as peer:
            peer.sendall(wire[: len(wire) - 1000])
            until(lambda: is_read(peer), 60, "the worker to be in the middle of the body")
            for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP, signal.SIGTERM):
                worker.process.send_signal(number)
            time.sleep(0.2)
            peer.sendall(wire[len(wire) - 1000 :])
            answer = fcgi.Answer(fcgi.read_to_end(peer))
        tap.equal(answer.status, 200, "signals during the body: answered whole")
        tap.equal(worker.process.wait(60), 0, "and then it leaves with 0")


def signal_while_idle():
    with Worker() as worker:
        whole(worker, "one request")
        tap.equal(worker.stop(), 0, "TERM while it waits: leaves with 0")


def unread_stdin():
    """Early answers, each with a body that nobody wants: it is read to its end, never a reset."""
    big = os.urandom(300_000)
    cases = [
        (404, {"DOCUMENT_URI": "/nowhere"}),
        (405, {"REQUEST_METHOD": "GET"}),
        (400, {"QUERY_STRING": "top_k=0"}),
        (415, {"CONTENT_TYPE": "application/json"}),
        (415, {"HTTP_CONTENT_ENCODING": "gzip"}),
        (400, {"CONTENT_LENGTH": "x"}),
        (504, {"HTTP_X_REQUEST_TIMEOUT_MS": "0"}),
    ]
    with Worker(RESNET_MAX_BODY="200k") as worker:
        for status, params in cases:
            found = {fcgi.predict(worker.path, PHOTO, **params).status for _ in range(200)}
            tap.equal(found, {status}, f"{status} with an unread body, 200 times")
        found = {worker.predict(big).status for _ in range(200)}
        tap.equal(found, {413}, "413 with an unread body, 200 times")
        whole(worker, "and it goes on")


def wrong_content_length():
    with Worker() as worker:
        answer = worker.predict(PHOTO, CONTENT_LENGTH=len(PHOTO) + 1)
        tap.equal((answer.status, answer.code), (400, "body_truncated"), "one byte too few")
        answer = worker.predict(PHOTO, CONTENT_LENGTH=len(PHOTO) - 1)
        tap.equal((answer.status, answer.code), (400, "bad_request"), "one byte too many")
        whole(worker, "no CONTENT_LENGTH at all", CONTENT_LENGTH=None)
        with worker.connect() as peer:
            wire = fcgi.request(PHOTO)
            peer.sendall(wire[:-500])
            peer.shutdown(socket.SHUT_WR)
            answer = fcgi.Answer(fcgi.read_to_end(peer))
            tap.equal((answer.status, answer.code), (400, "body_truncated"),
                      "a body that breaks off is not decoded")  # fmt: skip
        whole(worker, "and it goes on")


def hostile_records():
    """Records that overrun or abort an unguarded libfcgi."""
    names = b"".join(b"\x0e\x00FCGI_MAX_CONNS" for _ in range(8))
    cases = {
        "GET_VALUES with eight names": fcgi.record(fcgi.GET_VALUES, names, 0),
        "a parameter of 2^31 bytes": fcgi.begin()
        + fcgi.record(fcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffAB")
        + fcgi.record(fcgi.PARAMS)
        + fcgi.record(fcgi.STDIN),
        "no FastCGI at all": b"GET / HTTP/1.0\r\n\r\n",
        "an authorizer": fcgi.begin(role=2) + fcgi.record(fcgi.PARAMS),
        "version 2": b"\x02" + fcgi.begin()[1:],
        "a name without its value": fcgi.begin()
        + fcgi.record(fcgi.PARAMS, b"\x05\x7fNAME1")
        + fcgi.record(fcgi.PARAMS),
    }
    with Worker() as worker:
        worker.wait_ready()
        for name, wire in cases.items():
            with worker.connect() as peer:
                peer.sendall(wire)
                tap.ok(closed_within(peer, HELD_S + SLACK_S), f"{name}: closed")
        whole(worker, "and it goes on")


def hostile_records_behind_the_parameters():
    """libfcgi would take them while it reads the body: four names overrun its stack."""
    names = b"".join(b"\x0e\x00FCGI_MAX_CONNS" for _ in range(8))
    head = fcgi.begin() + fcgi.stream(fcgi.PARAMS, fcgi.pairs(fcgi.predict_params(PHOTO)))
    cases = {
        "GET_VALUES with eight names": fcgi.record(fcgi.GET_VALUES, names, 0),
        "an unknown type": fcgi.record(99, b"x", 0),
        "another request's STDIN": fcgi.record(fcgi.STDIN, b"x", 7),
        "another BEGIN_REQUEST": fcgi.begin(),
    }
    with Worker() as worker:
        worker.wait_ready()
        for name, wire in cases.items():
            with worker.connect() as peer:
                peer.sendall(head + fcgi.record(fcgi.STDIN, PHOTO[:100]) + wire)
                peer.settimeout(HELD_S + SLACK_S)
                got = fcgi.read_to_end(peer)
                tap.ok(b"body_truncated" in got, f"{name} in mid-body: nothing is decoded", got)
        whole(worker, "and it goes on")
        tap.ok(worker.process.poll() is None, "in the same process")


def parameters_in_pieces():
    """Records may end anywhere, even in a name's length; here each has one byte."""
    pairs = fcgi.pairs(fcgi.predict_params(PHOTO))
    wire = fcgi.begin() + fcgi.stream(fcgi.PARAMS, pairs, chunk=1)
    with Worker() as worker:
        answer = worker.exchange(wire + fcgi.stream(fcgi.STDIN, PHOTO, chunk=7))
        tap.equal(answer.status, 200, "records of one byte")
        padded = struct.pack(">BBHHBB", 1, fcgi.STDIN, 1, len(PHOTO), 200, 0) + PHOTO + bytes(200)
        head = fcgi.begin() + fcgi.stream(fcgi.PARAMS, pairs)
        answer = worker.exchange(head + padded + fcgi.record(fcgi.STDIN))
        tap.equal(answer.status, 200, "padding is not body")


def abort_request():
    with Worker() as worker:
        head = fcgi.begin() + fcgi.stream(fcgi.PARAMS, fcgi.pairs(fcgi.predict_params(PHOTO)))
        with worker.connect() as peer:
            peer.sendall(head + fcgi.record(fcgi.STDIN, PHOTO[:100]) + fcgi.record(fcgi.ABORT))
            peer.settimeout(HELD_S + SLACK_S)
            got = fcgi.read_to_end(peer)
            tap.ok(b"Status: 200" not in got, "ABORT_REQUEST in mid-body: nothing is decoded", got)
        whole(worker, "and it goes on")


tap.run(
    silent_peer,
    three_bytes,
    half_a_body,
    a_dribble_of_body,
    many_silent_peers_are_bounded,
    keep_conn_does_not_pin,
    signal_during_body,
    signal_while_idle,
    unread_stdin,
    wrong_content_length,
    hostile_records,
    hostile_records_behind_the_parameters,
    parameters_in_pieces,
    abort_request,
)
