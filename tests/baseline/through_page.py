"""through_page.py: what through.py found, as Markdown."""

import measure

CORES = measure.CORES
PARTS = ("speed", "cold", "harm")
DISTURBED = 0.05  # of the machine's CPU time, by others
MANY = (str(CORES), str(2 * CORES))
WANTED = [
    ("ours, fp32", ("modern, fp32",), 1.5),
    ("ours, int8", ("modern, int8",), 2.0),
    ("ours, fp32", ("old, jit", "old, tuned", "old, 120 s", "old, defaults"), 1.8),
    ("ours, int8", ("old, jit", "old, tuned", "old, 120 s", "old, defaults"), 4.0),
]


def median_of(results, *keys):
    found = []
    for result in results:
        for key in keys:
            result = result[key]
        found.append(result)
    return None if not found or None in found else measure.median(found)


def per_second(results):
    """The better of the two: as many clients as cores, and twice as many."""
    return max(median_of(results, n, "per_second") for n in MANY)


def both(results, a, b):
    return f"{median_of(results, *a):.3g}, {median_of(results, *b):.3g}"


def failures(results):
    asked = [r[n] for r in results for n in ("1", *MANY)]
    return f"{sum(a['bad'] for a in asked)} of {sum(a['good'] + a['bad'] for a in asked)}"


def mebibytes(results):
    found = median_of(results, "pss_bytes")
    return "?" if found is None else f"{found / 2**20:.0f}"


def harmed(what):
    return lambda results: ", ".join(
        f"{r[what]['failed']} of {r[what]['requests']}; {r[what]['longest_ms'] / 1000:.2f}" for r in results)


ROWS = [
    ("speed", "images/s", lambda r: f"**{per_second(r):.1f}**"),
    ("speed", "images/s a core", lambda r: f"{per_second(r) / CORES:.1f}"),
    ("speed", f"CPU ms an image, {MANY[1]} clients", lambda r: f"{median_of(r, MANY[1], 'cpu_ms'):.1f}"),
    ("speed", "1 client: p50, p99 ms", lambda r: both(r, ("1", "p50_ms"), ("1", "p99_ms"))),
    ("speed", f"{MANY[0]} clients: p50, p99 ms", lambda r: both(r, (MANY[0], "p50_ms"), (MANY[0], "p99_ms"))),
    ("speed", f"{MANY[1]} clients: p50, p99 ms", lambda r: both(r, (MANY[1], "p50_ms"), (MANY[1], "p99_ms"))),
    ("speed", "failures, answers cut short included", failures),
    ("speed", f"`/health` beside {MANY[1]} clients: p50, max ms",
     lambda r: both(r, ("health", "p50_ms"), ("health", "max_ms"))),
    ("speed", "start to first answer, warm, s", lambda r: f"{median_of(r, 'first_s'):.2f}"),
    ("cold", "the same, cold page cache, s", lambda r: f"{median_of(r, 'first_s'):.2f}"),
    ("speed", "memory of all processes (PSS), MiB", mebibytes),
    ("harm", "`kill -9` of a worker: failures; longest wait, s", harmed("kill")),
    ("harm", "`HUP`: failures; longest wait, s", harmed("reload")),
]  # fmt: skip


def table(results):
    names = list(results["settings"])
    names = [n for n in names if any(n in results[p]["stacks"] for p in PARTS if p in results)]
    rows = []
    for part, what, show in ROWS:
        if part in results:
            found = results[part]["stacks"]
            rows.append((what, *(show(found[n]) if found.get(n) else "" for n in names)))
    return measure.markdown(("", *names), rows)


def others(results):
    return measure.median([r[n]["others"] for r in results for n in MANY])


def ratios(results):
    """Rows, and whether each ratio is reached."""
    found = results.get("speed", {"stacks": {}})["stacks"]
    rows = []
    for ours, peers, least in WANTED:
        there = [name for name in peers if name in found]
        if ours in found and there:
            best = max(there, key=lambda name: per_second(found[name]))
            ratio = per_second(found[ours]) / per_second(found[best])
            verdict = "reached" if ratio >= least else "MISSED"
            if max(others(found[ours]), others(found[best])) > DISTURBED:
                verdict = "disturbed: not judged"
            rows.append((f"{ours} / {best}", f"{ratio:.2f}", f"{least:.1f}", verdict))
    return rows, bool(rows) and all(row[-1] == "reached" for row in rows)


def loads(results):
    shares = [r[n]["others"] for rs in results["speed"]["stacks"].values() for r in rs for n in MANY]
    return [f"- others' load while images were counted: median {100 * measure.median(shares):.0f} %, "
            f"most {100 * max(shares):.0f} %"] if shares else []  # fmt: skip


def page(results):
    """Lines, and whether every ratio is reached."""
    lines = ["# Whole services beside each other", ""]
    for part in PARTS:
        if part in results:
            lines += [f"{part}:", *results[part]["stamp"], *(loads(results) if part == "speed" else []), ""]
    lines += [", ".join(f"{name} {version}" for name, version in results["versions"].items()), ""]
    lines += [f"- {name}: {settings}" for name, settings in results["settings"].items()] + [""]
    rows, good = ratios(results)
    lines += [*table(results), "", "Images a second; more is better.", ""]
    return lines + measure.markdown(("", "ratio", "at least", ""), rows), good
