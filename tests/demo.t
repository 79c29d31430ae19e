#!/usr/bin/env python3
"""make demo, from the command line to the last signal: it answers through nginx, and drains."""

# timeout: 300

import os
import re
import signal
import subprocess
import tempfile

import draw
import service
import tap
import web

DEMO = os.path.join(service.TOP, "tests", "demo.sh")


class Demo:
    """demo.sh as a child; lines of its output, read until a pattern comes."""

    def __init__(self, **environment):
        self.port = service.free_port()
        build = os.path.relpath(service.BUILD, service.TOP)
        settings = {"BUILD": build, "PORT": self.port, "WORKERS": 2, **environment}
        self.process = subprocess.Popen(
            [DEMO], env=service.clean_environment(**settings), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.text = ""

    def read_until(self, pattern):
        for line in self.process.stdout:
            self.text += line
            if re.search(pattern, line):
                return True
        return False

    def end(self, number):
        self.process.send_signal(number)
        return self.finish()

    def finish(self):
        self.text += self.process.stdout.read()
        return self.process.wait(120)


def stops_on(number, picture, model):
    demo = Demo(IMAGE=picture, WEIGHTS=model)
    tap.ok(demo.read_until("Ctrl-C"), f"{number.name}: it comes up", lambda: demo.text)
    answers = [line for line in demo.text.splitlines() if line.startswith('{"success":true')]
    tap.equal(len(answers), 1, f"{number.name}: one answer is printed")
    tap.ok(f"http://127.0.0.1:{demo.port}/" in demo.text, f"{number.name}: and the page's address")
    tap.equal(web.request(demo.port, "GET", "/").status, 200, f"{number.name}: the page is there")
    answer = web.request(demo.port, "POST", "/predict", draw.jpeg())
    tap.equal(answer.status, 200, f"{number.name}: it goes on answering")
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in service.children(demo.process.pid, "nginx")}
    tap.ok(owners and 0 not in owners, f"{number.name}: nginx does not run as root", owners)
    tap.equal(demo.end(number), 0, f"{number.name}: exit code 0")
    tap.ok("drained" in demo.text, f"{number.name}: it says that it drained", lambda: demo.text)
    logs = re.search(r"logs +(\S+)/spawn.log", demo.text)[1]
    tap.ok(not os.path.exists(logs), f"{number.name}: its directory is gone")


def refusals(picture, model):
    with tempfile.TemporaryDirectory() as empty:
        listener = service.Nginx(empty)
        listener.start()
        try:
            demo = Demo(IMAGE=picture, WEIGHTS=model, PORT=listener.port)
            tap.equal(demo.finish(), 75, "the port is taken: exit 75")
            tap.ok("taken" in demo.text and "PORT=" in demo.text, "and how to choose another", demo.text)
        finally:
            listener.stop()
    for name, settings in (("IMAGE", {"IMAGE": "/nonexistent"}), ("PORT", {"PORT": "80x"}),
                           ("WEIGHTS", {"WEIGHTS": "/nonexistent"})):  # fmt: skip
        demo = Demo(**{"IMAGE": picture, "WEIGHTS": model, **settings})
        tap.equal(demo.finish(), 64, f"{name} that cannot be: exit 64")
        tap.ok(f"{name}=" in demo.text, f"{name}: named", demo.text)
    with tempfile.NamedTemporaryFile(suffix=".jpg") as text:
        text.write(b"no picture")
        text.flush()
        os.chmod(text.name, 0o644)
        demo = Demo(IMAGE=text.name, WEIGHTS=model)
        tap.equal(demo.finish(), 1, "a picture that is none: exit 1")
        tap.ok("unsupported_media_type" in demo.text, "and the answer says so", demo.text)


def everything():
    with tempfile.TemporaryDirectory() as directory:
        picture = os.path.join(directory, "picture.jpg")
        with open(picture, "wb") as file:
            file.write(draw.jpeg())
        model = service.small_model()
        for number in (signal.SIGTERM, signal.SIGINT):
            stops_on(number, picture, model)
        refusals(picture, model)


tap.run(everything)
