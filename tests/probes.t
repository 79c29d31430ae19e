#!/usr/bin/env python3
"""A tracer finds what fcgi/README.md promises: each probe with as many arguments, one nop until
somebody attaches to it, and examples that name nothing else."""

import os
import re
import struct
import subprocess

import service
import tap

README = os.path.join(service.TOP, "fcgi", "README.md")
ROW = re.compile(r"^\| `([a-z]+__[a-z]+)` \|.*\| ([^|]+) \|$", re.MULTILINE)
NOTE = re.compile(
    r"Provider: (\S+)\s+Name: (\S+)\s+Location: (0x[0-9a-f]+), Base: (0x[0-9a-f]+),.*?\n"
    r"\s+Arguments:([^\n]*)"
)
EXAMPLE = re.compile(r"bpftrace -e 'usdt:/usr/bin/resnet-fcgi:resnet:(\w+) (.*)'")
NOPS = {"x86_64": b"\x90", "aarch64": struct.pack("<I", 0xD503201F)}


def documented(text):
    """{probe: how many arguments} of the table."""
    return {name: len(arguments.split(", ")) for name, arguments in ROW.findall(text)}


def notes(program):
    """[(provider, name, address, how many arguments)]"""
    command = ["readelf", "-n", program]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [(provider, name, int(at, 16), len(arguments.split()))
            for provider, name, at, _, arguments in NOTE.findall(text)]  # fmt: skip


def in_file(program, address):
    """Where in the file what is loaded at that address lies."""
    command = ["readelf", "-lW", program]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    for offset, start, size in re.findall(r"LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)", text):
        if int(start, 16) <= address < int(start, 16) + int(size, 16):
            return int(offset, 16) + address - int(start, 16)
    raise ValueError(f"{address:#x} is in no segment of {program}")


def instruction(program, address):
    nop = NOPS[os.uname().machine]
    with open(program, "rb") as file:
        file.seek(in_file(program, address))
        return file.read(len(nop)) == nop


def in_the_program():
    with open(README, encoding="utf-8") as file:
        promised = documented(file.read())
    program = service.program("resnet-fcgi")
    found = notes(program)
    tap.equal({provider for provider, *_ in found}, {"resnet"}, "one provider")
    tap.equal({name: n for _, name, _, n in found}, promised, "the probes of the table, all arguments")
    tap.equal(len(promised), 6, "request, stage and layer, start and done")
    if os.uname().machine in NOPS:
        wrong = [(name, hex(at)) for _, name, at, _ in found if not instruction(program, at)]
        tap.equal(wrong, [], "each is a nop")


def examples():
    with open(README, encoding="utf-8") as file:
        text = file.read()
    promised, found = documented(text), EXAMPLE.findall(text)
    tap.equal(len(found), 5, "five one-liners")
    for probe, action in found:
        used = [int(n) for n in re.findall(r"\barg(\d)", action)]
        tap.ok(used and max(used) < promised.get(probe, 0), f"{probe}: has what its example asks for",
               action)  # fmt: skip


def can_fail():
    tap.equal(notes(service.program("resnet-ctl")), [], "can fail: resnet-ctl has none")
    table = "| `layer__start` | a layer begins | request id, name |\n"
    tap.equal(documented(table), {"layer__start": 2}, "can fail: arguments are counted")
    tap.ok(not instruction(service.program("resnet-fcgi"), 0), "can fail: the ELF header is no nop")


tap.run(in_the_program, examples, can_fail)
