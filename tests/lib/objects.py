"""objects.py: what the guards ask of archives, objects and programs; and snippets compiled on the
spot, with which each guard shows that it can fail."""

import os
import re
import subprocess
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
SANITIZED = "/san-" in BUILD + "/"
# Put into every object by the compiler, the linker or <sys/sdt.h>, and nobody's choice.
OF_THE_COMPILER = re.compile(
    r"_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__(asan|ubsan|tsan|lsan|sanitizer|odr_asan)_.*|"
    r"_*odr_asan.*|__tls_get_addr|__(start|stop)_.*|_\.stapsdt\.base"
)


def output(*command):
    return subprocess.run(command, check=True, timeout=120, text=True, stdout=subprocess.PIPE).stdout


def symbols(path, *options):
    """{name} of what `nm options` lists in an archive or object; the compiler's own left out."""
    names = set()
    for line in output("nm", "-P", *options, path).splitlines():
        fields = line.split()
        if len(fields) >= 2 and not line.endswith(":"):
            names.add(fields[0].split("@")[0])
    return {name for name in names if not OF_THE_COMPILER.fullmatch(name)}


def defined(path):
    return symbols(path, "-g", "--defined-only")


def wanted(path):
    """What an archive needs from outside itself. Fortified names lose their dress."""
    needed = symbols(path, "-u") - defined(path)
    return {re.sub(r"^__(.*)_chk$", r"\1", name) for name in needed}


def compile_into(directory, text, kind="a", flags=()):
    """The C text as an object (.o) or an archive with that one object (.a). Returns its path."""
    source = os.path.join(directory, "snippet.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    path = os.path.join(directory, "snippet.o")
    output("cc", "-O1", "-w", *flags, "-c", "-o", path, source)
    if kind == "a":
        archive = os.path.join(directory, "snippet.a")
        output("ar", "rc", archive, path)
        return archive
    return path


def snippet(text, look, **options):
    """look(path) of a compiled snippet."""
    with tempfile.TemporaryDirectory() as directory:
        return look(compile_into(directory, text, **options))
