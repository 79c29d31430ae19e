"""ready.py: what all opponents need before the first of them runs: one network in everybody's
format, and npm's packages, in BUILD/baseline."""

import contextlib
import glob
import os
import shutil
import subprocess
import sys

import measure

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(measure.TOP, os.environ.get("BUILD", "build"))
PLACE = os.path.join(BUILD, "baseline")
# Debian's modules belong to Debian's Python, whatever other comes first in PATH.
PYTHON = next((p for p in ("/usr/bin/python3", sys.executable) if os.access(p, os.X_OK)), "python3")
DEMO = os.path.join(measure.TOP, "tests", "fixtures", "demo.jpg")
CALIBRATED_WITH = 16  # photographs


def run(command, **how):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900,
                          env=measure.environment(), **how)  # fmt: skip
    if done.returncode != 0:
        last = ((done.stderr or done.stdout).strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(f"{' '.join(command[:3])}: {last}")
    return done.stdout


def place(name):
    return os.path.join(PLACE, name)


def made(stamp, sources, make):
    """Calls make(), unless what it makes is there and of these very files."""
    said = "\n".join(f"{path} {os.stat(path).st_mtime_ns}" for path in sources)
    with contextlib.suppress(FileNotFoundError), open(place(stamp), encoding="utf-8") as file:
        if file.read() == said:
            return
    make()
    with open(place(stamp), "w", encoding="utf-8") as file:
        file.write(said)


def export(weights):
    """resnet50.pth, .onnx, .rnm, input.npy. False when there is no PyTorch: then a model of random
    weights, of which nobody else has a copy."""
    os.makedirs(PLACE, exist_ok=True)
    pack = os.path.join(BUILD, "bin", "resnet-pack")
    both = ["--precision", "fp32,int8", "-o", place("resnet50.rnm")]
    exporter = os.path.join(HERE, "export.py")

    def make():
        run([PYTHON, exporter, PLACE, *([weights] if weights else [])])
        run([pack, "pack", place("resnet50.pth"), *both])

    try:
        made("exported", [exporter, pack, *([weights] if weights else [])], make)
    except RuntimeError as error:
        run([pack, "random", "--seed", "1", *both])
        print(f"SKIP every peer: no network could be exported for them: {error}", flush=True)
        return False
    return True


def photographs(directory):
    """Some of the directory's, evenly; or the one that is drawn."""
    found = sorted(p for p in glob.glob(os.path.join(directory, "*")) if p.lower().endswith((".jpg", ".jpeg")))
    return found[:: max(1, len(found) // CALIBRATED_WITH)][:CALIBRATED_WITH] if directory else [DEMO]


def quantize(directory):
    quantizer, paths = os.path.join(HERE, "quantize.py"), photographs(directory)
    made("quantized", [quantizer, place("resnet50.pth"), *paths],
         lambda: run([PYTHON, quantizer, PLACE, place("resnet50.pth"), *paths]))  # fmt: skip


def install_from_npm():
    """Into the build directory, from the registry that npm is set up for; no package's script runs."""
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed")
    shutil.copy(os.path.join(HERE, "package.json"), PLACE)
    if not all(os.path.isdir(place("node_modules/" + name)) for name in ("onnxruntime-node", "sharp")):
        run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"],
            cwd=PLACE)  # fmt: skip


def why_not(step, *arguments):
    """None when the step went well, else what went wrong."""
    try:
        step(*arguments)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def version_of_npm(name):
    return run(["node", "-p", f"require('{place('node_modules/' + name)}/package.json').version"]).strip()


def version_of_python(name):
    code = f"import importlib.metadata as m; print(m.version('{name}'))"
    return run([PYTHON, "-c", code]).strip()
