"""front.py: an nginx with a configuration of one's own, in a temporary directory.

    with Front(lambda port: f"server {{ listen 127.0.0.1:{port}; ... }}") as front:
        web.request(front.port, "GET", "/")
"""

import os
import shutil
import signal
import subprocess
import tempfile

import tap
from service import NGINX, STOP_S, free_port, nginx_listens, tail

# What a distribution's nginx.conf would have around conf.d, without any privilege.
AROUND = """worker_processes {processes};
pid {directory}/nginx.pid;
error_log {directory}/error.log notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    fastcgi_temp_path {directory}/fastcgi;
    proxy_temp_path {directory}/proxy;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    {inside}
}}
"""


class Front:
    """inside(port): what stands in http { }, listening on 127.0.0.1:port."""

    def __init__(self, inside, processes=1):
        self.inside, self.processes = inside, processes
        self.directory = tempfile.mkdtemp(prefix="resnet-front.")
        self.process, self.port = None, 0

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._kill()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind:
                tap.note("--- nginx\n" + tail(os.path.join(self.directory, "error.log")))
            else:
                self.stop()
        finally:
            self._kill()

    def start(self):
        for _ in range(5):  # somebody else may take the port between probe and bind
            self.port = free_port()
            conf = self.write(self.port)
            with open(os.path.join(self.directory, "out"), "ab") as out:
                self.process = subprocess.Popen(
                    [NGINX, "-p", self.directory, "-c", conf, "-g", "daemon off;"],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                )  # fmt: skip
            if nginx_listens(self.process, self.directory, self.port):
                return self
        raise RuntimeError("nginx: " + tail(os.path.join(self.directory, "out")))

    def write(self, port):
        conf = os.path.join(self.directory, "nginx.conf")
        user = "user root;\n" if os.geteuid() == 0 else ""
        with open(conf, "w", encoding="utf-8") as file:
            file.write(user + AROUND.format(processes=self.processes, directory=self.directory,
                                            inside=self.inside(port)))  # fmt: skip
        return conf

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        return self.process.wait(STOP_S)

    def _kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
