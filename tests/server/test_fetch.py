"""URLs of media: only where allowed, only of public hosts, and within limits."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pyomni.server import fetch
from pyomni.server.failures import BadRequest, TooLarge
from pyomni.server.fetch import fetched, is_public


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers by path; ``/drip`` sends bytes until it is told to stop."""

    stop = threading.Event()

    def do_GET(self) -> None:
        if self.path.startswith("/redirect/"):
            n = int(self.path.rsplit("/", 1)[1])
            where = f"/redirect/{n - 1}" if n else "/ok"
            self.send_response(302)
            self.send_header("Location", where)
            self.end_headers()
        elif self.path.startswith("/to/"):
            self.send_response(307)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/ok":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"what is asked for")
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1000))
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.stop.wait(0.02):
                    self.wfile.write(b"x")
                    self.wfile.flush()
        elif self.path == "/nonsense":
            self.wfile.write(b"this is not HTTP\r\n\r\n")
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    Answers.stop.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Answers.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine for a public host, all but one of its addresses."""
    monkeypatch.setattr(fetch, "is_public", lambda address: address != "127.0.0.2")


def get(url: str, most: int = 10_000) -> bytes:
    return fetched(url, most, "messages[0]")


@pytest.mark.parametrize("path", ["/ok", "/redirect/2"])
def test_what_is_there(host, public, path):
    assert get(host + path) == b"what is asked for"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/redirect/3", "redirected more than"),
        ("/missing", "answered 404"),
        ("/nonsense", "did not answer"),
        ("/to/http://127.0.0.2/", "not a public one"),
        ("/to/file:///etc/passwd", "no http or https URL"),
        ("/to/http://[", "no http or https URL"),
    ],
)
def test_what_is_not_fetched(host, public, path, words):
    with pytest.raises(BadRequest, match=words) as caught:
        get(host + path)
    assert caught.value.param == "messages[0]"


def test_what_has_no_end(host, public, monkeypatch):
    with pytest.raises(TooLarge, match="more than 10000 bytes"):
        get(host + "/endless")
    monkeypatch.setattr(fetch, "SECONDS", 0.3)
    with pytest.raises(BadRequest, match=r"not all of it came in 0\.3 s"):
        get(host + "/drip")


def test_a_host_without_tls_or_at_all(host, public):
    for url in (host.replace("http", "https"), "http://127.0.0.1:1/"):
        with pytest.raises(BadRequest, match="could not be fetched"):
            get(url)
    assert ssl.create_default_context().check_hostname


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0.0.0.0/", "http://2130706433/"],
)
def test_this_machine_is_not_public(url):
    with pytest.raises(BadRequest, match="not a public one"):
        get(url)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/x", "http:///x", "http://a b/", "http://x:y/", "http://é/"],
)
def test_what_is_no_url_of_ours(url):
    with pytest.raises(BadRequest, match="no http or https URL"):
        get(url)


@pytest.mark.parametrize(
    ("address", "public_one"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("172.16.5.5", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address, public_one):
    assert is_public(address) is public_one


def test_a_server_fetches_only_where_it_may(served, host, public):
    part = {"type": "image_url", "image_url": {"url": host + "/ok"}}
    body = {"messages": [{"role": "user", "content": [part]}]}
    refused = served(kind="omni").post("/v1/chat/completions", json=body).json()["error"]["message"]
    assert "--allow-urls" in refused
    allowed = served(kind="omni", allow_urls=True, max_urls=2)
    found = allowed.post("/v1/chat/completions", json=body)
    assert (found.status_code, found.json()["error"]["code"]) == (400, "invalid_image")  # it was fetched
    body["messages"][0]["content"] = [part] * 3
    body["messages"][0]["content"][0] = {"type": "audio_url", "audio_url": {"url": host + "/missing"}}
    assert "answered 404" in allowed.post("/v1/chat/completions", json=body).json()["error"]["message"]
