"""What a URL holds, for servers that may fetch: from public addresses, within limits of size and time.

The address that was checked is the one that is connected to: a name cannot point elsewhere in between.
Redirects are looked at like the first URL.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from urllib.parse import urljoin, urlsplit

from pyomni import __version__
from pyomni.server.failures import BadRequest, TooLarge

__all__ = ["fetched"]

#: Seconds for all of a fetch, redirects included.
SECONDS = 20.0
REDIRECTS = 3
CHUNK = 1 << 16


def fetched(url: str, most: int, param: str) -> bytes:
    """Return what a URL holds.

    Parameters
    ----------
    url : str
        http or https.
    most : int
        Bytes.
    param : str
        What messages, and errors, call it.

    Raises
    ------
    BadRequest
        Another scheme, a host that is not public, an answer other than 200, or none in time; `TooLarge`
        where it has more bytes.
    """
    end = time.monotonic() + SECONDS
    for _ in range(REDIRECTS + 1):
        found = _asked(url, most, param, end)
        if isinstance(found, bytes):
            return found
        try:
            url = urljoin(url, found)
        except ValueError:
            url = ""  # refused as any that is none
    raise BadRequest(f"{param}: is redirected more than {REDIRECTS} times, expected a file", param)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, and not to this machine or its networks."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (mapped is None or is_public(str(mapped)))


def _asked(url: str, most: int, param: str, end: float) -> bytes | str:
    """Return what one request gives, or where it is redirected."""
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme
    except ValueError:
        host, port, scheme = None, None, ""
    plain = url.isascii() and url.isprintable() and " " not in url
    if scheme not in ("http", "https") or not host or not plain:
        raise BadRequest(f"{param}: is no http or https URL, expected one, or a data URL", param)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        sock = _connected(host, port or (443 if scheme == "https" else 80), end, param)
        # whoever sends a byte now and then never runs into a timeout of reads; TLS takes the socket itself
        handle = sock.dup()
        timer = threading.Timer(max(0.0, end - time.monotonic()), _shut, [handle])
        timer.start()
        try:
            if scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            connection = http.client.HTTPConnection(host, port)
            connection.sock = sock
            connection.request(
                "GET", target, headers={"User-Agent": f"pyomni/{__version__}", "Accept": "*/*"}
            )
            answer = connection.getresponse()
            where = answer.headers.get("Location")
            if answer.status in (301, 302, 303, 307, 308) and where:
                return where
            if answer.status != 200:
                raise BadRequest(f"{param}: its host answered {answer.status}, expected 200", param)
            data = bytearray()
            while chunk := answer.read(CHUNK):
                data += chunk
                if len(data) > most:
                    raise TooLarge(f"{param}: has more than {most} bytes, expected at most so many", param)
            if time.monotonic() >= end:
                raise OSError
            return bytes(data)
        finally:
            timer.cancel()
            handle.close()
            sock.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, BadRequest):
            raise
        late = time.monotonic() >= end
        why = f"not all of it came in {SECONDS:g} s" if late else "its host did not answer as HTTP has it"
        raise BadRequest(f"{param}: could not be fetched, {why}", param) from None


def _connected(host: str, port: int, end: float, param: str) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not all(is_public(str(address[0])) for *_, address in found):
        raise BadRequest(f"{param}: its host is not a public one, expected one on the internet", param)
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.settimeout(max(0.01, end - time.monotonic()))
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
