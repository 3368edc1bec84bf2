"""A page in a real headless Chromium, driven by its DevTools protocol over two pipes: no driver, no packages."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.requestWillBeSent")


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One open page. Whatever it logs, throws or requests is among `events`."""

    def __init__(self, commands: int, answers: int):
        self.events: list[dict[str, Any]] = []
        self._commands, self._answers, self._pending, self._count = commands, answers, b"", 0
        self._session: dict[str, str] = {}
        target = next(each for each in self.send("Target.getTargets")["targetInfos"] if each["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Log", "Runtime", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path: Path | str) -> None:
        """Loads a file or an address and waits until it is all there."""
        self.events.clear()
        self.send("Page.navigate", url=path if isinstance(path, str) else path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as plain JSON values."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Scrolls to an element and clicks on its middle with the mouse."""
        self.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key: str, shift: bool = False) -> None:
        """Presses a key, named as in a KeyboardEvent, and lets it go."""
        code = {" ": "Space"}.get(key, f"Key{key.upper()}" if key.isalpha() and len(key) == 1 else key)
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code, modifiers=8 if shift else 0)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Presses the mouse at a place (x, y) of the window, moves it to another one and lets it go there."""
        for kind, place in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.mouse(kind, place)

    def mouse(self, kind: str, place: tuple[float, float]) -> None:
        """Presses (`mousePressed`), moves or lets go (`mouseReleased`) the left button at a place of the window."""
        down, (x, y) = int(kind != "mouseReleased"), place
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=down, clickCount=1)

    def wait_for(self, expression: str, value: Any = True, seconds: float = 20) -> None:
        """Waits until an expression has a value."""
        end = time.monotonic() + seconds
        while (found := self.evaluate(expression)) != value:
            assert time.monotonic() < end, f"{expression}: expected {value!r}, found {found!r}"
            time.sleep(0.02)

    def resize(self, width: int, height: int, scheme: str = "light") -> None:
        """Gives the window a size in pixels, and the system a colour scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def complaints(self) -> list[dict[str, Any]]:
        """What it logged or threw, and what it asked of the network but its own file."""
        asked = [event for event in self.events if event["method"] in COMPLAINTS]
        return [event for event in asked if not self._is_harmless(event["params"].get("request", {}).get("url", ""))]

    @staticmethod
    def _is_harmless(url: str) -> bool:
        return url.startswith(("file:", "data:"))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            received = os.read(self._answers, 1 << 16)
            assert received, "the browser is gone"
            self._pending += received
        message, self._pending = self._pending.split(b"\0", 1)
        return json.loads(message)


@contextmanager
def open_browser(chromium: str, profile: Path, *flags: str) -> Iterator[Page]:
    """A browser with an empty profile, and flags beside the usual ones, of which the last of a kind holds.

    It reads commands from its file 3 and answers on its file 4.
    """
    shell = ("sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh")
    with subprocess.Popen(
        [*shell, chromium, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            page = Page(process.stdin.fileno(), process.stdout.fileno())
            yield page
            page.send("Browser.close")
            process.wait(20)
        finally:
            process.kill()
