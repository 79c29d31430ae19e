#!/usr/bin/env python3
# timeout: 900
"""resnet-load --compare between the old stack (Gunicorn, Uvicorn, FastAPI, PyTorch) and ours, the same
weights, real photographs: with RESNET_EXIF=ignore they agree about every one; as it comes, EXIF is named
as the cause of each difference. T=60 takes all photographs, else a few."""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import service
import tap
import web
from front import Front

LOAD = service.program("resnet-load")
BASELINE = os.path.join(service.TOP, "tests", "baseline")
DATA = os.path.join(os.environ.get("RESNET_SHARED", ""), "data")
SOURCE = os.path.join(DATA, "weights", "resnet50.safetensors")
PHOTOGRAPHS = 1000 if tap.T >= 60 else 10
PATIENCE_S = 800
MODULES = "import torch, torchvision, fastapi, uvicorn, gunicorn, multipart"
SAVE = "import sys, torch, export; torch.save(export.network(sys.argv[1]).state_dict(), sys.argv[2])"


def python_with_all():
    for python in ("/usr/bin/python3", sys.executable):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([python, "-c", MODULES], check=True, capture_output=True, timeout=100)
            return python
    return None


def environment(**more):
    names = ("PYTHONPATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    kept = {k: v for k, v in service.clean_environment().items() if k not in names}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": BASELINE, **more}


@contextlib.contextmanager
def old_stack(directory):
    """Its URL. Behind nginx, as it would be."""
    weights, path = os.path.join(directory, "old.pth"), os.path.join(directory, "old.sock")
    subprocess.run([PYTHON, "-c", SAVE, SOURCE, weights], check=True, env=environment(), timeout=300)
    with open(os.path.join(directory, "old.log"), "wb") as log:
        gunicorn = subprocess.Popen(
            [PYTHON, "-m", "gunicorn", "old_app:app", "-k", "uvicorn.workers.UvicornWorker", "-w", "1",
             "-t", "600", "-b", f"unix:{path}"], cwd=BASELINE, stdout=log, stderr=log,
            env=environment(WEIGHTS=weights, TORCH_THREADS="1", OMP_NUM_THREADS="1"),
        )  # fmt: skip
    try:
        with Front(lambda port: f"client_max_body_size 16m; server {{ listen 127.0.0.1:{port}; location / "
                                f"{{ proxy_read_timeout 600s; proxy_pass http://unix:{path}:; }} }}") as front:  # fmt: skip

            def answers():
                if gunicorn.poll() is not None:
                    raise RuntimeError(service.tail(os.path.join(directory, "old.log")))
                with contextlib.suppress(web.Broken):
                    return web.request(front.port, "GET", "/health").status == 200

            service.until(answers, 300, "the old stack")
            yield f"http://127.0.0.1:{front.port}"
    finally:
        gunicorn.terminate()
        gunicorn.wait(service.STOP_S)


def compare(old, new, directory):
    done = subprocess.run([LOAD, "--json", "-q", "--timeout", "600s", "--compare", old, new, directory],
                          capture_output=True, text=True, check=False, timeout=PATIENCE_S,
                          env=service.clean_environment())  # fmt: skip
    if done.returncode not in (0, 1):
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def pictures(directory):
    """Photographs, and some of them as a phone stores them, turned. Returns how many."""
    paths = sorted(glob.glob(os.path.join(DATA, "images", "*.JPEG")))[:PHOTOGRAPHS]
    turned = sorted(glob.glob(os.path.join(DATA, "variants", "*.exif[2-8].jpg")))
    tap.ok(paths and turned, "there are photographs, and turned ones")
    for path in paths + turned:
        shutil.copy(path, directory)
    return len(paths) + len(turned)


def test():
    with tempfile.TemporaryDirectory() as directory:
        photographs = os.path.join(directory, "photographs")
        os.mkdir(photographs)
        n = pictures(photographs)
        with old_stack(directory) as old:
            with service.Service(workers=1, model=service.real_model(), RESNET_EXIF="ignore") as ours:
                ignoring = compare(old, f"http://127.0.0.1:{ours.port}", photographs)
            with service.Service(workers=1, model=service.real_model()) as ours:
                applying = compare(old, f"http://127.0.0.1:{ours.port}", photographs)
    for found in (ignoring, applying):
        tap.equal((found["pictures"], found["failed"]), (n, 0), "every picture is answered by both")
        tap.note(f"largest difference of a probability {found['largest_difference']}, "
                 f"latency {found['latency_ms']}")  # fmt: skip
    tap.equal(ignoring["differences"], [], "RESNET_EXIF=ignore: they agree about every one")
    others = applying["other"] + applying["close"]
    tap.ok(0 < others == applying["causes"]["exif"], "as it comes: EXIF is the cause of each difference",
           applying["differences"])  # fmt: skip


if not os.path.exists(SOURCE):
    tap.skip_all("RESNET_SHARED has no weights")
PYTHON = python_with_all()
if not PYTHON:
    tap.skip_all("PyTorch, FastAPI, Gunicorn are not all here; tests/deps.sh compare installs them")
tap.run(test)
