#!/usr/bin/env python3
"""resnet-classify on real weights and photographs against what PyTorch and Pillow made of them.

Reads RESNET_SHARED/data, which is no part of the repository; without it everything is skipped.
"""
# timeout: 600

import array
import ast
import os
import subprocess
import sys
import tempfile

import service
import tap

DATA = os.path.join(os.environ.get("RESNET_SHARED", ""), "data")

# Largest difference from the float64 logits as a share of their largest magnitude, the worst of
# four photographs, as measured; the bound is three times that. On OpenBLAS's Haswell core the sums
# run in another order.
MEASURED = {"ref": 1.3e-7, "blas": 5.1e-7, "avx2": 1.3e-6, "avx512": 1.3e-6}
# The same in bf16, which every instruction set rounds alike; ref and blas take seconds an image.
MEASURED_BF16 = 8.6e-3
BF16 = ("avx512bf16", "avx512", "avx2")


def load(path):
    """A .npy file: (shape, array of floats or bytes)."""
    with open(path, "rb") as file:
        magic = file.read(8)
        assert magic[:6] == b"\x93NUMPY", path
        size = int.from_bytes(file.read(2 if magic[6] == 1 else 4), "little")
        header = ast.literal_eval(file.read(size).decode())
        code = {"<f4": "f", "<f8": "d", "|u1": "B"}[header["descr"]]
        values = array.array(code)
        values.frombytes(file.read())
    return header["shape"], values


def rows(path):
    shape, values = load(path)
    width = len(values) // shape[0]
    return [values[i * width : (i + 1) * width] for i in range(shape[0])]


def table(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


class Classify:
    """resnet-classify with the packed model, and a directory for what it writes."""

    def __init__(self, model, directory):
        self.model, self.directory = model, directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def __call__(self, *arguments, **variables):
        """{file: [class ids, best first]}, exit code, what was said."""
        done = subprocess.run(
            [service.program("resnet-classify"), *arguments],
            env=service.clean_environment(RESNET_MODEL=self.model, **variables),
            capture_output=True, text=True,
        )  # fmt: skip
        found = {}
        for line in done.stdout.splitlines():
            name, class_id, _, _ = line.split("\t")
            found.setdefault(name, []).append(int(class_id))
        return found, done.returncode, done.stderr


def best(values):
    return max(range(len(values)), key=values.__getitem__)


def inputs(classify):
    names = [os.path.join(DATA, name) for name in reference_images()]
    out = ["--dump-crop", classify.path("crop.npy"), "--dump-tensor", classify.path("input.npy")]
    _, code, said = classify(*out, *names, RESNET_EXIF="ignore")
    tap.equal(code, 0, "the four reference photographs are classified")
    same = load(classify.path("crop.npy")) == load(os.path.join(DATA, "ref/crop4_u8.npy"))
    tap.ok(same, "their crops are Pillow's, bit for bit", said)
    same = load(classify.path("input.npy")) == load(os.path.join(DATA, "ref/input4.npy"))
    tap.ok(same, "the network's input is torchvision's, bit for bit", said)


def reference_images():
    return [line[1] for line in table("ref/input4.tsv")]


def tensors(classify):
    expected = rows(os.path.join(DATA, "ref/logits4_f64.npy"))
    for isa, measured in MEASURED.items():
        out = classify.path(f"logits-{isa}.npy")
        tensor = os.path.join(DATA, "ref/input4.npy")
        _, code, said = classify("--isa", isa, "--tensor", tensor, "--logits", out)
        if not tap.equal(code, 0, f"{isa}: --tensor"):
            tap.note(said)
            continue
        worst = max(
            max(abs(a - b) for a, b in zip(found, want)) / max(map(abs, want))
            for found, want in zip(rows(out), expected)
        )
        tap.note(f"{isa}: {worst:.2e} of the largest magnitude")
        bound = min(3 * measured, 1e-5)
        tap.ok(worst <= bound, f"{isa}: logits within {bound:.1e} of float64's", f"{worst:.2e}")


def bf16_tensors(classify):
    expected = rows(os.path.join(DATA, "ref/logits4_f64.npy"))
    for isa in BF16:
        out = classify.path(f"bf16-{isa}.npy")
        tensor = os.path.join(DATA, "ref/input4.npy")
        arguments = ("--precision", "bf16", "--isa", isa, "--tensor", tensor, "--logits", out)
        _, code, said = classify(*arguments)
        if code == 78 and "the choices on this machine" in said:
            tap.skip(f"bf16, {isa}", "this machine has no such instructions")
            continue
        if not tap.equal(code, 0, f"bf16, {isa}: --tensor"):
            tap.note(said)
            continue
        worst = max(
            max(abs(a - b) for a, b in zip(found, want)) / max(map(abs, want))
            for found, want in zip(rows(out), expected)
        )
        tap.note(f"bf16, {isa}: {worst:.2e} of the largest magnitude")
        tap.ok(worst <= 3 * MEASURED_BF16, f"bf16, {isa}: near float64's logits", f"{worst:.2e}")
        same = [best(found) == best(want) for found, want in zip(rows(out), expected)]
        tap.ok(all(same), f"bf16, {isa}: the same classes", same)


def int8_bits(classify):
    """The same logits on every engine. accuracy.t asks for all photographs, given the time."""
    names = [os.path.join(DATA, name) for name in reference_images()]
    found = {}
    for isa in ("avx512vnni", "avx2", "ref"):
        out = classify.path(f"int8-{isa}.npy")
        arguments = ("--precision", "int8", "--isa", isa, "--logits", out)
        _, code, said = classify(*arguments, *names, RESNET_EXIF="ignore")
        if code == 78 and "the choices on this machine" in said:
            tap.skip(f"int8, {isa}", "this machine has no such instructions")
        elif tap.equal(code, 0, f"int8, {isa}: classified"):
            found[isa] = rows(out)
    for isa, other in found.items():
        tap.ok(other == found["ref"], f"int8, {isa}: ref's logits, bit for bit")


def other_photographs(classify, precision, fewer_right, disagreements):
    """What a smaller precision costs: pictures that are no longer right, and that changed."""
    if os.environ.get("RESNET_ISA") in ("ref", "blas"):
        tap.skip(f"{precision} on 200 photographs", "they take too long on this engine")
        return
    lines = table("labels.tsv")
    names = [os.path.join(DATA, line[0]) for line in lines]
    reference = [best(row) for row in rows(os.path.join(DATA, "ref/logits.npy"))]
    arguments = ("--precision", precision, "-k", "1", *names)
    found, code, said = classify(*arguments, RESNET_EXIF="ignore")
    tap.ok(code == 0 and len(found) == 200, f"{precision}: 200 photographs are classified", said)
    right = sum(found[name][0] == int(line[1]) for name, line in zip(names, lines))
    other = [name for name, want in zip(names, reference) if found[name][0] != want]
    tap.ok(right >= 191 - fewer_right, f"{precision}: {right} right of 200, fp32 has 191", right)
    tap.ok(len(other) <= disagreements, f"{precision}: another class on {len(other)}", other)


def bf16_photographs(classify):
    other_photographs(classify, "bf16", 2, 2)


def int8_photographs(classify):
    other_photographs(classify, "int8", 4, 8)  # without a picture to calibrate with


def photographs(classify):
    lines = table("labels.tsv")
    reference = rows(os.path.join(DATA, "ref/logits.npy"))
    if os.environ.get("RESNET_ISA") == "ref":  # two seconds each
        return some_photographs(classify, lines[::20], reference[::20])
    names = [os.path.join(DATA, line[0]) for line in lines]
    labels = [int(line[1]) for line in lines]
    out = classify.path("logits.npy")
    found, code, said = classify("--logits", out, *names, RESNET_EXIF="ignore")
    tap.ok(code == 0 and len(found) == 200, "200 photographs are classified", said)
    top1 = sum(found[name][0] == label for name, label in zip(names, labels))
    top5 = sum(label in found[name] for name, label in zip(names, labels))
    tap.equal(top1, 191, "top-1 95.5 %")
    tap.equal(top5, 198, "top-5 99.0 %")
    other = [n for n, want in zip(names, reference) if found[n][0] != best(want)]
    tap.equal(other, [], "the reference's class on every one")
    ours = rows(out)
    worst = max(
        max(abs(a - b) for a, b in zip(f, w)) / max(map(abs, w)) for f, w in zip(ours, reference)
    )
    tap.ok(worst <= 1e-5, "and its logits", f"{worst:.2e} of the largest magnitude")
    if tap.T >= 60:  # few of them are large enough, but those have to be right
        fast, _, _ = classify(*names, RESNET_EXIF="ignore", RESNET_DECODE="fast")
        tap.equal([n for n in names if fast[n][0] != found[n][0]], [], "RESNET_DECODE=fast: the same")
    tap.note(f"{worst:.2e} of the largest magnitude from PyTorch's float32 logits")


def some_photographs(classify, lines, reference):
    names = [os.path.join(DATA, line[0]) for line in lines]
    found, code, said = classify(*names, RESNET_EXIF="ignore")
    tap.ok(code == 0 and len(found) == len(names), "some photographs are classified", said)
    tap.equal([found[n][0] for n in names], [best(w) for w in reference], "as by the reference")
    tap.skip("top-1 95.5 %, top-5 99.0 %", "200 photographs take too long on ref")


def variants(classify):
    mistakes = {"n02123045_tabby.progressive.jpg": 285}  # PyTorch too: Egyptian cat, 0.757
    lines = table("variants.tsv")
    names = [os.path.join(DATA, line[0]) for line in lines]
    found, code, said = classify(*names)
    tap.equal(code, 0, "every variant is decoded")
    expected = [mistakes.get(os.path.basename(n), int(line[1])) for n, line in zip(names, lines)]
    wrong = [n for n, class_id in zip(names, expected) if found.get(n, [None])[0] != class_id]
    tap.ok(not wrong, "progressive, restart, arithmetic, EXIF: the right class", f"{wrong} {said}")


def extra(classify):
    right = {"hub_dog.jpg": 258, "caffe_cat.jpg": 282, "triton_mug.jpg": 504}
    refused = {
        "ljt_monkey12.jpg": "12 bits per sample",
        "pillow_truncated_jpeg.jpg": "truncated",
    }
    directory = os.path.join(DATA, "extra")
    found, code, said = classify(directory)
    for name, class_id in right.items():
        tap.equal(found.get(os.path.join(directory, name), [None])[0], class_id, name)
    for name, sentence in refused.items():
        line = next((x for x in said.splitlines() if name in x), "")
        tap.ok(sentence in line, f"{name} is refused: {sentence}", said)
    tap.equal(code, 1, "exit code 1: some were refused")
    tap.equal(len(found), len(os.listdir(directory)) - len(refused), "all others are classified")


def drawing(classify):
    demo = os.path.join(service.TOP, "tests", "fixtures", "demo.jpg")
    found, _, said = classify("-k", "1", demo)
    tap.ok(found.get(demo) == [607], "the drawing of make demo is a jack-o'-lantern", said)


def main():
    model = service.real_model()
    if model is None:
        tap.skip_all("RESNET_SHARED has no data/: no weights, no photographs")
    with tempfile.TemporaryDirectory(prefix="golden-") as directory:
        classify = Classify(model, directory)
        tests = [inputs, tensors, bf16_tensors, int8_bits, photographs]
        tests += [bf16_photographs, int8_photographs, variants, extra, drawing]
        tap.run(*(named(test, classify) for test in tests))


def named(test, classify):
    def bound():
        test(classify)

    bound.__name__ = test.__name__
    return bound


sys.exit(main())
