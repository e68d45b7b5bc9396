"""Downloading published sets: whole or not at all, from a server of the test's own."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelyard.cli import data as cli_data
from modelyard.data import download
from modelyard.data.published import PUBLISHED, Download, Published
from modelyard.errors import InputError, ModelyardError

BODY = gzip.compress(b"images" * 100_000)


def tar(files: dict[str, bytes]) -> bytes:
    """A gzipped tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


FILES = {
    "/a.gz": BODY,
    "/a.tar.gz": tar({"bin/data.bin": b"1", "bin/names.txt": b"2"}),
    "/evil.tar.gz": tar({"../out.txt": b"1"}),
    "/train.zip": zipped({"SET/Train/1.ppm": b"1"}),
    "/test.zip": zipped({"SET/Test/1.ppm": b"1", "SET/readme.txt": b"2"}),
    "/login": b"<!doctype html><html>log in</html>",
    "/t.csv": b"a,b\n1,2\n",
}


class Handler(BaseHTTPRequestHandler):
    """Gives the files above; one path promises more than comes."""

    def do_GET(self) -> None:
        """Answer one request."""
        content = FILES.get(self.path, BODY if self.path == "/cut.gz" else None)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + 9 * (self.path == "/cut.gz")))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the server listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def published(*downloads: Download) -> Published:
    """A set of these files."""
    return Published(title="t", page="http://page", downloads=downloads)


def one(
    address: str,
    path: str,
    *,
    file: str = "a.gz",
    md5: str | None = None,
    holds: str | None = None,
) -> Published:
    """A set of one file."""
    return published(Download(url=address + path, file=file, md5=md5, holds=holds))


def get(what: Published, folder: Path) -> download.Fetched:
    """Download without a display."""
    return download.get("x", what, folder, lambda *_: None)


def left(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_file_is_downloaded_once(address: str, tmp_path: Path) -> None:
    """A file comes whole, with its progress, is checked, and not fetched again."""
    seen: list[tuple[str, int, int | None]] = []
    what = one(address, "/a.gz", md5=hashlib.md5(BODY).hexdigest())
    first = download.get("x", what, tmp_path / "x", lambda *step: seen.append(step))
    assert (first.downloaded, first.there, first.unchecked) == (("a.gz",), (), ())
    assert (tmp_path / "x/a.gz").read_bytes() == BODY
    assert seen[-1] == ("a.gz", len(BODY), len(BODY))
    assert get(what, tmp_path / "x").there == ("a.gz",)


def test_archives_are_unpacked_into_each_other(address: str, tmp_path: Path) -> None:
    """Two archives of one top folder are both there; the archives themselves are not kept."""
    what = published(
        Download(url=f"{address}/train.zip", file="train.zip", holds="SET/Train"),
        Download(url=f"{address}/test.zip", file="test.zip", holds="SET/Test"),
        Download(url=f"{address}/a.tar.gz", file="a.tar.gz", holds="bin"),
    )
    assert len(get(what, tmp_path).unchecked) == 3
    assert left(tmp_path) == [
        *["SET/Test/1.ppm", "SET/Train/1.ppm", "SET/readme.txt", "bin/data.bin", "bin/names.txt"]
    ]
    assert len(get(what, tmp_path).there) == 3


def test_an_archive_put_there_by_hand(tmp_path: Path) -> None:
    """Without a network an archive that lies there is unpacked, and stays."""
    (tmp_path / "a.tar.gz").write_bytes(FILES["/a.tar.gz"])
    what = one("http://127.0.0.1:1", "/a.tar.gz", file="a.tar.gz", holds="bin")
    assert get(what, tmp_path).there == ("a.tar.gz",)
    assert left(tmp_path) == ["a.tar.gz", "bin/data.bin", "bin/names.txt"]


@pytest.mark.parametrize(
    ("path", "file", "md5", "message"),
    [
        ("/a.gz", "a.gz", "0" * 32, "published is 00000000"),
        ("/cut.gz", "a.gz", None, "can't be reached"),
        ("/nothing", "a.gz", None, "answers 404 Not Found. Has it moved? See http://page"),
        ("/login", "a.csv", None, "gave an HTML page"),
        ("/login", "a.gz", None, "gave an HTML page"),
        ("/t.csv", "a.zip", None, "gave text instead of a.zip"),
    ],
)
def test_what_is_not_the_published_file_is_not_kept(
    path: str, file: str, md5: str | None, message: str, address: str, tmp_path: Path
) -> None:
    """A wrong checksum, a cut transfer, an error or a login page leaves nothing behind."""
    with pytest.raises(ModelyardError) as caught:
        get(one(address, path, file=file, md5=md5), tmp_path)
    assert message in str(caught.value)
    assert left(tmp_path) == []


def test_no_network(tmp_path: Path) -> None:
    """Without a network it is said what to put where by hand."""
    what = one("http://127.0.0.1:1", "/a.tar.gz", file="a.tar.gz", holds="bin")
    with pytest.raises(ModelyardError) as caught:
        get(what, tmp_path)
    said = str(caught.value)
    assert "Is there a network here?" in said
    assert f"By hand: put these into {tmp_path}, and run `modelyard data get x` again" in said
    assert said.endswith("\n  http://127.0.0.1:1/a.tar.gz")


def test_what_lies_there_must_be_the_published_file(address: str, tmp_path: Path) -> None:
    """A file of another content is never overwritten nor taken; an archive must unpack."""
    (tmp_path / "a.gz").write_bytes(b"other")
    with pytest.raises(InputError, match="Remove it, and it is downloaded"):
        get(one(address, "/a.gz", md5="0" * 32), tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == b"other"
    (tmp_path / "a.tar.gz").write_bytes(FILES["/a.tar.gz"][:60])
    with pytest.raises(InputError, match="can't be unpacked"):
        get(one(address, "/a.tar.gz", file="a.tar.gz", holds="bin"), tmp_path)
    assert left(tmp_path) == ["a.gz", "a.tar.gz"]


def test_an_archive_stays_in_its_folder(address: str, tmp_path: Path) -> None:
    """An archive that would write outside is refused."""
    with pytest.raises(InputError, match="can't be unpacked"):
        get(one(address, "/evil.tar.gz", file="a.tar.gz", holds="b"), tmp_path / "x")
    assert not (tmp_path / "out.txt").exists()


def test_a_folder_that_is_no_folder(address: str, tmp_path: Path) -> None:
    """A folder that can't be made is named."""
    (tmp_path / "x").write_text("a file")
    with pytest.raises(InputError, match="x can't be written"):
        get(one(address, "/a.gz"), tmp_path / "x")


def test_the_command(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``data get`` says what it downloads, into which folder, and how to use it."""
    monkeypatch.setenv("MODELYARD_DATASETS", str(tmp_path))
    monkeypatch.setattr(cli_data, "PUBLISHED", {"kepler": one(address, "/t.csv", file="t.csv")})
    cli_data.get_command("kepler", False)
    said = capsys.readouterr().out
    assert "downloading t.csv (8 bytes)" in said
    assert "no checksum is published of t.csv" in said
    assert f"in {tmp_path / 'kepler'}; use it as `data: {{source: kepler}}`" in said
    cli_data.get_command("kepler", True)
    assert '"there": [\n    "t.csv"\n  ]' in capsys.readouterr().out
    with pytest.raises(InputError, match="did you mean 'kepler"):
        cli_data.get_command("keppler", False)


def test_the_page_names_every_download() -> None:
    """docs/datasets.md has each set's name, page, and every file with its place and checksum."""
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    for name, what in PUBLISHED.items():
        assert f"`{name}`" in page
        assert what.page in page
        for file in what.downloads:
            assert file.url in page
            assert file.md5 is None or file.md5 in page
