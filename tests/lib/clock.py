"""clock.py: a wall clock that can be set, for all that is started while it is there. Monotonic time
goes on as it does.

    with Clock() as clock, Service() as service:
        clock.set(+3600)
"""

import os
import struct
import tempfile

import service

HOUR_S, YEARS_S = 3600, 10 * 365 * 86400


class Clock:
    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="resnet-t.")
        self.set(0)
        more = {
            "LD_PRELOAD": os.path.abspath(os.path.join(service.BUILD, "tests", "clock-step.so")),
            "CLOCK_STEP_FILE": self.file.name,
            # a sanitizer insists on being the first library, and need not be before one like this
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }
        self.before = {name: os.environ.get(name) for name in more}
        os.environ.update(more)
        return self

    def set(self, seconds):
        """So far from the real one."""
        os.pwrite(self.file.fileno(), struct.pack("=q", seconds), 0)

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self.file.close()
