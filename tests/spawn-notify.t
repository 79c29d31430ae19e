#!/usr/bin/env python3
"""sd_notify: starting, ready, reloading and stopping are told, in that order, by the supervisor
alone."""

import signal
import socket

import draw
import service
import tap
from activator import Activated
from supervisor import Supervisor


def states(told):
    return [next(k for k in ("READY", "RELOADING", "STOPPING") if k in t) for t in told]


def a_life():
    with Activated(workers=1) as activated:
        activated.post(draw.jpeg())
        service.until(lambda: activated.told, service.START_S, "READY=1")
        tap.equal(states(activated.told), ["READY"], "READY=1 once the first generation serves")
        activated.spawn.send_signal(signal.SIGHUP)
        service.until(lambda: len(activated.told) == 3, service.START_S, "RELOADING=1 and READY=1")
        tap.equal(states(activated.told), ["READY", "RELOADING", "READY"], "a reload, and its end")
        tap.ok(int(activated.told[1]["MONOTONIC_USEC"]) > 0, "with the time at which it began")
        tap.ok("generation 2" in activated.told[2]["STATUS"], "and the generation",
               activated.told)  # fmt: skip
        workers = activated.all_workers()  # READY=1 does not wait for those of generation 1 to leave
        tap.equal(len(workers), 1, "one worker")
        with open(f"/proc/{workers[0]}/environ", "rb") as file:
            tap.ok(b"NOTIFY_SOCKET" not in file.read(), "which does not know the socket")
        activated.spawn.terminate()
        service.until(lambda: len(activated.told) == 4, service.STOP_S, "STOPPING=1")
        tap.equal(states(activated.told)[3:], ["STOPPING"], "and the drain")


def abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # an abstract name of the kernel's choice
        name = manager.getsockname()[1:].decode()
        manager.settimeout(60)
        with Supervisor(environment={"NOTIFY_SOCKET": "@" + name}) as s:
            s.until()
            tap.ok(manager.recv(4096).startswith(b"READY=1\n"), "an abstract socket is told, too")


def nobody_listens():
    with Supervisor(environment={"NOTIFY_SOCKET": "/nonexistent/notify"}) as s:
        s.until()
        tap.ok("event=notify" in s.log(), "a socket that is not there: one warning", s.log)
        tap.equal(s.work()[0], 200, "and the service serves")


def idle_exit_needs_activation():
    with Supervisor(environment={"RESNET_IDLE_EXIT": "100ms"}) as s:
        s.until()
        tap.ok("RESNET_IDLE_EXIT" in s.log(), "idle exit on a socket of our own is refused", s.log)
        try:
            s.wait(1)
            left = True
        except Exception:  # still there
            left = False
        tap.ok(not left, "and the service stays")


tap.run(a_life, abstract_socket, nobody_listens, idle_exit_needs_activation)
