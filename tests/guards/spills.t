#!/usr/bin/env python3
"""In every loop of a micro-kernel that multiplies and adds, the accumulators stay in registers: no
vector is written to the stack or read from it there. gcc 12 spills them when it is left alone."""

import glob
import os
import platform
import re

import objects
import tap

KERNELS = ("avx2", "avx512", "avx512bf16", "avx512vnni")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
FMA = re.compile(r"^vf[n]?m(add|sub)|^vdpbf16|^vpdp|^vpmaddwd")
SPILL = re.compile(r"%[xyz]mm\d+.*\(%r[sb]p|\(%r[sb]p[^)]*\).*%[xyz]mm\d")


def functions(path):
    """{name: [(address, mnemonic, operands)]}"""
    found, code = {}, None
    for line in objects.output("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        head = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        if head:
            code = found.setdefault(head[1], [])
            continue
        part = LINE.match(line)
        if part and code is not None:
            code.append((int(part[1], 16), part[2], part[3]))
    return found


def flow(code):
    """{address: addresses that may come before it}, and the jumps backwards, (from, to)"""
    before = {address: [] for address, _, _ in code}
    back = []
    for (address, mnemonic, operands), after in zip(code, [*code[1:], None]):
        target = re.match(r"^([0-9a-f]+)\b", operands)
        to = int(target[1], 16) if mnemonic.startswith("j") and target else None
        if to in before:
            before[to].append(address)
            back += [(address, to)] if to <= address else []
        if after and not mnemonic.startswith(("jmp", "ret")):
            before[after[0]].append(address)
    return before, back


def loops(code):
    """What lies between the target of a jump backwards and that jump, and leads there, within one
    function. A jump from a seldom taken path behind the function's end closes no loop."""
    before, back = flow(code)
    for address, target in back:
        body, edge = {target, address}, [] if address == target else [address]
        closed = address == target
        while edge:
            here = edge.pop()
            closed = closed or target in before[here]
            edge += [one for one in before[here] if one not in body]
            body.update(before[here])
        if closed:
            yield [one for one in code if target <= one[0] <= address and one[0] in body]


def innermost(bodies):
    """Those loops that have no other inside."""
    spans = [(body[0][0], body[-1][0]) for body in bodies]
    for body, (start, end) in zip(bodies, spans):
        if not any(start <= s and e < end for s, e in spans):
            yield body


def spills(path, which=lambda bodies: bodies):
    """(loops with multiply-adds, [(function, instruction that touches the stack)])"""
    looked_at, wrong = 0, []
    for name, code in functions(path).items():
        for body in which(list(loops(code))):
            if not any(FMA.match(mnemonic) for _, mnemonic, _ in body):
                continue
            looked_at += 1
            wrong += [(name, f"{m} {o}") for _, m, o in body if SPILL.search(f"{m} {o}")]
    return looked_at, wrong


def everything():
    for folder in KERNELS:
        paths = glob.glob(os.path.join(objects.BUILD, f"obj/kernels/{folder}/gemm_*.o"))
        tap.ok(paths, f"{folder}: there are micro-kernels", objects.BUILD)
        for path in paths:
            looked_at, wrong = spills(path)
            name = os.path.relpath(path, objects.BUILD)
            tap.ok(looked_at >= 12, f"{name}: loops to look at", looked_at)
            tap.equal(wrong[:3], [], f"{name}: no accumulator on the stack")


def resize():
    """Its outer loops may fetch a constant; a weight may be broadcast from anywhere."""
    path = os.path.join(objects.BUILD, "obj/fcgi/avx2/resample.o")
    looked_at, wrong = spills(path, innermost)
    tap.ok(looked_at >= 2, "the resize: a loop along, a loop down", looked_at)
    wrong = [one for one in wrong if "broadcast" not in one[1]]
    tap.equal(wrong, [], "the resize: no sum on the stack")


def can_fail():
    each = lambda text: "".join(text.replace("#", str(i)) for i in range(24))
    text = f"""
    typedef float v __attribute__((vector_size(32)));
    void f(v *y, const v *a, const v *b, int n) {{
        {each("v s# = y[#];")}
        for (int k = 0; k < n; k++, b++) {{ v x = *b; {each("s# += a[#] * x;")} }}
        {each("y[#] = s#;")}
    }}"""
    flags = ("-O3", "-mavx2", "-mfma", "-ffp-contract=fast")
    looked_at, wrong = objects.snippet(text, spills, kind="o", flags=flags)
    inner = objects.snippet(text, lambda path: spills(path, innermost), kind="o", flags=flags)
    tap.ok(inner[0] > 0 and inner[1], "can fail: in an innermost loop", inner)
    tap.ok(looked_at > 0 and wrong, "can fail: 24 accumulators in 16 registers", (looked_at, wrong))


if platform.machine() != "x86_64":
    tap.skip_all(f"instructions of x86_64 are looked for, and this is {platform.machine()}")
if objects.SANITIZED:
    tap.skip_all("a sanitizer's own code goes through the stack")
tap.run(everything, resize, can_fail)
