"""Chromium without a window, driven over its debugging pipe (Chrome DevTools Protocol): Debian's package
alone. A page collects what a test asks about: requests, what the console said, dialogs."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

LIMIT_S = 30
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


class Refused(Exception):
    """What Chromium would not do, as evaluating in a page that was left meanwhile."""


class Browser:
    def __init__(self):
        program = shutil.which("chromium")
        assert program, "chromium is missing: scripts/dependencies test"
        self.folder = tempfile.mkdtemp(prefix="km-browser-")
        reads, self.write_end = os.pipe()
        self.read_end, writes = os.pipe()
        command = [program, "--headless", "--remote-debugging-pipe", f"--user-data-dir={self.folder}",
                   "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   "--hide-scrollbars", "--no-proxy-server",
                   # It opens our own pages alone; the sandbox works neither for root nor in a chroot.
                   "--no-sandbox"]
        if os.geteuid() == 0:  # it would raise its priority over the daemon's and all other tests'
            command = ["setpriv", "--bounding-set=-sys_nice", *command]
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", *command], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=(reads, writes), start_new_session=True)
        os.close(reads)
        os.close(writes)
        self.buffer, self.count, self.pages = b"", 0, {}
        self.call("Browser.getVersion")

    def close(self):
        try:
            if self.process.poll() is None:
                self.call("Browser.close")
                self.process.wait(LIMIT_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            os.close(self.read_end)
            os.close(self.write_end)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.read_end], [], [], left)[0], "chromium does not answer"
            piece = os.read(self.read_end, 1 << 16)
            assert piece, "chromium ended"
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, session=None, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        return self.count

    def call(self, method, session=None, **params):
        """The result; events that come meanwhile go to their page."""
        number = self.send(method, session, **params)
        deadline = time.monotonic() + LIMIT_S
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise Refused(method, answer["error"])
                return answer["result"]
            page = self.pages.get(answer.get("sessionId"))
            if page and "method" in answer:
                page.event(answer["method"], answer["params"])

    def page(self, width=1280, height=900, dark=False, script=True):
        """In a context of its own, as a private window is: nothing is shared with another page."""
        return Page(self, self.call("Target.createBrowserContext")["browserContextId"], width, height,
                    dark, script)


class Page:
    def __init__(self, browser, context, width, height, dark, script):
        self.browser, self.context = browser, context
        self.requests, self.console, self.dialogs = [], [], []
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context,
                              width=width, height=height)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.pages[self.session] = self
        for domain in ("Page", "Network", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        self.show_as(width, height, dark)
        if not script:
            self.call("Emulation.setScriptExecutionDisabled", value=True)

    def show_as(self, width, height, dark):
        """From now on, also what is shown already."""
        self.width = width
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def close(self):
        self.browser.pages.pop(self.session)
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def event(self, name, about):
        if name == "Network.requestWillBeSent":
            self.requests.append(about["request"])
        elif name == "Runtime.consoleAPICalled":
            self.console.append(json.dumps(about["args"]))
        elif name == "Runtime.exceptionThrown":
            self.console.append(json.dumps(about["exceptionDetails"]))
        elif name == "Log.entryAdded":
            self.console.append(about["entry"]["text"])
        elif name == "Page.javascriptDialogOpening":
            self.dialogs.append(about["type"])
            self.browser.send("Page.handleJavaScriptDialog", self.session, accept=True)

    def open(self, address):
        """Also when only the fragment differs from what is shown."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True,
                           userGesture=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]["text"]
        return result["result"].get("value")

    def until(self, expression, seconds=LIMIT_S):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(Refused):
                value = self.value(expression)
                if value:
                    return value
            time.sleep(0.02)  # allow-sleep: the polling helper
        raise AssertionError(f"waited {seconds} s for {expression}; shown is {self.text()!r}")

    def text(self):
        """What can be seen of the page, without what stands in fields."""
        return self.value("document.body ? document.body.innerText : ''")

    def press(self, key, times=1):
        """A key as from a keyboard; of several times only the last is waited for."""
        more = {"text": "\r"} if key == "Enter" else {}
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        for left in reversed(range(times)):
            self.browser.send("Input.dispatchKeyEvent", self.session, type="keyDown", **about, **more)
            (self.browser.send if left else self.browser.call)("Input.dispatchKeyEvent", self.session, type="keyUp", **about)

    def click(self, selector):
        """With the mouse, where it is."""
        x, y = self.value("(() => { const e = [...document.querySelectorAll(" + json.dumps(selector) + ")]"
                          ".find(e => e.checkVisibility()); e.scrollIntoView({block: 'center'});"
                          " const r = e.getBoundingClientRect();"
                          " return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path, highest=8000):
        """All of the page, as far as that many pixels down; PNG or, in a third of the bytes, WebP."""
        form = {"format": "webp", "quality": 90} if path.endswith(".webp") else {"format": "png"}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call("Page.captureScreenshot", **form, captureBeyondViewport=True, clip={
            "x": 0, "y": 0, "width": size["width"], "height": min(size["height"], highest), "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
