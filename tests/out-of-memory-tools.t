#!/usr/bin/env python3
"""The tools where memory runs out, at each allocation in turn: they do what they are for, or leave
with an exit code; never by a signal. What is not all of it says that memory was missing."""
# timeout: 300

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import checkpoint
import draw
import service
import tap
import why
from scarce import FOR_EVER, Scarce
from service import Service, until

# Of one command; the others are passed over at equal distances. T=600: all.
TRIES = 1 << 30 if tap.T >= 600 else 50 if tap.T >= 60 else 10


class Command:
    """What it does when all is well: exit code, output, and the file it writes."""

    def __init__(self, name, program, *arguments, writes=None, differs=None,
                 sentences="temporarily unavailable", exits=(0,), spares=(), **environment):  # fmt: skip
        """writes: a file. differs: what is masked in the output. sentences: what it may say instead
        of something about memory. exits: its exit code when all is well. spares: libraries
        that get all they ask for."""
        self.name, self.program, self.arguments = name, program, list(arguments)
        self.writes, self.differs, self.environment = writes, differs, environment
        self.sentences, self.exits, self.spares = sentences, exits, spares

    def run(self, memory):
        """(exit code, what it made, what it said)"""
        if self.writes and os.path.exists(self.writes):
            os.unlink(self.writes)
        done = subprocess.run(
            [service.program(self.program), *self.arguments], stdin=subprocess.DEVNULL,
            capture_output=True, timeout=100,
            env=service.clean_environment(**memory.environment, **self.environment),
        )  # fmt: skip
        made = done.stdout
        if self.differs:
            made = re.sub(self.differs.encode(), b"", made)
        if self.writes and os.path.exists(self.writes):
            with open(self.writes, "rb") as file:
                made += file.read()
        return done.returncode, made, (done.stderr + done.stdout).decode(errors="replace")

    def is_honest(self, found, good):
        code, made, said = found
        excuse = re.search(r"(no|out of|not enough|more|allocate) memory", said, re.I) is not None
        if code in (0, good[0]):  # doctor's may get better: another service's nginx has gone
            return made == good[1] or excuse
        return code > 0 and (excuse or re.search(self.sentences, said) is not None)

    def sweep(self):
        wrong, tries, failures = [], 0, 0
        with Scarce(self.program, self.spares) as memory:
            good = self.run(memory)
            count = memory.seen
            for how_many in (1, FOR_EVER):
                for n in range(1, count + 1, max(1, count // TRIES)):
                    memory.fail(n, how_many)
                    found = self.run(memory)
                    failures += found[0] != good[0]
                    tries += 1
                    if not self.is_honest(found, good):
                        wrong.append((n, how_many, found[0], found[1][-300:], found[2][-500:]))
        return good, count, tries, failures, wrong


def show(command, result):
    good, count, tries, failures, wrong = result
    tap.ok(good[0] in command.exits, f"{command.name}: with enough memory", good)
    tap.ok(not wrong and count > 0,
           f"{command.name}: {count} allocations, {tries} tries, {failures} of them told that they failed",
           "\n".join(map(str, wrong[:8])))  # fmt: skip


def sweep(commands):
    """As many at once as there are cores; each has files of its own."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(Command.sweep, commands))
    for command, result in zip(commands, results):
        show(command, result)


def files(directory):
    """A picture, a checkpoint in each form."""
    tensors = checkpoint.resnet()
    made = {
        "a.jpg": draw.jpeg(), "b.jpg": draw.jpeg(seed=2), "w.safetensors": checkpoint.safetensors(tensors),
        "zip.pth": checkpoint.pth_zip(tensors), "old.pth": checkpoint.pth_legacy(tensors),
    }  # fmt: skip
    for name, data in made.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(data)
    return {name: os.path.join(directory, name) for name in made}


def classify_and_pack():
    model = service.small_model()
    with tempfile.TemporaryDirectory() as directory:
        at, out = files(directory), lambda name: os.path.join(directory, name)
        classify, pack = "resnet-classify", "resnet-pack"
        labels = ["--labels", os.path.join(directory, "labels")]
        pictures = os.path.join(directory, "pictures")
        os.mkdir(pictures)
        for name in ("a.jpg", "b.jpg"):
            shutil.copy(at[name], pictures)
        with open(labels[1], "w", encoding="ascii") as file:
            file.writelines(f"class {i}\n" for i in range(10))
        sweep([
            Command("classify", classify, "-m", model, at["a.jpg"], at["b.jpg"]),
            Command("classify a directory, JSON", classify, "-m", model, "--json", pictures),
            Command("classify, logits", classify, "-m", model, "--logits", out("l.npy"), at["a.jpg"], writes=out("l.npy")),
            Command("classify, tensor", classify, "-m", model, "--dump-tensor", out("t.npy"), at["a.jpg"], writes=out("t.npy")),
            Command("pack random", pack, "random", "--seed", "1", "--width", "1/8", "-o", out("r.rnm"), writes=out("r.rnm")),
            Command("pack safetensors", pack, "pack", at["w.safetensors"], *labels, "-o", out("s.rnm"), writes=out("s.rnm")),
            Command("pack .pth", pack, "pack", at["zip.pth"], *labels, "-o", out("z.rnm"), writes=out("z.rnm"), sentences="zip"),
            Command("pack old .pth", pack, "pack", at["old.pth"], *labels, "-o", out("o.rnm"), writes=out("o.rnm")),
            Command("pack int8", pack, "pack", at["w.safetensors"], *labels, "--precision", "fp32,int8", "-o", out("i.rnm"), writes=out("i.rnm")),
            Command("pack, calibrated", pack, "pack", at["w.safetensors"], *labels, "--precision", "fp32,int8", "--calibrate", pictures, "-o", out("c.rnm"), writes=out("c.rnm")),
            Command("info", pack, "info", model),
            Command("verify", pack, "verify", model),
            Command("resnet-fcgi --test", "resnet-fcgi", "--test", "--model", model),
            Command("resnet-spawn -t", "resnet-spawn", "-t", "--model", model),
        ])  # fmt: skip


def ctl_and_load():
    with Service(workers=1) as running, tempfile.TemporaryDirectory() as directory:
        at, ctl = files(directory), {"RESNET_RUN_DIR": running.run_dir}
        running.post(draw.jpeg(), {"X-Request-ID": "why-am-i-here"})
        logs = why.logs_of(running, "why-am-i-here")
        running.until_idle(1)
        until(lambda: running.logged("request"), 60, "the worker's line")
        url = f"http://127.0.0.1:{running.port}"
        number = r"[0-9][0-9.,]*"
        moving = r"[^A-Z\n]+"
        sweep([
            Command("ctl health", "resnet-ctl", "health", differs=number, **ctl),
            Command("ctl status", "resnet-ctl", "status", differs=moving, **ctl),
            Command("ctl status --json", "resnet-ctl", "status", "--json", differs=number, **ctl),
            Command("ctl top", "resnet-ctl", "top", "--once", differs=moving, **ctl),
            # what it finds is also of other services' nginx; glibc's getpwuid() crashes without memory
            Command("ctl doctor", "resnet-ctl", "doctor", differs=r"(?s).*", sentences="looked at", exits=(0, 1, 2), spares=["libc"], **ctl),
            Command("ctl why", "resnet-ctl", "why", "why-am-i-here", "--from", *logs, **ctl),
        ])  # fmt: skip
        # alone: who asks for the status would now and then see its request
        sweep([
            Command("load", "resnet-load", "-q", "-n", "1", "-w", "1", "-c", "1", url, at["a.jpg"], differs=moving, sentences="resolve host name|no such host"),
        ])  # fmt: skip


def can_fail():
    command = Command("", "resnet-pack")
    good = (0, b"result", "")
    found = [(0, b"result", ""), (75, b"", "no memory"), (0, b"other", ""), (-6, b"", "abort"), (1, b"", "")]
    tap.equal([command.is_honest(x, good) for x in found], [True, True, False, False, False], "can fail")


if service.SANITIZED:
    tap.skip_all("a sanitizer ends the process where it gets no memory for a thread of it")
tap.run(can_fail, classify_and_pack, ctl_and_load)
