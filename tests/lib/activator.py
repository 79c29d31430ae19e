"""activator.py: what systemd does for a .socket unit and its Type=notify service: keeps the
listening socket, starts resnet-spawn when a connection waits in it and nobody is there, and listens
to what the service says of itself.

    with Activated(RESNET_IDLE_EXIT="200ms") as service: ...
"""

import os
import select
import socket
import subprocess
import threading
import time

import service

BACKLOG = 128


class Activated(service.Service):
    def __init__(self, **options):
        super().__init__(cold=True, **options)
        self.lives = []  # exit codes of those that have left
        self.told = []  # datagrams, as dicts
        self.started_ns = []
        self._stop = threading.Event()
        os.makedirs(self.run_dir, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.run_dir, "work.sock"))
        self.listener.listen(BACKLOG)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.directory, "notify"))
        self.notify.settimeout(0.1)
        self.environment["NOTIFY_SOCKET"] = os.path.join(self.directory, "notify")
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._keep, self._hear)]

    def start(self):
        super().start()
        for thread in self._threads:
            thread.start()
        return self

    def start_spawn(self):
        """The shell becomes resnet-spawn, so that LISTEN_PID is right."""
        script = 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"'
        self.started_ns.append(time.monotonic_ns())
        with open(self.log, "ab") as log:
            self.spawn = subprocess.Popen(
                ["sh", "-c", script, service.program("resnet-spawn", self.build)],
                stdin=self.listener, stdout=log, stderr=log,
                env=service.clean_environment(**self.environment),
            )  # fmt: skip

    def _keep(self):
        while not self._stop.is_set():
            if not select.select([self.listener], [], [], 0.05)[0]:
                continue
            self.start_spawn()
            self.lives.append(self.spawn.wait())

    def _hear(self):
        while not self._stop.is_set():
            try:
                lines = self.notify.recv(4096).decode().splitlines()
            except TimeoutError:
                continue
            self.told.append(dict(line.split("=", 1) for line in lines))

    def asleep(self):
        """Whether each that was started has left."""
        return len(self.lives) == len(self.started_ns)

    def until_asleep(self, lives):
        """Until so many have left, and nobody is there."""
        service.until(lambda: len(self.lives) >= lives and self.asleep(), service.STOP_S,
                      f"{lives} idle exits")  # fmt: skip

    def stop(self):
        self._stop.set()
        if self.spawn and self.spawn.poll() is None:
            self.spawn.terminate()
        for thread in self._threads:
            thread.join(service.STOP_S)
        code = self.spawn.returncode if self.spawn else 0
        return code, self.nginx.stop()

    def kill(self):
        self._stop.set()
        super().kill()
        self.listener.close()
        self.notify.close()
