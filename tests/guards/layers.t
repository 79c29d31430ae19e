#!/usr/bin/env python3
"""Nothing points the other way: kernels <- weights <- fcgi <- spawn. What each archive needs from
outside, and what each folder includes, is looked at."""

import os
import re

import objects
import sources
import tap

# All that kernels/ may ask of the world: memory, strings, arithmetic, threads, one BLAS.
KERNELS_MAY = re.compile(
    r"cblas_[a-z]+|openblas_get_[a-z]+|mem[a-z]+|str[a-z]+|v?snprintf|__assert_fail|"
    r"malloc|calloc|realloc|aligned_alloc|posix_memalign|free|mmap|munmap|madvise|qsort|bsearch|"
    r"(exp|log|sqrt|fabs|floor|ceil|round|rint|lrint|nearbyint|fma|fmax|fmin|pow|ldexp)[fl]?|"
    r"pthread_[a-z_]+|sig(del|fill)set|clock_gettime|syscall|__cpu_model|__cpu_indicator_init"
)
NETWORK = r"socket|socketpair|bind|listen|accept4?|connect|FCG[XI]_.*"
PROCESSES = r"fork|vfork|clone|exec[a-z]+|posix_spawnp?|system|popen"
MUST_NOT = {
    "libweights.a": re.compile(rf"fcgi_.*|spawn_.*|cblas_.*|jpeg_.*|png_.*|WebP.*|getenv|{NETWORK}|{PROCESSES}"),
    "libfcgi-app.a": re.compile(rf"spawn_.*|cblas_.*|zip_.*|nettle_.*|bind|listen|{PROCESSES}"),
    "libspawn.a": re.compile(r"kn_.*|wt_.*|cblas_.*|openblas_.*|jpeg_.*|png_.*|WebP.*|zip_.*|nettle_.*"),
}
MAY_INCLUDE = {
    "kernels": {"kernels"},
    "weights": {"weights", "kernels"},
    "fcgi": {"fcgi", "weights", "kernels"},
    "spawn": {"spawn", "fcgi"},
}


def wrong_symbols(archive, name):
    """Names in the archive that its folder must not need. None when there is nothing to look at."""
    needed = objects.wanted(archive)
    if not needed and not objects.defined(archive):
        return None
    if name == "libkernels.a":
        return sorted(s for s in needed if not KERNELS_MAY.fullmatch(s))
    return sorted(s for s in needed if MUST_NOT[name].fullmatch(s))


# A program's own files are above all folders in what every program does, telling its version, and in
# what its folder may not know: resnet-pack looks at photographs to calibrate.
PROGRAMS_MAY = {
    "weights": {"fcgi/version.h", "fcgi/classify_files.h", "fcgi/image.h"},
}


def wrong_includes(text, folder, of_a_program=False):
    found = re.findall(r'^\s*#\s*include\s+"(([a-z]+)/[^"]*)"', text, re.MULTILINE)
    wrong = {whole for whole, first in found if first not in MAY_INCLUDE[folder]}
    return sorted(wrong - (PROGRAMS_MAY.get(folder, set()) if of_a_program else set()))


def archives():
    for name in ("libkernels.a", *MUST_NOT):
        wrong = wrong_symbols(os.path.join(objects.BUILD, name), name)
        tap.equal(wrong, [], f"{name}: nothing from above, nothing foreign")


def members():
    """Stems of all objects in archives; what is not there belongs to a program alone."""
    names = (name for name in ("libkernels.a", *MUST_NOT))
    lists = (objects.output("ar", "t", os.path.join(objects.BUILD, name)) for name in names)
    return {line.removesuffix(".o") for text in lists for line in text.split()}


def includes():
    in_archives = members()
    for folder in MAY_INCLUDE:
        paths = sources.files((".c", ".h"), [folder])
        wrong = []
        for path in paths:
            stem, kind = os.path.splitext(os.path.basename(path))
            of_a_program = kind == ".c" and stem not in in_archives
            if found := wrong_includes(sources.read(path), folder, of_a_program):
                wrong.append((path, found))
        tap.ok(paths, f"{folder}: there are files")
        tap.equal(wrong, [], f"{folder}: includes nothing from above")


def can_fail():
    cases = [
        ("libkernels.a", "int open(const char *, int); int kn_x(void) { return open(\"x\", 0); }"),
        ("libkernels.a", "char *getenv(const char *); char *kn_x(void) { return getenv(\"x\"); }"),
        ("libkernels.a", "int wt_y(void); int kn_x(void) { return wt_y(); }"),
        ("libweights.a", "int fcgi_y(void); int wt_x(void) { return fcgi_y(); }"),
        ("libweights.a", "int socket(int, int, int); int wt_x(void) { return socket(1, 1, 0); }"),
        ("libfcgi-app.a", "int spawn_y(void); int fcgi_x(void) { return spawn_y(); }"),
        ("libfcgi-app.a", "int fork(void); int fcgi_x(void) { return fork(); }"),
        ("libspawn.a", "int kn_run(void); int spawn_x(void) { return kn_run(); }"),
    ]
    for name, text in cases:
        wrong = objects.snippet(text, lambda path, name=name: wrong_symbols(path, name))
        tap.equal(len(wrong), 1, f"can fail: {name}: {text.split(';')[0]}")
    empty = objects.snippet("", lambda path: wrong_symbols(path, "libkernels.a"))
    tap.equal(empty, None, "an empty archive is not a clean one")
    text = '#include "fcgi/log.h"\n#include "fcgi/version.h"\n#include "kernels/err.h"\n'
    found = wrong_includes(text, "weights", True)
    tap.equal(found, ["fcgi/log.h"], "can fail: an include, even in a main file")
    tap.equal(len(wrong_includes(text, "weights")), 2, "can fail: two, in any other")


tap.run(archives, includes, can_fail)
