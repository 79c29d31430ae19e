#!/usr/bin/env python3
"""How a worker starts, says what is wrong, idles, is replaced, and leaves."""
# timeout: 180

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

PROGRAM = service.program("resnet-fcgi")
PHOTO = draw.jpeg()


def run(*flags, stdin=subprocess.DEVNULL, **environment):
    return subprocess.run(
        [PROGRAM, *flags], stdin=stdin, capture_output=True, text=True, timeout=60,
        env=service.clean_environment(**environment),
    )  # fmt: skip


def what_it_says_of_itself():
    shown = run("--help")
    tap.equal(shown.returncode, 0, "--help")
    tap.ok("--max-body" in shown.stdout and "spawn-fcgi" in shown.stdout, "--help: options, usage")
    shown = run("--version")
    tap.ok(re.match(r"resnet-fcgi \d+\.\d+\.\d+ \(.+\)\nisa .+\nopenblas .+", shown.stdout),
           "--version", shown.stdout)  # fmt: skip


def what_is_wrong():
    """Exit code and a sentence; nothing is started."""
    model = service.small_model()
    cases = [
        (64, ["--max-bodi", "3"], "did you mean --max-body", {}),
        (64, ["--max-body", "many"], "expected a size", {}),
        (64, ["photo.jpg"], "unexpected argument", {}),
        (64, ["--model", model], "not a listening socket", {}),
        (78, [], "expected a time", {"RESNET_REQUEST_TIMEOUT": "soon"}),
    ]
    for code, flags, part, environment in cases:
        found = run(*flags, **environment)
        tap.equal(found.returncode, code, f"{flags} {environment}: exit {code}")
        tap.ok(part in found.stderr, f"... {part}", found.stderr)
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        found = run("--model", model, stdin=tcp)
        tap.equal(found.returncode, 78, "a TCP port: exit 78")
        tap.ok("use a unix socket" in found.stderr, "... and why", found.stderr)


def a_bad_model():
    for path in ("/nonexistent.rnm", __file__):
        worker = Worker(model=path)
        worker.start()
        tap.equal(worker.process.wait(60), 78, f"{os.path.basename(path)}: exit 78")
        text = "".join(worker.lines())
        tap.ok("event=start_failed" in text and path in text, "... naming the file", text)
        shutil.rmtree(worker.directory)


def an_unknown_variable():
    with Worker(RESNET_MAX_BODDY="3") as worker:
        worker.wait_ready()
        text = "".join(worker.lines())
        tap.ok("did you mean RESNET_MAX_BODY?" in text, "an unknown variable is reported", text)


def cores(isa):
    environment = service.clean_environment()
    environment.pop("RESNET_ISA", None)  # the suite itself may have been lowered
    environment |= {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_L2_SIZE": "1"}
    if isa:
        environment["RESNET_ISA"] = isa
    found = subprocess.run(
        [PROGRAM, "--version"], capture_output=True, text=True, timeout=60, env=environment
    )
    return re.search(r"openblas (\S+)", found.stdout)[1]


def the_core_is_the_cpus():
    """A stray OPENBLAS_CORETYPE must not halve the speed."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(re.search(r"^flags\s*:(.*)$", file.read(), re.M)[1].split())
    expected = (
        "Cooperlake" if {"avx512_bf16", "avx512vl", "avx512bw", "avx512dq"} <= flags
        else "SkylakeX" if {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= flags
        else "Haswell" if "avx2" in flags else None
    )  # fmt: skip
    if not expected:
        return tap.skip("OpenBLAS's core", "this CPU has no AVX2: OpenBLAS chooses")
    tap.equal(cores(""), expected, "OpenBLAS's core is the CPU's, whatever the environment says")
    tap.equal(cores("avx2"), "Haswell", "RESNET_ISA=avx2 lowers it")
    return None


def at_rest(worker):
    """It sleeps, and has done nothing else: one that waits for a CPU burns none either."""
    before = worker.cpu_ns()
    time.sleep(0.3)
    with open(f"/proc/{worker.process.pid}/stat", encoding="ascii") as file:
        state = file.read().rsplit(")", 1)[1].split()[0]
    return state == "S" and worker.cpu_ns() == before


def idle_costs_nothing():
    with Worker() as worker:
        worker.predict(PHOTO, HTTP_X_REQUEST_ID="before-the-rest")
        worker.request_line("before-the-rest", 60)
        service.until(lambda: at_rest(worker), 60, "rest")
        cpu, switches = worker.cpu_ns(), worker.status("voluntary_ctxt_switches")
        seconds = min(tap.T, 20)
        time.sleep(seconds)
        cpu, switches = worker.cpu_ns() - cpu, worker.status("voluntary_ctxt_switches") - switches
        tap.ok(cpu == 0 and switches == 0, f"{seconds} s idle: no wake-up, no CPU",
               f"{cpu} ns, {switches} switches")  # fmt: skip


def replaced_in_time():
    with Worker(RESNET_MAX_REQUESTS=3) as worker:
        for _ in range(3):
            tap.equal(worker.predict(PHOTO).status, 200, "a request")
        tap.equal(worker.process.wait(60), 0, "leaves with 0 after the third")
        tap.ok("reason=max_requests" in "".join(worker.lines()), "and says why")
    with Worker(RESNET_MAX_RSS="1m") as worker:
        tap.equal(worker.predict(PHOTO).status, 200, "over RESNET_MAX_RSS: still answers")
        tap.equal(worker.process.wait(60), 0, "then leaves with 0")


def term_in_mid_request():
    body = b"".join(
        b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + PHOTO + b"\r\n"
        for _ in range(16)
    ) + b"--B--\r\n"  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        with Worker(RESNET_LOG_LEVEL="debug") as worker:
            worker.wait_ready()
            with worker.connect() as peer:
                kind = "multipart/form-data; boundary=B"
                peer.sendall(fcgi.request(body, CONTENT_TYPE=kind))
                service.until(lambda: worker.events("dequeue"), 60, "the request's begin")
                worker.process.send_signal(number)
                answer = fcgi.Answer(fcgi.read_to_end(peer))
            tap.equal(len(answer.json["results"]), 16, f"{number.name} in mid-request: finished")
            tap.equal(worker.process.wait(60), 0, "and leaves with 0")


def two_share_a_socket():
    """A worker that leaves loses nothing of the queue: the other one serves it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # an abstract name of the kernel's choice
        listener.listen(64)
        with Worker(listener=listener) as first, Worker(listener=listener) as second:
            first.wait_ready()
            second.wait_ready()
            first.process.send_signal(signal.SIGTERM)
            statuses = [second.predict(PHOTO).status for _ in range(20)]
            tap.equal(statuses, [200] * 20, "two on one socket, one leaves: all answered")
            tap.equal(first.process.wait(60), 0, "and it left with 0")


def fresh_board():
    """A worker's page, of the size and version that fcgi/scoreboard.h says."""
    with open(os.path.join(service.TOP, "fcgi", "scoreboard.h"), encoding="utf-8") as file:
        header = file.read()
    size = int(re.search(r"FCGI_BOARD_BYTES = (\d+)", header)[1])
    magic = int(re.search(r"FCGI_BOARD_MAGIC (0x[0-9a-f]+)u", header)[1], 16)
    version = int(re.search(r"FCGI_BOARD_VERSION = (\d+)", header)[1])
    board = os.memfd_create("board")
    os.ftruncate(board, size)
    os.pwrite(board, struct.pack("<II", magic, version), 0)
    return board


def ready_byte_and_lost_supervisor():
    board = fresh_board()
    for lost in (False, True):
        read_end, write_end = os.pipe()
        if lost:
            os.close(read_end)
        flags = ["--slot", "3", "--generation", "7", "--ready-fd", str(write_end),
                 "--board-fd", str(board)]  # fmt: skip
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("")  # an abstract name of the kernel's choice
            listener.listen()
            child = subprocess.Popen(
                [PROGRAM, "--model", service.small_model(), *flags], stdin=listener,
                stderr=subprocess.PIPE, pass_fds=(write_end, board), text=True,
                env=service.clean_environment(),
            )  # fmt: skip
            os.close(write_end)
            if lost:
                tap.equal(child.wait(60), 75, "a supervisor that has gone: exit 75")
            else:
                tap.equal(os.read(read_end, 10), b"R", "one byte when ready")
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.settimeout(60)
                    peer.connect(listener.getsockname())
                    peer.sendall(fcgi.request(PHOTO))
                    answer = fcgi.Answer(fcgi.read_to_end(peer))
                    tap.ok(answer.headers["X-Served-By"].endswith("/3.7"), "slot and generation",
                           answer.headers)  # fmt: skip
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.settimeout(60)
                    peer.connect(listener.getsockname())
                    peer.sendall(fcgi.request(b"", DOCUMENT_URI="/health", REQUEST_METHOD="GET"))
                    tap.equal(fcgi.Answer(fcgi.read_to_end(peer)).status, 404,
                              "/health is the supervisor's")  # fmt: skip
                child.terminate()
                tap.equal(child.wait(60), 0, "leaves with 0")
                os.close(read_end)
            child.stderr.close()
    os.close(board)


def log_lines():
    with Worker(RESNET_LOG_FORMAT="json", RESNET_SLOWLOG="1ms") as worker:
        worker.predict(PHOTO, DOCUMENT_URI="/\u00e9\"\\\x01", HTTP_X_REQUEST_ID="json-id-1")
        worker.predict(PHOTO, HTTP_X_REQUEST_ID="json-id-2")
        service.until(lambda: [x for x in worker.events("slow") if "json-id-2" in x], 60, "slow")
        lines = [json.loads(line) for line in worker.lines()]
        found = {(x["event"], x.get("request_id")): x for x in lines}
        tap.ok(("ready", None) in found, "every line is JSON", lines)
        tap.equal(found["request", "json-id-1"]["path"], '/\u00e9"\\\x01', "a path of odd bytes")
        good = found["request", "json-id-2"]
        tap.equal((good["status"], good["bytes_in"]), (200, len(PHOTO)), "numbers")
        slow = found["slow", "json-id-2"]["layers"].split()
        tap.ok(len(slow) == 3 and all(re.fullmatch(r"[\w.]+:[\d.]+", x) for x in slow),
               "the slow line names three layers", slow)  # fmt: skip
    with Worker(RESNET_LOG_LEVEL="error") as worker:
        worker.predict(PHOTO)
        tap.equal(worker.lines(), [], "RESNET_LOG_LEVEL=error: not a word")


def opens_nothing_when_ready():
    strace = shutil.which("strace")
    if not strace:
        return tap.skip("opens nothing when ready", "strace is not installed")
    trace = os.path.join(service.BUILD, f"worker-life.{os.getpid()}.trace")
    calls = "open,openat,openat2,socket,execve,fork,vfork,clone,clone3"
    wrapper = [strace, "-f", "-qq", "-s", "400", "-o", trace, "-e", f"trace={calls},write"]
    if subprocess.run([strace, "-qq", "-o", trace, "true"], capture_output=True).returncode:
        return tap.skip("opens nothing when ready", "tracing is not allowed here")
    with Worker(wrapper=wrapper) as worker:
        worker.wait_ready()
        worker.predict(PHOTO)
        worker.predict(b"no picture")
        worker.predict(PHOTO, DOCUMENT_URI="/health", REQUEST_METHOD="GET")
    with open(trace, encoding="utf-8", errors="replace") as file:
        after = file.read().split("event=ready", 1)[1].splitlines()[1:]
    os.unlink(trace)
    opened = [line for line in after if re.search(r"\b(open|socket|exec|fork|clone)", line)]
    tap.equal(opened, [], "opens nothing when ready")
    return None


tap.run(
    what_it_says_of_itself,
    what_is_wrong,
    a_bad_model,
    an_unknown_variable,
    the_core_is_the_cpus,
    idle_costs_nothing,
    replaced_in_time,
    term_in_mid_request,
    two_share_a_socket,
    ready_byte_and_lost_supervisor,
    log_lines,
    opens_nothing_when_ready,
)
