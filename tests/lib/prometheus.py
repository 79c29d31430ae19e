"""prometheus.py: a Prometheus of our own, on a port and in a directory of its own.

    with Prometheus(config) as server:
        samples = server.query("up")
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request

import service
import tap

PROGRAM, TOOL = shutil.which("prometheus"), shutil.which("promtool")
SECONDS = 60
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Prometheus:
    def __init__(self, config):
        """config: the text of a configuration; rule_files are named by their full paths."""
        self.directory = tempfile.mkdtemp(prefix="resnet-p.")
        self.config, self.out = (os.path.join(self.directory, n) for n in ("prometheus.yml", "out"))
        self.process, self.port = None, 0
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config)

    def __enter__(self):
        try:
            for _ in range(5):  # another test may take the port between probe and bind
                self.port = service.free_port()
                if self._start():
                    return self
            raise RuntimeError("prometheus does not start")
        except BaseException:
            tap.note(service.tail(self.out))
            self.stop()
            raise

    def __exit__(self, kind, *_):
        if kind:
            tap.note(service.tail(self.out))
        self.stop()

    def _start(self):
        data = os.path.join(self.directory, "data")
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen(
                [PROGRAM, f"--config.file={self.config}", f"--storage.tsdb.path={data}",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.directory,
            )  # fmt: skip
        service.until(lambda: self.process.poll() is not None or self._is_ready(), SECONDS, "prometheus")
        return self.process.poll() is None

    def _is_ready(self):
        try:
            return self._ask("/-/ready").startswith(b"Prometheus Server is Ready")
        except OSError:
            return False

    def _ask(self, path):
        with OPEN(f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS) as answer:
            return answer.read()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def get(self, path):
        answer = json.loads(self._ask(path))
        if answer["status"] != "success":
            raise ValueError(f"{path}: {answer}")
        return answer["data"]

    def query(self, expression):
        """[(labels, number)] of an instant query."""
        data = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def metrics(self):
        """Names of all that was ever scraped or recorded."""
        return set(self.get("/api/v1/label/__name__/values"))
