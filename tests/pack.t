#!/usr/bin/env python3
"""resnet-pack: the same weights give the same model whatever file they come in, what cannot be
packed is refused with a sentence and an exit code, and nothing is left behind."""
# timeout: 400

import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import checkpoint
import draw
import tap

PACK = os.path.abspath(os.path.join(os.environ.get("BUILD", "build"), "bin", "resnet-pack"))
DATA = os.path.join(os.environ.get("RESNET_SHARED", ""), "data")
HEAD_CRC, SOURCE_SHA256 = slice(12, 16), slice(64, 96)  # what may differ between equal models

USAGE, LATER, REFUSED = 64, 75, 78


def run(*arguments, directory=None, **options):
    return subprocess.run(
        [PACK, *arguments], cwd=directory, text=True, timeout=600, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def read(path):
    with open(path, "rb") as file:
        return bytearray(file.read())


def refuses(name, arguments, status, *words, directory=None, **options):
    done = run(*arguments, directory=directory, **options)
    lines = done.stderr.splitlines()
    good = done.returncode == status and lines and all(w in lines[-1] for w in words)
    tap.ok(good, name, f"expected {status} with {words}, found {done.returncode}: {done.stderr}")


def packed(source, *options, directory):
    """Packs those bytes; -> (the model file, what info --json says)"""
    path = write(os.path.join(directory, "source"), source)
    model = os.path.join(directory, "model.rnm")
    done = run("pack", path, "-o", model, *options)
    assert done.returncode == 0, done.stderr
    return read(model), info(model)


def info(model):
    done = run("info", "--json", model)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_source(model):
    model[HEAD_CRC] = bytes(4)
    model[SOURCE_SHA256] = bytes(32)
    return model


def command_line():
    done = run("--help")
    tap.ok(done.returncode == 0 and "resnet-pack pack IN" in done.stdout, "--help", done.stderr)
    for command in ("pack", "random", "info", "verify"):
        tap.equal(run(command, "--help").returncode, 0, f"{command} --help")
    done = run("--version")
    good = done.returncode == 0 and done.stdout.startswith("resnet-pack 1.") and "ref" in done.stdout
    tap.ok(good, "--version", done.stdout + done.stderr)
    cases = [
        ([], "expected pack, random, info or verify"),
        (["pakc", "x"], "did you mean pack?"),
        (["pack", "x", "-o", "y", "--resise", "3"], "did you mean --resize?"),
        (["pack", "x", "-o", "y", "--resise=3"], "did you mean --resize?"),
        (["info", "--jsn", "x"], "did you mean --json?"),
        (["random", "-x"], "-x: no such option here"),
        (["pack", "x", "--resize"], "--resize: needs a value"),
        (["pack", "x"], "pack needs weights and -o OUT.rnm"),
        (["info"], "info needs a model file"),
        (["info", "x", "y"], "y: one file too many"),
        (["pack", "x", "-o", "y", "--precision", "bf16,"], 'some of fp32,bf16,int8, found ""'),
        (["pack", "x", "-o", "y", "--precision", "fp64"], 'found "fp64"'),
        (["pack", "x", "-o", "y", "--calibrate", "d"], "--calibrate is for int8"),
        (["random", "-o", "y", "--calibrate", "d"], "--calibrate: no such option here"),
        (["random", "-o", "y", "--width", "1/7"], 'found "1/7"'),
        (["random", "-o", "y", "--width", "0"], 'found "0"'),
        (["random", "-o", "y", "--width", "1/8x"], 'found "1/8x"'),
        (["random", "-o", "y", "--depth", "51"], "found 51"),
        (["random", "-o", "y", "--seed", "x"], 'found "x"'),
        (["random", "-o", "y", "--crop", "31"], "found 31"),
    ]
    for arguments, words in cases:
        refuses(" ".join(["resnet-pack", *arguments]), arguments, USAGE, words)


def every_form_of_the_same_weights():
    weights = checkpoint.resnet()
    prefixed = {"module." + name: tensor for name, tensor in weights.items()}
    forms = {
        "the same safetensors again": checkpoint.safetensors(weights),
        ".pth (zip)": checkpoint.pth_zip(weights),
        ".pth (before 1.6)": checkpoint.pth_legacy(weights),
        ".pth under \"state_dict\", names with \"module.\"": checkpoint.pth_zip(
            prefixed, lambda state: {"epoch": 90, "state_dict": state}
        ),
    }
    with tempfile.TemporaryDirectory() as directory:
        model, about = packed(checkpoint.safetensors(weights), directory=directory)
        again, _ = packed(checkpoint.safetensors(weights), directory=directory)
        tap.ok(model == again, "two packs are bit-identical")
        for form, data in forms.items():
            other, told = packed(data, directory=directory)
            tap.ok(without_source(other) == without_source(model), f"{form}: the same but the source")
            tap.equal(told["model_sha256"], about["model_sha256"], f"{form}: the same SHA-256")
        tap.equal(told["source_sha256"] != about["source_sha256"], True, "the source's is its own")
        tap.equal(sorted(os.listdir(directory)), ["model.rnm", "source"], "nothing is left behind")
        weights["fc.bias"] = (weights["fc.bias"][0], weights["conv1.weight"][1][:40])
        other, told = packed(checkpoint.safetensors(weights), directory=directory)
        different = told["model_sha256"] != about["model_sha256"]
        tap.ok(different, "another bias: another SHA-256")


def recipe_and_labels():
    source = checkpoint.safetensors(checkpoint.resnet(classes=3))
    with tempfile.TemporaryDirectory() as directory:
        _, about = packed(source, directory=directory)
        default = {
            "resize": 256, "crop": 224, "squash": False, "interpolation": "bilinear",
            "activation": "softmax", "exif": "apply",
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        }  # fmt: skip
        tap.equal(about["recipe"], default, "unknown weights get torchvision's V1 recipe")
        tap.equal(about["labels"], ["class 0", "class 1", "class 2"], "and numbered labels")
        names = write(os.path.join(directory, "names"), 'cat\nna\u00efve\n"quoted\\"\n'.encode())
        options = (
            "--resize 64 --crop 48 --squash --interpolation bicubic --mean 0,0.5,1 --std 1,1,0.5 "
            "--activation sigmoid --exif ignore --labels " + names
        ).split()
        _, about = packed(source, *options, directory=directory)
        chosen = {
            "resize": 64, "crop": 48, "squash": True, "interpolation": "bicubic",
            "activation": "sigmoid", "exif": "ignore", "mean": [0, 0.5, 1], "std": [1, 1, 0.5],
        }  # fmt: skip
        tap.equal(about["recipe"], chosen, "every option arrives in the model")
        tap.equal(about["labels"], ["cat", "na\u00efve", '"quoted\\"'], "labels come from the file")
        tap.equal((about["name"], about["arch"]), ("ResNet-18, width 4", "resnet18-w4"), "its name")
        done = run("info", os.path.join(directory, "model.rnm"))
        good = "resnet18-w4" in done.stdout and about["model_sha256"] in done.stdout
        tap.ok(good, "info for people", done.stdout)

        weights = os.path.join(directory, "source")
        out = os.path.join(directory, "other.rnm")
        start = ["pack", weights, "-o", out]
        refuses("crop over resize", [*start, "--crop", "300"], USAGE, "no less than the crop")
        refuses("means of 0..255", [*start, "--mean", "123,116,103"], USAGE, "divide means")
        refuses("a wrong interpolation", [*start, "--interpolation", "cubic"], USAGE, "bicubic")
        write(names, b"cat\ndog\n")
        refuses("too few labels", [*start, "--labels", names], REFUSED, "expected 3", "found 2")
        write(names, b"cat\ndog\n\xff\n")
        refuses("labels not UTF-8", [*start, "--labels", names], REFUSED, "label 2", "UTF-8")
        tap.ok(not os.path.exists(out), "what is refused writes nothing")

    with tempfile.TemporaryDirectory() as directory:
        source = checkpoint.safetensors(checkpoint.resnet(width=1, classes=1000))
        _, about = packed(source, directory=directory)
        tap.equal(about["labels"][207], "golden retriever", "1000 classes get ImageNet's labels")


def synthetic_models():
    with tempfile.TemporaryDirectory() as directory:
        one, two = (os.path.join(directory, name) for name in ("one.rnm", "two.rnm"))
        command = "random --seed 7 --width 1/8 -o".split()
        tap.equal(run(*command, one).returncode, 0, "random --width 1/8")
        tap.equal(run(*command, two).returncode, 0, "and again")
        tap.ok(read(one) == read(two), "a seed names the bytes")
        tap.ok(os.path.getsize(one) < 6 << 20, "small", f"{os.path.getsize(one)} bytes")
        about = info(one)
        tap.equal(about["name"], "ResNet-50 (synthetic weights)", "its name says what it is")
        tap.equal(about["labels"][17], "synthetic class 17", "so do its labels")
        tap.equal((about["synthetic"], about["source_sha256"]), (True, None), "and its marks")
        run("random", "--seed", "8", "--width", "1/8", "-o", two)
        tap.ok(info(two)["model_sha256"] != about["model_sha256"], "another seed, another model")
        command = "random --depth 18 --width 1/16 --classes 5 -o".split()
        tap.equal(run(*command, two).returncode, 0, "random --depth 18 --classes 5")
        about = info(two)
        tap.equal((about["arch"], about["classes"]), ("resnet18-w4", 5), "the shape asked for")
        command = "random --depth 18 --width 1/16 --resize 70 --crop 64 -o".split()
        tap.equal(run(*command, two).returncode, 0, "random --resize 70 --crop 64")
        recipe = info(two)["recipe"]
        tap.equal((recipe["resize"], recipe["crop"]), (70, 64), "for pictures of that size")
        tap.equal(run("verify", two).returncode, 0, "whose self-test passes")


def calibrated():
    """int8's ranges by photographs: what is none is left out by name, and none at all is an error."""
    with tempfile.TemporaryDirectory() as directory:
        source = write(os.path.join(directory, "w"), checkpoint.safetensors(checkpoint.resnet()))
        pictures, empty = os.path.join(directory, "pictures"), os.path.join(directory, "empty")
        model = os.path.join(directory, "model.rnm")
        os.makedirs(os.path.join(pictures, "below"))
        os.mkdir(empty)
        for i in range(3):
            write(os.path.join(pictures, f"{i}.jpg"), draw.jpeg(seed=i))
        write(os.path.join(pictures, "broken.jpg"), draw.jpeg()[:900])
        write(os.path.join(pictures, "list.txt"), b"0 1 2\n")
        arguments = ["pack", source, "-o", model, "--precision", "fp32,int8"]
        done = run(*arguments, "--calibrate", pictures)
        tap.equal(done.returncode, 0, "--calibrate DIR")
        for name in ("broken.jpg", "list.txt"):
            tap.ok(f"{name}: not used to calibrate" in done.stderr, f"{name} is left out", done.stderr)
        about, first = info(model)["int8"], read(model)
        tap.equal((about["ranges"], about["pictures"]), ("photographs", 3), "info: by three photographs")
        finite = [x for x in about["snr_db"].values() if x is not None]
        tap.ok(len(finite) == 21 and min(finite) > 10, "info: each layer's error", about)
        tap.ok("ranges by photographs (3)" in run("info", model).stdout, "info, as text")
        run(*arguments, "--calibrate", pictures)
        tap.ok(read(model) == first, "once more: the same bytes")
        done = run("verify", model)
        tap.ok("self-test in int8" in done.stdout and done.returncode == 0, "verify", done.stderr)
        tap.equal(run(*arguments).returncode, 0, "without photographs")
        tap.equal(info(model)["int8"]["ranges"], "batch-norm", "info: by batch-norm")
        tap.equal(set(info(model)["int8"]["snr_db"].values()), {None}, "info: no error was measured")
        os.unlink(model)
        refuses("no photographs", [*arguments, "--calibrate", empty], REFUSED, "expected photographs")
        refuses("no directory", [*arguments, "--calibrate", "/nowhere"], REFUSED, "/nowhere")
        left = sorted(os.listdir(directory))
        tap.equal(left, ["empty", "pictures", "w"], "nothing is left behind")


def verify():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model.rnm")
        run("random", "--width", "1/16", "--depth", "18", "-o", path)
        done = run("verify", path)
        tap.ok(done.returncode == 0 and "self-test in fp32: stage sums and logits hold" in done.stdout,
               "verify", done.stdout + done.stderr)  # fmt: skip
        model = read(path)
        for at, words in [
            (0, "not a model file"), (8, "version"), (32, "head's CRC-32C"), (200, "head's CRC-32C"),
            (len(model) // 3, "section f32.plain: CRC-32C"), (len(model) - 1, "section f32."),
        ]:  # fmt: skip
            damaged = bytearray(model)
            damaged[at] ^= 1
            write(path, damaged)
            refuses(f"byte {at} flipped", ["verify", path], REFUSED, words)
        write(path, model[:-1])
        refuses("cut off", ["verify", path], REFUSED, "cut off", str(len(model)))
        refuses("no file", ["verify", path + "x"], REFUSED, "No such file")
        refuses("a text", ["verify", __file__], REFUSED, "not a model file")


def bad_weights():
    weights = checkpoint.resnet(classes=3)
    whole = checkpoint.safetensors(weights)
    wrong_shape = {**weights, "fc.weight": ((3, 16), bytes(4 * 48))}
    lacking = {name: t for name, t in weights.items() if name != "layer2.0.bn2.running_var"}
    gone = {**weights, "fc.bias": ((3,), struct.pack("<3f", 0, float("nan"), 0))}
    gray = {**weights, "conv1.weight": ((4, 1, 7, 7), weights["conv1.weight"][1][: 4 * 4 * 49])}
    cases = [
        ("a network of gray pictures", checkpoint.safetensors(gray), "3 input channels", "found 1"),
        ("empty", b"", "source"),
        ("a text", b"#!/bin/sh\n" * 100, "source"),
        ("cut off", whole[:-100], "source"),
        ("a tensor of another shape", checkpoint.safetensors(wrong_shape), "fc.weight", "[3,16]"),
        ("a tensor is missing", checkpoint.safetensors(lacking), "layer2.0.bn2.running_var"),
        ("not a number", checkpoint.safetensors(gone), "fc.bias"),
    ]
    with tempfile.TemporaryDirectory() as directory:
        for name, data, *words in cases:
            path = write(os.path.join(directory, "source"), data)
            refuses(name, ["pack", path, "-o", os.path.join(directory, "x")], REFUSED, *words)
        refuses("no file", ["pack", directory + "/no", "-o", directory + "/x"], REFUSED, "/no")
        write(path, whole)
        refuses("over itself", ["pack", path, "-o", path], USAGE, "over itself")
        refuses("nowhere", ["pack", path, "-o", directory + "/no/x"], LATER, "/no/x")
        refuses("a device", ["pack", path, "-o", "/dev/null"], LATER, "not a regular file")
        tap.equal(os.listdir(directory), ["source"], "nothing is left behind")


def no_room():
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "x.rnm")
        command = ["random", "--width", "1/16", "--depth", "18", "-o", out]
        refuses("a file-size limit", command, LATER, "x.rnm", preexec_fn=small_files)
        tap.equal(os.listdir(directory), [], "nothing is left behind")
        script = (
            'mount -t tmpfs -o size=64k none "$1" || exit 9; shift; "$@"; status=$?; '
            'ls -A "$0" >&2; exit $status'
        )
        mounted = ["unshare", "-rm", "sh", "-c", script, directory, directory, PACK, *command]
        if shutil.which("unshare") is None:
            return tap.skip("a full disk", "no unshare here")
        done = subprocess.run(mounted, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode in (1, 9):
            return tap.skip("a full disk", "no mount in a namespace of one's own here")
        good = done.returncode == LATER and done.stderr.endswith("No space left on device\n")
        return tap.ok(good, "a full disk", f"{done.returncode}: {done.stderr}")


def killed():
    try:
        terminal, stderr = pty.openpty()
    except OSError as error:
        return tap.skip("progress is shown on a terminal", f"no terminal is to be had here: {error}")
    with tempfile.TemporaryDirectory() as directory:
        out = write(os.path.join(directory, "x.rnm"), b"old")
        child = subprocess.Popen([PACK, "random", "-o", out], stderr=stderr)
        os.close(stderr)
        shown = b""
        until = time.monotonic() + 60
        while b"self-test" not in shown and time.monotonic() < until:
            shown += os.read(terminal, 4096)
        tap.ok(b"self-test" in shown and b"%" in shown, "progress is shown on a terminal", shown)
        child.send_signal(signal.SIGTERM)
        tap.equal(child.wait(timeout=60), -signal.SIGTERM, "SIGTERM ends it as a signal does")
        os.close(terminal)
        tap.equal(os.listdir(directory), ["x.rnm"], "nothing is left behind")
        tap.equal(bytes(read(out)), b"old", "the old file stands")
    return None


def real_weights():
    name = "real weights in all three forms"
    path = os.path.join(DATA, "weights", "resnet50.safetensors")
    if not os.path.exists(path):
        return tap.skip(name, "RESNET_SHARED is not there")
    tensors = checkpoint.read_safetensors(path)
    with tempfile.TemporaryDirectory() as directory:
        model, about = packed(read(path), directory=directory)
        tap.equal((about["name"], about["arch"]), ("ResNet-50", "resnet50"), "real weights: name")
        for form in (checkpoint.pth_zip, checkpoint.pth_legacy):
            other, told = packed(form(tensors), directory=directory)
            same = without_source(other) == without_source(model)
            tap.ok(same and told["model_sha256"] == about["model_sha256"], f"{name}: {form.__name__}")
        tap.equal(run("verify", os.path.join(directory, "model.rnm")).returncode, 0, "verify")


tap.run(command_line, every_form_of_the_same_weights, recipe_and_labels, synthetic_models, calibrated, verify,
        bad_weights, no_room, killed, real_weights)  # fmt: skip
