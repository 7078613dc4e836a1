"""Fetches a page or file from the web, for the corpus: what a person named, from where anyone may fetch it, and no more."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import socket
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from index.errors import CorpusError
from index.loaders.registry import is_supported

AGENT = "alliance-assistant"
_MOST_REDIRECTS = 5
_SECONDS = 60
_SILENT_SECONDS = 20
_MOST_RULES = 500_000
"""Bytes of a robots.txt."""
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/epub+zip": ".epub",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "text/vtt": ".vtt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.oasis.opendocument.text": ".odt",
}
_ANY = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/download", "application/x-download"})


class Fetched(NamedTuple):
    url: str
    """Where it came from at last."""
    data: bytes
    place: str
    """A relative path for it, made from the address that was asked for: "web/example.org/rivers-1a2b3c4d.html"."""


def fetch(url: str, *, max_bytes: int, allow_private: bool = False) -> Fetched:
    """Redirects are followed, each checked as the first address is; robots.txt is respected.

    allow_private: also addresses of this machine and of local networks. Raises CorpusError.
    """
    try:
        return asyncio.run(asyncio.wait_for(_fetch(url, max_bytes, allow_private), _SECONDS))
    except TimeoutError as error:
        raise CorpusError(f"{url}: did not arrive within {_SECONDS} seconds; download it by hand and add the file.") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CorpusError(f"{url}: cannot be fetched ({_reason(error)}); check the address and the network.") from error


async def _fetch(url: str, max_bytes: int, allow_private: bool) -> Fetched:
    resolver = _Resolver(allow_private)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    timeout = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=_SILENT_SECONDS, sock_read=_SILENT_SECONDS)
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    # No cookies are kept, and no proxy or password of the environment is used.
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        asked = url
        for _ in range(_MOST_REDIRECTS + 1):
            _check(url, allow_private)
            await _ask_leave(session, url, allow_private)
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308) and answer.headers.get("Location"):
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise CorpusError(f"{asked}: the server answers {answer.status} {answer.reason or ''}".rstrip() + ".")
                suffix = _suffix(answer, url, asked)
                data = await _read(answer, max_bytes, asked)
                return Fetched(url, data, _place(asked, suffix))
    raise CorpusError(f"{asked}: leads on more than {_MOST_REDIRECTS} times; add the address it ends at.")


async def _read(answer: aiohttp.ClientResponse, max_bytes: int, url: str) -> bytes:
    too_large = CorpusError(f"{url}: larger than the limit of {max_bytes // 1_000_000} MB; raise max_file_mb in assistant.toml.")
    if (answer.content_length or 0) > max_bytes:
        raise too_large
    data = bytearray()
    async for part in answer.content.iter_chunked(65_536):
        data += part
        if len(data) > max_bytes:
            raise too_large
    return bytes(data)


async def _ask_leave(session: aiohttp.ClientSession, url: str, allow_private: bool) -> None:
    """Raises CorpusError where the site's robots.txt forbids the address (RFC 9309)."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}/robots.txt"
    for _ in range(_MOST_REDIRECTS):
        _check(place, allow_private)
        async with session.get(place, allow_redirects=False) as answer:
            if answer.status in (301, 302, 303, 307, 308) and answer.headers.get("Location"):
                place = urljoin(place, answer.headers["Location"])
                continue
            if 400 <= answer.status < 500:
                return
            if answer.status != 200:
                raise CorpusError(
                    f"{url}: the site cannot say whether it may be fetched (robots.txt: {answer.status}); try later."
                )
            rules = RobotFileParser()
            rules.parse((await answer.content.read(_MOST_RULES)).decode("utf-8", "replace").splitlines())
            if not rules.can_fetch(AGENT, url):
                raise CorpusError(
                    f"{url}: the site asks programs not to fetch it (robots.txt); save it in a browser and add the file."
                )
            return


def _check(url: str, allow_private: bool) -> None:
    """Raises CorpusError for what is no address of the public web."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise CorpusError(f"{url}: only http and https addresses are fetched.")
    if parts.username or parts.password:
        raise CorpusError(f"{parts.hostname}: addresses with a name or password in them are not fetched.")
    # A name is looked at when it is resolved, and nothing else is connected to.
    try:
        address = ipaddress.ip_address(parts.hostname.split("%")[0])
    except ValueError:
        return
    if not allow_private and not _is_public(address):
        raise CorpusError(_private(parts.hostname))


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (mapped is None or mapped.is_global)


def _private(host: str) -> str:
    return f"{host}: belongs to this machine or a local network; `assistant add --allow-private` fetches it if that is meant."


class _Resolver(AbstractResolver):
    def __init__(self, allow_private: bool) -> None:
        self._inner = DefaultResolver()
        self._allow_private = allow_private

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not self._allow_private and not all(_is_public(ipaddress.ip_address(each["host"].split("%")[0])) for each in found):
            raise CorpusError(_private(host))
        return found

    async def close(self) -> None:
        await self._inner.close()


def _suffix(answer: aiohttp.ClientResponse, url: str, asked: str) -> str:
    kind = (answer.content_type or "").lower() if "Content-Type" in answer.headers else ""
    own = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
    readable = own if is_supported(Path(f"x{own}")) else ""
    if kind in _SUFFIXES:
        # A server that calls everything plain text knows less than the name does.
        return readable if kind == "text/plain" and readable else _SUFFIXES[kind]
    if kind in _ANY and readable:
        return readable
    raise CorpusError(f"{asked}: holds {kind or 'something of no known kind'}, which the program does not read.")


def _place(url: str, suffix: str) -> str:
    """Nothing of the address but letters, digits and hyphens comes into it."""
    parts = urlsplit(url)
    host = re.sub(r"[^a-z0-9.-]", "-", (parts.hostname or "").lower()).strip(".-")[:100] or "site"
    last = next((each for each in reversed(unquote(parts.path).split("/")) if each), "")
    name = re.sub(r"[^a-z0-9]+", "-", last.removesuffix(suffix).lower()).strip("-")[:60] or "page"
    return f"web/{host}/{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{suffix}"


def _reason(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
