#!/usr/bin/env python3
"""through.py [--only speed,cold,harm] [--stacks 'NAME; ...'] [--rounds 3] [--seconds 3] [--weights FILE]
[--photographs DIR] [--image FILE]: whole services under the same load on the same cores, taking
turns: ours, and the opponents of stacks.py. Writes BUILD/bench/compare-http.md and .json.

Parts: speed (start, images a second, latency, health, memory), cold (start with an empty page cache;
root only), harm (kill -9 of a worker, HUP, each under load). A part that is not measured this time is
taken from the .json, with its own date.
"""

import argparse
import collections
import json
import os
import sys
import time

import clients
import measure
import ready
import service
import stacks
from through_page import PARTS, page

CLIENTS = (1, measure.CORES, 2 * measure.CORES)
HARMED_CLIENTS = 4
START_S, CHANGE_S = 120, 60
WARM_S, AROUND_S = 1.5, 1.5
QUIET_SHARE, QUIET_S = 0.1, 10
JSON = os.path.join(ready.BUILD, "bench", "compare-http.json")
DROP_CACHES = "/proc/sys/vm/drop_caches"


class Started:
    """with Started(stack, picture) as running: it has answered once; running.first_s is how long that
    took from the moment in which it was started."""

    def __init__(self, stack, picture):
        self.context, self.picture = stack.opened(), picture

    def __enter__(self):
        running = self.context.__enter__()
        try:
            start = time.monotonic()
            running.start()
            clients.first_answer(running.port, self.picture, START_S)
            running.first_s = time.monotonic() - start
        except BaseException:
            self.context.__exit__(*sys.exc_info())
            raise
        return running

    def __exit__(self, *why):
        return self.context.__exit__(*why)


# ---- the parts -----------------------------------------------------------------------------------


def rate(running, n, options):
    """clients.rate(), where the service itself is not counted among the others."""
    service_before, machine_before = stacks.cpu_ticks(running), measure.machine_ticks()[0]
    found = clients.rate(running.port, n, options.seconds, options.image)
    used = stacks.cpu_ticks(running) - service_before
    found["others"] = max(0.0, found["others"] - used / (measure.machine_ticks()[0] - machine_before))
    answers = found["good"] + found["bad"]
    found["cpu_ms"] = 1000 * used / os.sysconf("SC_CLK_TCK") / max(answers, 1)
    return found


def speed(stack, options):
    with open(options.image, "rb") as file:
        picture = file.read()
    with Started(stack, picture) as running:
        clients.rate(running.port, 2 * measure.CORES, WARM_S, options.image)
        found = {str(n): rate(running, n, options) for n in CLIENTS}
        found["health"] = clients.health(running.port, 2 * measure.CORES, options.seconds, options.image)
        found["pss_bytes"] = stacks.pss_bytes(running)
        found["first_s"] = running.first_s
    said = ", ".join(f"{n} clients {found[str(n)]['per_second']:.1f}/s" for n in CLIENTS)
    print(f"{stack.name}: {said}, others {100 * found[str(CLIENTS[-1])]['others']:.0f} %", flush=True)
    return found


def empty_page_cache():
    """True when it could be done; a sync first, since what is dirty stays."""
    os.sync()
    try:
        with open(DROP_CACHES, "w", encoding="ascii") as file:
            file.write("3")
    except OSError as error:
        print(f"SKIP cold starts: {DROP_CACHES}: {error}; that needs root", flush=True)
        return False
    return True


def cold(stack, options):
    with open(options.image, "rb") as file:
        picture = file.read()
    if not empty_page_cache():
        return None
    with Started(stack, picture) as running:
        print(f"{stack.name}: cold start {running.first_s:.2f} s", flush=True)
        return {"first_s": running.first_s}


def killed(running, picture):
    with clients.Asking(running.port, picture, HARMED_CLIENTS) as asking:
        time.sleep(AROUND_S)
        before = running.workers()
        os.kill(before[0], 9)
        service.until(lambda: len(set(running.workers()) - {before[0]}) >= len(before), CHANGE_S,
                      "a new worker in its place")  # fmt: skip
        time.sleep(2 * AROUND_S)
    return asking.summary()


def reloaded(running, picture):
    with clients.Asking(running.port, picture, HARMED_CLIENTS) as asking:
        time.sleep(AROUND_S)
        before = set(running.workers())
        running.reload()
        service.until(lambda: running.workers() and not before & set(running.workers()), CHANGE_S,
                      "new workers only")  # fmt: skip
        time.sleep(2 * AROUND_S)
    return asking.summary()


def harm(stack, options):
    with open(options.image, "rb") as file:
        picture = file.read()
    with Started(stack, picture) as running:
        clients.rate(running.port, 2 * measure.CORES, WARM_S, options.image)
        found = {"kill": killed(running, picture), "reload": reloaded(running, picture)}
    print(f"{stack.name}: kill -9 {found['kill']}, HUP {found['reload']}", flush=True)
    return found


DO = {"speed": speed, "cold": cold, "harm": harm}


# ---- the run -------------------------------------------------------------------------------------


def prepare(options):
    """Why each opponent cannot be had: {"modern", "modern int8", "old"} -> sentence or None."""
    if not ready.export(options.weights):
        return collections.defaultdict(lambda: "no PyTorch to export the network with")
    npm = ready.why_not(ready.install_from_npm)
    bits = npm or ready.why_not(ready.quantize, options.photographs)
    gunicorn = "import gunicorn, uvicorn, fastapi, multipart, torch, torchvision, PIL"
    old = ready.why_not(ready.run, [ready.PYTHON, "-c", gunicorn])
    return {"modern": npm, "modern int8": bits, "old": old}


def chosen(options):
    every = stacks.all_stacks(prepare(options))
    names = [stack.name for stack in every]
    wrong = [name for name in options.stacks if name not in names]
    if wrong:
        raise SystemExit(f"through.py: no stack {wrong[0]!r}; there are {'; '.join(names)}")
    for stack in every:
        if stack.missing and (not options.stacks or stack.name in options.stacks):
            print(f"SKIP {stack.name}: {stack.missing}", flush=True)
    wanted = [stack for stack in every if options.stacks == [] and stack.usual or stack.name in options.stacks]
    return [stack for stack in wanted if not stack.missing]


def before():
    try:
        with open(JSON, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def measured(part, wanted, options):
    """{stack: [a result per round]}"""
    found = collections.defaultdict(list)
    for number in range(1, (options.rounds if part == "speed" else 1) + 1):
        if not measure.wait_for_quiet(QUIET_SHARE, QUIET_S):
            print(f"{part}, round {number}: others use this machine, too", flush=True)
        for stack in wanted:
            try:
                result = DO[part](stack, options)
            except (RuntimeError, TimeoutError, OSError) as error:
                print(f"SKIP {stack.name}, {part}, round {number}: {error}", flush=True)
                continue
            if result:
                found[stack.name].append(result)
    return dict(found)


def stamp(part, options):
    rounds = f"; {options.rounds} rounds of {options.seconds:g} s" if part == "speed" else ""
    return [*measure.stamp(), f"- {os.path.basename(options.image)}{rounds}"]


def joined(old, new_stamp, found):
    """Stacks that were not measured now stay, with their date."""
    kept = {name: r for name, r in (old or {"stacks": {}})["stacks"].items() if name not in found}
    if kept:
        new_stamp = [*old["stamp"], f"- then {'; '.join(found)}:", *new_stamp]
    return {"stamp": new_stamp, "stacks": {**kept, **found}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--stacks", type=lambda text: [n.strip() for n in text.split(";")], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--weights", default="")
    parser.add_argument("--photographs", default="")
    parser.add_argument("--image", default=ready.DEMO)
    parser.add_argument("--check", action="store_true", help="exit 1 unless every ratio is reached")
    options = parser.parse_args()
    wrong = [part for part in options.only if part not in PARTS]
    if wrong:
        raise SystemExit(f"through.py: no part {wrong[0]!r}; there are {', '.join(PARTS)}")
    wanted = chosen(options)
    results = before()
    for part in (part for part in PARTS if part in options.only):
        results[part] = joined(results.get(part), stamp(part, options), measured(part, wanted, options))
        results["versions"] = versions()
        results.setdefault("settings", {}).update({s.name: s.settings for s in wanted})
        os.makedirs(os.path.dirname(JSON), exist_ok=True)
        with open(JSON, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    print()
    lines, good = page(results)
    measure.publish(JSON.replace(".json", ".md"), lines)
    return 0 if good or not options.check else 1


def versions():
    found = {}
    for of, names in ((ready.version_of_npm, ("onnxruntime-node", "sharp")),
                      (ready.version_of_python, ("gunicorn", "uvicorn", "fastapi", "torch"))):  # fmt: skip
        for name in names:
            if ready.why_not(of, name) is None:
                found[name] = of(name)
    return found


if __name__ == "__main__":
    sys.exit(main())
