"""What is fetched from the web, from where, and what is refused. The server is a real one, on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from assistant import fetching
from assistant.adding import add_fetched, primary_sources
from assistant.fetching import fetch
from index.build import corpus_sources
from index.errors import CorpusError
from index.loaders.registry import load
from index.settings import IndexSettings

PAGE = b"<html><head><title>Rivers</title></head><body><p>It was signed in Basel.</p></body></html>"


class Site(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("User-Agent", "")))
        if self.path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"more and more " * 1000)
            except OSError:
                return
        if self.path == "/silent":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.flush()
            time.sleep(3)
            return
        status, headers, body = self.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.answers = {
        "/rivers": (200, {"Content-Type": "text/html; charset=utf-8"}, PAGE),
        "/moved": (302, {"Location": "/rivers"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
        "/away": (302, {"Location": "file:///etc/passwd"}, b""),
        "/inside": (302, {"Location": "http://169.254.169.254/latest/meta-data"}, b""),
        "/film": (200, {"Content-Type": "video/mp4"}, b"..."),
        "/a/../../x%2F..%2Fetc/treaty%00.PDF": (200, {"Content-Type": "application/octet-stream"}, b"%PDF-1.4"),
        "/broken": (500, {}, b""),
        "/notes.md": (200, {"Content-Type": "text/plain"}, b"# Rivers\n\nIt was signed."),
    }
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def got(url: str, limit: int = 1_000_000) -> fetching.Fetched:
    return fetch(url, max_bytes=limit, allow_private=True)


def refusal(url: str, *, allow_private: bool = True) -> str:
    with pytest.raises(CorpusError) as caught:
        fetch(url, max_bytes=100_000, allow_private=allow_private)
    return str(caught.value)


def test_a_page_is_fetched_and_what_it_is_asked_with_says_who_asks(site: str) -> None:
    found = got(f"{site}/rivers")
    assert found.data == PAGE and found.url == f"{site}/rivers"
    assert found.place.startswith("web/127.0.0.1/rivers-") and found.place.endswith(".html")
    assert Site.asked == [("/robots.txt", "alliance-assistant"), ("/rivers", "alliance-assistant")]


def test_a_redirection_is_followed_and_the_place_is_that_of_what_was_asked(site: str) -> None:
    found = got(f"{site}/moved")
    assert found.data == PAGE and found.url == f"{site}/rivers"
    assert found.place.startswith("web/127.0.0.1/moved-")


def test_what_the_name_says_counts_where_the_server_says_plain_text(site: str) -> None:
    assert got(f"{site}/notes.md").place.endswith(".md")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/nowhere", "404"),
        ("/broken", "500"),
        ("/round", "leads on more than"),
        ("/away", "only http and https"),
        ("/film", "video/mp4"),
        ("/endless", "larger than the limit"),
    ],
)
def test_what_is_not_fetched_is_told(path: str, what: str, site: str) -> None:
    assert what in refusal(f"{site}{path}")


def test_this_machine_and_local_networks_are_not_asked_unless_that_is_meant(site: str) -> None:
    port = site.rsplit(":", 1)[1]
    for host in (
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ):
        assert "local network" in refusal(f"http://{host}:{port}/rivers", allow_private=False)
    assert Site.asked == []


def test_a_redirection_to_a_local_network_is_looked_at_as_the_first_address_is(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first address stands for one of the public web.
    checked = fetching._is_public
    monkeypatch.setattr(fetching, "_is_public", lambda address: str(address) == "127.0.0.1" or checked(address))
    assert "169.254.169.254: belongs to this machine or a local network" in refusal(f"{site}/inside", allow_private=False)


@pytest.mark.parametrize("url", ["ftp://example.org/x", "file:///etc/passwd", "http://", "http://user:secret@example.org/"])
def test_only_plain_addresses_of_the_web_are_asked(url: str) -> None:
    told = refusal(url)
    assert "not fetched" in told or "only http and https" in told
    assert "secret" not in told


def test_what_a_site_asks_programs_not_to_fetch_is_not_fetched(site: str) -> None:
    Site.answers["/robots.txt"] = (200, {"Content-Type": "text/plain"}, b"User-agent: *\nDisallow: /rivers\n")
    assert "robots.txt" in refusal(f"{site}/rivers")
    assert [path for path, _ in Site.asked] == ["/robots.txt"]
    assert got(f"{site}/notes.md").data
    Site.answers["/robots.txt"] = (503, {}, b"")
    assert "try later" in refusal(f"{site}/notes.md")


def test_a_server_that_says_nothing_is_given_up(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_SECONDS", 1)
    assert "did not arrive within 1 seconds" in refusal(f"{site}/silent")


def test_an_address_chooses_no_path(site: str, settings: IndexSettings) -> None:
    for url in (f"{site}/a/../../x%2F..%2Fetc/treaty%00.PDF", f"{site}/notes.md"):
        place = fetching._place(url, ".pdf")
        assert (settings.added / place).resolve().is_relative_to(settings.added.resolve())
        assert all(each.isascii() and (each.isalnum() or each in "-./") for each in place) and ".." not in place


def test_what_was_fetched_is_kept_with_its_address_and_day_and_replaced_by_what_comes_later(
    site: str, settings: IndexSettings
) -> None:
    name, is_new = add_fetched(got(f"{site}/rivers"), settings, {"authors": ["Ada Moreno"]})
    assert is_new and name in corpus_sources(settings).by_id
    path = settings.added / name.removeprefix("added/")
    document = load(path, name, max_bytes=10_000).document
    assert document.url == f"{site}/rivers" and document.authors == ("Ada Moreno",)
    assert document.sources[0].startswith(f"{site}/rivers, as it was on 20")
    assert add_fetched(got(f"{site}/rivers"), settings, {}) == (name, False)
    beside = path.with_name(path.name + ".meta.toml")
    beside.write_text('title = "By hand"\n')
    Site.answers["/rivers"] = (200, {"Content-Type": "text/html"}, PAGE.replace(b"Basel", b"Bern"))
    assert add_fetched(got(f"{site}/rivers"), settings, {}) == (name, True)
    assert "Bern" in load(path, name, max_bytes=10_000).document.text
    # What a person told of it stays.
    assert load(path, name, max_bytes=10_000).document.title == "By hand"


def test_the_primary_sources_of_the_debate_are_listed_beside_their_digests(debate_settings: IndexSettings) -> None:
    listed = primary_sources(debate_settings)
    assert len(listed) == 4
    for each in listed:
        digest = load(debate_settings.corpus / f"{each.place}.md", each.place, max_bytes=1_000_000).document
        assert (digest.title, digest.url) == (each.told["title"], each.url)


@pytest.fixture
def debate_settings(tmp_path: Path) -> IndexSettings:
    from assistant.settings import BUNDLED_CORPUS

    return IndexSettings(corpus=BUNDLED_CORPUS, added=tmp_path / "added", store=tmp_path / "store")
