"""measure.py: what the benchmarks share: this machine in words, and one program run beside others'
load."""

import datetime
import json
import os
import platform
import re
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORES = len(os.sched_getaffinity(0))
HONESTLY = "AVX2/AVX-512, without AMX"


def environment(**more):
    """The caller's, without what would change a measurement in silence."""
    names = re.compile(r"(RESNET|OPENBLAS|OMP|MKL|GOTO|ORT)_")
    kept = {k: v for k, v in os.environ.items() if not names.match(k)}
    return {**kept, **more}


def one_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def stamp():
    """Where, when and what, as rows of Markdown."""
    commit = one_line("git", "describe", "--always", "--dirty", "--abbrev=12") or "not from git"
    return [
        f"- {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit}",
        f"- {cpu_model()}, {CORES} cores, Linux {platform.release()}",
        f"- {HONESTLY}",
    ]


def machine_ticks():
    """(all, idle, stolen) ticks of all CPUs since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(x) for x in file.readline().split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4], ticks[7]


class Others:
    """with Others() as others: ...; others.share: of the machine's CPU time, what neither we nor
    what we started used, the hypervisor's part included."""

    def __enter__(self):
        self.before, self.ours = machine_ticks(), self._ours()
        return self

    def __exit__(self, *_):
        total, idle, _ = (b - a for a, b in zip(self.before, machine_ticks()))
        ours = self._ours() - self.ours
        self.share = max(0.0, (total - idle - ours) / max(total, 1))

    @staticmethod
    def _ours():
        times = os.times()
        return sum(times[:4]) * os.sysconf("SC_CLK_TCK")


def run_json(command, cwd=None, timeout=300, **variables):
    """Runs a program that prints one JSON object. Returns that object, "others" added."""
    with Others() as others:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=cwd, timeout=timeout,
            env=environment(**variables),
        )  # fmt: skip
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RuntimeError(f"{os.path.basename(command[0])}: {last}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    found["others"] = others.share
    return found


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def markdown(heads, rows):
    """A table; columns after the first are numbers."""
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def publish(path, lines):
    """Prints the page, and keeps it."""
    text = "\n".join(lines) + "\n"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    print(text, end="", flush=True)


def wait_for_quiet(share, seconds):
    """Waits until others use less than `share` of the machine, but not longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with Others() as others:
            time.sleep(0.5)
        if others.share < share:
            return True
    return False
