"""A real browser for tests: Debian's Chromium, driven by Playwright, and a page whose requests are watched.

    with chromium() as browser:
        visit = Visit(browser, "http://127.0.0.1:8080")
        visit.page.click("#speak")
        visit.leave()

Without a Chromium the tests are skipped, or with ``PYOMNI_NEED_CHROMIUM=1`` fail. Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # a microphone that beeps, and nobody who has to be asked for it
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
WAIT_MS = 60_000
#: Keeps what the page hands to the sound card, and when it is to be heard.
LISTEN = """
window.heard = { contexts: [], blocks: [] };
window.AudioContext = class extends AudioContext {
  constructor(options) { super(options); heard.contexts.push(this); }
};
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (at) {
  heard.blocks.push({ at, samples: [...this.buffer.getChannelData(0)] });
  return start.call(this, at);
};
"""

LOOK = """(wait) => new Promise((done, fail) => {
  const begun = performance.now();
  const look = () => {
    if (CONDITION) done();
    else if (performance.now() - begun > wait) fail(new Error("too late"));
    else requestAnimationFrame(look);
  };
  look();
})"""


def find() -> str | None:
    """Return the browser's path: ``$PYOMNI_CHROMIUM``, else the first that is installed."""
    return os.environ.get("PYOMNI_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser; Playwright's event loop is this thread's until the end."""
    path = find()
    if path is None:
        reason = "no Chromium is installed, expected one of: " + ", ".join(NAMES)
        if os.environ.get("PYOMNI_NEED_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page, in a profile of its own.

    `leave` fails if a request left the server, or if the console has an error that was not expected.

    Parameters
    ----------
    expected : words that errors of the console may have
    options : of the browser's context, such as ``color_scheme``
    """

    def __init__(self, browser: Any, address: str, *, expected: tuple[str, ...] = (), **options: Any) -> None:
        self.address, self._expected = address, expected
        self.requests: list[Any] = []
        self.errors: list[str] = []
        self._context = browser.new_context(**options)
        self._context.add_init_script(LISTEN)
        self._context.set_default_timeout(WAIT_MS)
        self.page = self._context.new_page()
        self._context.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(address + "/")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def leave(self) -> None:
        """Close it, and look back on all of it."""
        self._context.close()
        origins = {"{0.scheme}://{0.netloc}".format(urlsplit(request.url)) for request in self.requests}
        assert origins <= {self.address, "blob://"}, origins
        assert [e for e in self.errors if not any(words in e for words in self._expected)] == []

    def until(self, condition: str) -> None:
        """Wait for a condition, which the page's policy forbids in Playwright's own way."""
        self.page.evaluate(LOOK.replace("CONDITION", condition), WAIT_MS)

    def bodies(self) -> list[dict]:
        """What was asked of the speech route, in order."""
        return [r.post_data_json for r in self.requests if r.url.endswith("/v1/audio/speech")]

    def painted(self, canvas: str) -> int:
        """Count the pixels of a canvas that were drawn on."""
        return self.page.evaluate(
            """(id) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
                const canvas = document.getElementById(id);
                const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
                copy.drawImage(canvas, 0, 0);
                const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
                done(data.filter((value, i) => i % 4 === 3 && value).length);
            })))""",
            canvas,
        )
