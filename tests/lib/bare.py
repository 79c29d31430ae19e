"""bare.py: workers without a supervisor, behind nginx, on a socket that the test owns: so that a
worker can be started under strace or valgrind, or be left to die.

    with Bare() as bare:
        worker = bare.worker("valgrind", "--quiet")
        bare.post(draw.jpeg())
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile

import service
import tap
import web


class Bare:
    def __init__(self, **environment):
        self.directory = tempfile.mkdtemp(prefix="resnet-t.")
        run_dir = os.path.join(self.directory, "run")
        os.makedirs(run_dir)
        self.log = os.path.join(self.directory, "worker.log")
        self.access_log = os.path.join(self.directory, "access.log")
        self.environment = {
            "RESNET_RUN_DIR": run_dir,
            "RESNET_MODEL": service.small_model(),
            **environment,
        }
        self.nginx = service.Nginx(self.directory, self.environment)
        self.workers = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(run_dir, "work.sock"))
        self.listener.listen(128)
        os.symlink("work.sock", os.path.join(run_dir, "ctl.sock"))

    def __enter__(self):
        try:
            self.nginx.start()
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, kind, *_):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        if self.nginx.process:
            self.nginx.stop()
        self.listener.close()
        if kind:
            tap.note(service.tail(self.log))
        shutil.rmtree(self.directory, ignore_errors=True)

    def worker(self, *wrapper, **more):
        """Starts one, behind `wrapper` (a command that takes another), and waits for readiness."""
        read_fd, write_fd = os.pipe()
        command = [*wrapper, service.program("resnet-fcgi"), "--ready-fd", str(write_fd)]
        with open(self.log, "ab") as log:
            worker = subprocess.Popen(
                command, stdin=self.listener, stdout=log, stderr=log, pass_fds=[write_fd],
                env=service.clean_environment(**{**self.environment, **more}),
            )  # fmt: skip
        self.workers.append(worker)
        os.close(write_fd)
        worker.was_ready = os.read(read_fd, 1) == b"R"
        os.close(read_fd)
        return worker

    def post(self, body, headers=None, path="/predict"):
        return web.request(self.nginx.port, "POST", path, body, headers)

    def leave(self, worker):
        """TERM; returns the exit code."""
        worker.send_signal(signal.SIGTERM)
        return worker.wait(service.STOP_S)
