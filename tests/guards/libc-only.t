#!/usr/bin/env python3
"""The supervisor and the operator's tool link libc and nothing else: no BLAS, no codec; and no
program takes its BLAS from the shared library that Debian's alternatives choose."""

import os
import re

import objects
import tap

LIBC = re.compile(r"libc\.so\.6|ld-linux.*\.so\.\d|libc\.musl.*")
FOREIGN = re.compile(r"cblas_.*|openblas_.*|jpeg_.*|png_.*|WebP.*|zip_.*|nettle_.*|kn_.*|wt_.*")
BLAS = re.compile(r"lib(open)?blas.*|libgomp.*")


def needed(path):
    found = re.findall(r"\(NEEDED\).*\[(.+)\]", objects.output("readelf", "-d", path))
    return found or None


def programs():
    for name in ("resnet-spawn", "resnet-ctl"):
        path = os.path.join(objects.BUILD, "bin", name)
        extra = [library for library in needed(path) if not LIBC.fullmatch(library)]
        tap.equal(extra, [], f"{name}: needs libc alone")
        names = objects.defined(path)
        tap.ok("main" in names, f"{name}: has symbols to look at")
        wrong = sorted(n for n in names if FOREIGN.fullmatch(n))
        tap.equal(wrong, [], f"{name}: nothing of BLAS, codecs or the network in it")


def static_blas():
    for name in ("resnet-fcgi", "resnet-classify", "resnet-pack"):
        path = os.path.join(objects.BUILD, "bin", name)
        tap.equal([n for n in needed(path) if BLAS.match(n)], [], f"{name}: BLAS is linked in")
        tap.ok("cblas_sgemm" in objects.defined(path), f"{name}: and it is there")


def can_fail():
    path = os.path.join(objects.BUILD, "bin", "resnet-fcgi")
    extra = [library for library in needed(path) if not LIBC.fullmatch(library)]
    tap.ok(extra, "can fail: resnet-fcgi needs more than libc")
    wrong = [n for n in objects.defined(path) if FOREIGN.fullmatch(n)]
    tap.ok(wrong, "can fail: resnet-fcgi has BLAS in it")


if objects.SANITIZED:
    tap.skip_all("a sanitizer brings libraries of its own")
tap.run(programs, static_blas, can_fail)
