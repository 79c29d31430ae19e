#!/usr/bin/env python3
"""Networks made by Debian's PyTorch, saved by it, packed by us: the logits are PyTorch's.

Random weights and random batch-norm statistics; what is compared with is computed in float64.
Needs python3-torch, python3-torchvision (any of the interpreters tried), else skips.
"""
# timeout: 600

import array
import ast
import json
import os
import subprocess
import sys
import tempfile

import tap

BIN = os.path.abspath(os.path.join(os.environ.get("BUILD", "build"), "bin"))

# Largest difference from the float64 logits as a share of their largest magnitude, as measured; the
# bound is three times that, and never over 1e-5.
MEASURED = {
    ("resnet18", "ref"): 1.8e-7, ("resnet18", "blas"): 8.9e-7,
    ("resnet101", "ref"): 1.4e-7, ("resnet101", "blas"): 4.8e-7,
    ("wide_resnet50_2", "ref"): 9.2e-8, ("wide_resnet50_2", "blas"): 5.1e-7,
}  # fmt: skip

# Name and classes that the model must have, inputs, forms of .pth. The small one shows the most.
NETWORKS = {
    "resnet18": ("ResNet-18", 10, 2, ("zip", "legacy")),
    "resnet101": ("ResNet-101", 1000, 1, ("zip",)),
    "wide_resnet50_2": ("Wide ResNet-50-2", 37, 1, ("legacy",)),
}

# One thread: with two, Debian's PyTorch 1.13 gives other float64 logits each time, some off by a
# quarter of the largest. Batch-norm gets statistics of what really arrives, as training gives it,
# and then some more; a block's last one is small, as trained ones are, so that rounding errors do
# not grow with depth.
MAKE = r"""
import sys, numpy, torch, torchvision
arch, classes, inputs, directory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.manual_seed(1)
torch.set_num_threads(1)
net = getattr(torchvision.models, arch)(num_classes=classes)
norms = {name: m for name, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
deepest = "bn2" if arch in ("resnet18", "resnet34") else "bn3"
for name, m in norms.items():
    low, high = (0.1, 0.4) if name.endswith(deepest) else (0.5, 1.5)
    torch.nn.init.uniform_(m.weight, low, high)
    torch.nn.init.normal_(m.bias, 0, 0.2)
    m.momentum = 1.0
x = torch.randn(2, 3, 28, 28).repeat_interleave(8, 2).repeat_interleave(8, 3)
x += 0.3 * torch.randn(2, 3, 224, 224)
with torch.no_grad():
    net.train()(x)
    for m in norms.values():
        m.running_mean += 0.3 * m.running_var.sqrt() * torch.randn_like(m.running_mean)
        m.running_var *= torch.empty_like(m.running_var).uniform_(0.5, 1.5)
    net.eval()
    for form in sys.argv[5:]:
        path, is_zip = f"{directory}/{form}.pth", form == "zip"
        torch.save(net.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    if arch == "resnet18":
        torch.save(net, directory + "/module.pth")
    x = x[:inputs]
    numpy.save(directory + "/input.npy", x.numpy())
    numpy.save(directory + "/logits.npy", net.double()(x.double()).numpy())
"""


def interpreter():
    """One that has torch and torchvision, or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [python, "-c", "import torch, torchvision, numpy"]
        if subprocess.run(probe, capture_output=True, timeout=120, check=False).returncode == 0:
            return python
    return None


def rows(path):
    """A .npy file of two dimensions, float32 or float64."""
    with open(path, "rb") as file:
        start = file.read(10)
        assert start[:6] == b"\x93NUMPY", path
        header = ast.literal_eval(file.read(int.from_bytes(start[8:10], "little")).decode())
        values = array.array({"<f4": "f", "<f8": "d"}[header["descr"]])
        values.frombytes(file.read())
    width = header["shape"][1]
    return [values[i : i + width] for i in range(0, len(values), width)]


def run(program, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESNET_")}
    return subprocess.run(
        [os.path.join(BIN, program), *arguments], env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def difference(found, expected):
    return max(
        max(abs(a - b) for a, b in zip(f, e)) / max(map(abs, e))
        for f, e in zip(found, expected, strict=True)
    )


def compare(arch, directory, model):
    expected = rows(os.path.join(directory, "logits.npy"))
    if len(expected) == 2:
        tap.ok(difference(expected[:1], expected[1:]) > 1e-2, f"{arch}: two inputs, two answers")
    for isa in ("ref", "blas"):
        out = os.path.join(directory, "ours.npy")
        tensor = os.path.join(directory, "input.npy")
        done = run("resnet-classify", "-m", model, "--isa", isa, "--tensor", tensor, "--logits", out)
        if not tap.equal(done.returncode, 0, f"{arch}, {isa}: --tensor"):
            tap.note(done.stderr)
            continue
        worst = difference(rows(out), expected)
        bound = min(3 * MEASURED[arch, isa], 1e-5)
        tap.note(f"{arch}, {isa}: {worst:.2e} of the largest magnitude")
        tap.ok(worst <= bound, f"{arch}, {isa}: logits within {bound:.1e}", f"{worst:.2e}")


def whole_module(directory):
    path = os.path.join(directory, "module.pth")
    done = run("resnet-pack", "pack", path, "-o", os.path.join(directory, "module.rnm"))
    good = done.returncode == 78 and "state_dict()" in done.stderr
    tap.ok(good, "a whole module is refused with what to save instead", done.stderr)


def network(python, arch):
    name, classes, inputs, forms = NETWORKS[arch]
    with tempfile.TemporaryDirectory() as directory:
        make = [python, "-c", MAKE, arch, str(classes), str(inputs), directory, *forms]
        done = subprocess.run(make, capture_output=True, text=True, timeout=300, check=False)
        if not tap.equal(done.returncode, 0, f"{arch}: PyTorch makes and saves it"):
            return tap.note(done.stderr)
        hashes = set()
        for form in forms:
            model = os.path.join(directory, form + ".rnm")
            done = run("resnet-pack", "pack", os.path.join(directory, form + ".pth"), "-o", model)
            tap.ok(done.returncode == 0, f"{arch}, .pth ({form}): packed", done.stderr)
            told = json.loads(run("resnet-pack", "info", "--json", model).stdout)
            tap.equal((told["name"], told["classes"]), (name, classes), f"{arch}: its name")
            hashes.add(told["model_sha256"])
        tap.equal(len(hashes), 1, f"{arch}: the same model in every form")
        if arch == "resnet18":
            whole_module(directory)
        return compare(arch, directory, model)


def main():
    python = interpreter()
    if python is None:
        tap.skip_all("no Python here has torch, torchvision and numpy")
    tap.run(*[lambda arch=arch: network(python, arch) for arch in NETWORKS])


main()
