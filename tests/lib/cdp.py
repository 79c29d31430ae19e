"""cdp.py: a headless Chromium, driven over its DevTools protocol: JSON messages that end in a zero
byte, on two pipes. Nothing listens anywhere, and every wait is bounded.

    with Browser() as browser:
        tab = browser.tab()
        tab.open("http://127.0.0.1:8080/")
        tab.value("document.title")
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

WAIT_S = 60


def find():
    """The browser's path, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    return None


class Lost(Exception):
    """The browser ended, did not answer in time, or refused what it was asked."""


class Browser:
    # Containers and root have no sandbox to give; what is shown is our own page. No host but this
    # one can be named, whatever the browser itself would like to fetch.
    OPTIONS = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
               "--disable-dev-shm-usage", "--no-first-run", "--disable-breakpad",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--disable-extensions", "--no-default-browser-check", "--force-color-profile=srgb",
               "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
               "--disable-backgrounding-occluded-windows",
               "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # fmt: skip

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="resnet-browser.")
        self.answers, self.tabs, self.number = {}, {}, 0
        self.rest = b""

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        ours, theirs = os.pipe(), os.pipe()
        with open(os.path.join(self.directory, "chromium.log"), "wb") as log:
            self.process = subprocess.Popen(
                [find(), *self.OPTIONS, f"--user-data-dir={self.directory}/profile", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(3, 4),
                preexec_fn=lambda: place(ours[0], theirs[1]), start_new_session=True,
                env={**os.environ, "HOME": self.directory},
            )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self.write_fd, self.read_fd = ours[1], theirs[0]
        self.call("Browser.getVersion")

    def close(self):
        if process := getattr(self, "process", None):
            try:
                self.call("Browser.close", wait_s=10)
                process.wait(10)
            except (Lost, subprocess.TimeoutExpired):
                pass
            try:  # the helpers are in its session
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            for fd in (self.write_fd, self.read_fd):
                os.close(fd)
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- messages --------------------------------------------------------------------------

    def call(self, method, session=None, wait_s=WAIT_S, **params):
        self.number += 1
        number, message = self.number, {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        try:
            data = json.dumps(message).encode() + b"\0"
            while data:
                data = data[os.write(self.write_fd, data) :]
        except OSError as error:
            raise Lost(f"{method}: {error}") from error
        self.until(lambda: number in self.answers, wait_s, method)
        answer = self.answers.pop(number)
        if "error" in answer:
            raise Lost(f"{method}: {answer['error']}")
        return answer["result"]

    def until(self, condition, wait_s, what):
        """Takes messages until condition() is true, and returns its value."""
        deadline = time.monotonic() + wait_s
        while not (value := condition()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise Lost(f"{what}: not within {wait_s} s")
            self._take(min(left, 0.05))
        return value

    def _take(self, wait_s):
        if not select.select([self.read_fd], [], [], wait_s)[0]:
            return
        data = os.read(self.read_fd, 1 << 20)
        if not data:
            raise Lost("the browser ended")
        *messages, self.rest = (self.rest + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif tab := self.tabs.get(message.get("sessionId")):
                tab.events.append((message["method"], message["params"]))

    def tab(self):
        """The one that the browser opened itself: beside a second one it might come to the front,
        and a page that is hidden is neither drawn nor given what is typed or dropped."""

        def pages():
            targets = self.call("Target.getTargets")["targetInfos"]
            return [t["targetId"] for t in targets if t["type"] == "page"]

        target = self.until(pages, WAIT_S, "the browser's tab")[0]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Network", "Log", "DOM", "Accessibility"):
            self.tabs[session].call(domain + ".enable")
        return self.tabs[session]


def place(read_fd, write_fd):
    """In the child: Chromium reads descriptor 3 and writes 4."""
    spare = os.dup(write_fd) if write_fd == 3 else write_fd
    os.dup2(read_fd, 3)
    os.dup2(spare, 4)


class Tab:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        self.events = []  # (method, params), since the tab was opened

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def seen(self, method):
        return [params for name, params in self.events if name == method]

    def ended(self, url):
        """How many requests for it have ended, well or not."""
        ours = [e["requestId"] for e in self.seen("Network.requestWillBeSent") if e["request"]["url"] == url]
        done = {e["requestId"] for name in ("Finished", "Failed") for e in self.seen("Network.loading" + name)}
        return sum(number in done for number in ours)

    def open(self, url):
        loads = len(self.seen("Page.loadEventFired"))
        if error := self.call("Page.navigate", url=url).get("errorText"):
            raise Lost(f"{url}: {error}")
        self.browser.until(lambda: len(self.seen("Page.loadEventFired")) > loads, WAIT_S, url)
        self.call("Page.bringToFront")
        self.wait("document.visibilityState === 'visible'")
        self.drawn()

    def drawn(self):
        """Waits until what the page is now has been drawn; before its first frame it has no input."""
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    # ---- the page --------------------------------------------------------------------------

    def value(self, expression):
        """What a JavaScript expression, or the promise it makes, comes to."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                         awaitPromise=True)  # fmt: skip
        if "exceptionDetails" in done:
            raise Lost(f"{expression[:200]}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait(self, expression, wait_s=WAIT_S):
        return self.browser.until(lambda: self.value(expression), wait_s, expression)

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def choose(self, selector, *paths):
        """As if a person had picked these files."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=list(paths))

    def drop(self, x, y, taken, *paths):
        """taken: an expression that is true when the page would take what hovers over it."""
        data = {"items": [], "files": list(paths), "dragOperationsMask": 1}

        def drag(kind):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

        def hovers():
            drag("dragOver")
            return self.value(taken)

        drag("dragEnter")
        self.browser.until(hovers, WAIT_S, taken)
        drag("drop")

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code, **more)  # fmt: skip

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def prefer(self, **features):
        """prefer(color_scheme="dark", reduced_motion="reduce")"""
        names = [{"name": "prefers-" + k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", features=names)

    def shoot(self, path):
        self.drawn()
        done = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(done["data"]))

    def accessible(self):
        """Nodes of the accessibility tree that are not ignored: {role, name, focusable, ...}."""
        found = []
        for node in self.call("Accessibility.getFullAXTree")["nodes"]:
            if not node.get("ignored"):
                properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
                found.append({**properties, "role": node["role"]["value"],
                              "name": node.get("name", {}).get("value", "")})  # fmt: skip
        return found
