#!/usr/bin/env python3
"""What int8 and bf16 cost in accuracy: calibrated with one half of the labelled photographs, tried on
the other, and turned round. int8's logits are the same bits on every engine.

Reads RESNET_SHARED/data, which is no part of the repository; without it everything is skipped.
With T=60 or more all photographs are looked at, else some, of one half.
"""
# timeout: 3600

import json
import os
import subprocess
import sys
import tempfile

import service
import tap

DATA = os.path.join(os.environ.get("RESNET_SHARED", ""), "data")
WEIGHTS = os.path.join(DATA, "weights", "resnet50.safetensors")
FULL = float(os.environ.get("T", "5")) >= 60
SLOW = os.environ.get("RESNET_ISA") in ("ref", "blas") or service.SANITIZED
LEAST_SNR_DB = 20

# Of 200 photographs: right ones fewer than in fp32, and other classes than in fp32.
MOST = {"int8": (2, 8), "bf16": (2, 2)}


def labelled():
    """[(path, class)]"""
    with open(os.path.join(DATA, "labels.tsv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [(os.path.join(DATA, row[0]), int(row[1])) for row in rows]


def start(model, precision, names, *options):
    return subprocess.Popen(
        [service.program("resnet-classify"), "-m", model, "--precision", precision, "-k", "1",
         *options, *names],
        env=service.clean_environment(RESNET_EXIF="ignore"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process):
    """[class ids], in the order of the files"""
    out, said = process.communicate(timeout=3000)
    if process.returncode != 0:
        raise RuntimeError(said)
    return [int(line.split("\t")[1]) for line in out.splitlines()]


def classes(model, precision, names, *options):
    return finish(start(model, precision, names, *options))


def pack(directory, name, photographs):
    """A model that is calibrated with these, and what info says of it."""
    pictures = os.path.join(directory, name)
    os.mkdir(pictures)
    for path, _ in photographs:
        os.symlink(path, os.path.join(pictures, os.path.basename(path)))
    model = pictures + ".rnm"
    command = [service.program("resnet-pack"), "pack", WEIGHTS, "--precision", "fp32,bf16,int8"]
    command += ["--calibrate", pictures, "-o", model]
    environment = service.clean_environment()
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=1200)
    command = [service.program("resnet-pack"), "info", "--json", model]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, timeout=60)
    return model, json.loads(done.stdout)


def spread(photographs, n):
    return [photographs[i * len(photographs) // n] for i in range(n)]


def described(about, seen):
    int8 = about["int8"]
    tap.equal((int8["ranges"], int8["pictures"]), ("photographs", len(seen)), "info: what was looked at")
    snr = int8["snr_db"]
    tap.equal(len(snr), 54, "info: every filter's layer is compared with fp32")
    worst = min(snr, key=snr.get)
    tap.note(f"cut by {int8['cut']}; {worst} {snr[worst]:.1f} dB, logits {snr['fc']:.1f} dB")
    tap.ok(snr["fc"] >= LEAST_SNR_DB, f"the network's signal is {LEAST_SNR_DB} dB above its error", snr)
    size = next(s["bytes"] for s in about["sections"] if s["precision"] == "int8")
    tap.ok(size <= 28e6, "its section has 28 MB at most", size)


def compared(model, tried):
    """{precision: (right ones fewer, other classes)}"""
    names, labels = [path for path, _ in tried], [label for _, label in tried]
    fp32 = classes(model, "fp32", names)
    right = sum(a == b for a, b in zip(fp32, labels))
    lost = {}
    for precision in MOST:
        found = classes(model, precision, names)
        ours = sum(a == b for a, b in zip(found, labels))
        other = sum(a != b for a, b in zip(found, fp32))
        tap.note(f"{precision}: {ours} right of {len(names)}, fp32 {right}; {other} other classes")
        lost[precision] = right - ours, other
    return lost


def crosswise(directory):
    photographs = labelled()
    halves = photographs[0::2], photographs[1::2]
    if not FULL:
        halves = spread(halves[0], 20), spread(halves[1], 30)
    totals = {precision: (0, 0) for precision in MOST}
    for i in range(2 if FULL else 1):
        seen, tried = halves[i], halves[1 - i]
        model, about = pack(directory, f"half{i}", seen)
        described(about, seen)
        for precision, lost in compared(model, tried).items():
            totals[precision] = tuple(a + b for a, b in zip(totals[precision], lost))
    for precision, (fewer, other) in totals.items():
        most_fewer, most_other = MOST[precision]
        tap.ok(fewer <= most_fewer, f"{precision}: {most_fewer} fewer right at most", fewer)
        tap.ok(other <= most_other, f"{precision}: {most_other} other classes at most", other)


def bits(path):
    with open(path, "rb") as file:
        return file.read()


def logits_of(model, parts, directory, isa, threads):
    """A file's bytes for each part; None when the machine lacks that engine."""
    outs = [os.path.join(directory, f"logits{i}.npy") for i in range(len(parts))]
    running = [start(model, "int8", part, "--isa", isa, "--threads", str(threads), "--logits", out)
               for part, out in zip(parts, outs)]  # fmt: skip
    said = [process.communicate(timeout=3000)[1] for process in running]
    if running[0].returncode == 78 and "the choices on this machine" in said[0]:
        return None
    if any(process.returncode for process in running):
        raise RuntimeError(said)
    return [bits(out) for out in outs]


def same_bits(directory):
    """All photographs; seconds for each on ref, hence side by side."""
    if not FULL:
        return tap.skip("200 photographs on every engine", "minutes: T=60 takes the time")
    model = os.path.join(directory, "half0.rnm")
    names = [path for path, _ in labelled()]
    parts = [names[i::4] for i in range(4)]
    truth = logits_of(model, parts, directory, "ref", 1)
    for isa, threads in (("avx2", 1), ("avx512vnni", 1), ("avx512vnni", 3)):
        found = logits_of(model, parts, directory, isa, threads)
        name = f"{len(names)} photographs: int8 on {isa}, {threads} threads"
        if found is None:
            tap.skip(name, "this machine has no such instructions")
        else:
            tap.ok(found == truth, f"{name}: ref's logits, bit for bit")
    return None


def main():
    if not os.path.exists(WEIGHTS):
        tap.skip_all("RESNET_SHARED has no data/: no weights, no photographs")
    if SLOW and not FULL:
        tap.skip_all("minutes of this engine's: T=60 takes the time")
    with tempfile.TemporaryDirectory(prefix="accuracy-") as directory:

        def accuracy():
            crosswise(directory)

        def exactness():
            same_bits(directory)

        tap.run(accuracy, exactness)


sys.exit(main())
