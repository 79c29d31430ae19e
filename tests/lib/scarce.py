"""scarce.py: programs whose allocations fail when a test says so (fixtures/scarce.c, preloaded).

    memory = Scarce("resnet-fcgi")
    run(..., env=clean_environment(**memory.environment))
    memory.fail(7)          # the seventh from now on; fail(7, FOR_EVER): and all that follow
"""

import mmap
import os
import struct
import tempfile

import service

FOR_EVER = 1 << 62
SEEN, FAILED, FROM, N = range(0, 32, 8)


class Scarce:
    def __init__(self, program, spares=()):
        """program: the name of those whose memory is scarce; what they start is called otherwise.
        spares: libraries, "libfcgi", that get all they ask for."""
        library = os.path.join(service.BUILD, "tests", "scarce.so")
        with tempfile.NamedTemporaryFile(prefix="scarce.", delete=False) as file:
            os.truncate(file.fileno(), 4096)
            self.path, self.page = file.name, mmap.mmap(file.fileno(), 4096)
        self.environment = {
            "LD_PRELOAD": library,
            "SCARCE_PAGE": self.path,
            "SCARCE_PROGRAM": program,
            "SCARCE_SPARES": " ".join(spares),
            # the sanitizer wants to be the first; what it replaces, it still does
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()
        os.unlink(self.path)

    def _get(self, at):
        return struct.unpack_from("=Q", self.page, at)[0]

    def _set(self, at, value):
        struct.pack_into("=Q", self.page, at, value)

    def fail(self, number, how_many=1):
        """Counts from now on; the allocation of that number fails, and so do how_many in all."""
        self._set(FROM, 0)
        self._set(SEEN, 0)
        self._set(FAILED, 0)
        self._set(N, how_many)
        self._set(FROM, number)

    def enough(self):
        """From now on all succeed; counts from 0."""
        self.fail(0)

    @property
    def seen(self):
        return self._get(SEEN)

    @property
    def failed(self):
        return self._get(FAILED)
