"""Posts over a connection of their own: kept alive; what is no plain answer is left to urllib3."""

from __future__ import annotations

import gzip
import io
import socket
import threading
from collections.abc import Iterator

import pytest
from urllib3.connection import HTTPConnection

from modelyard.contract import LaunchKey, Reply
from modelyard.errors import Fenced, ServerUnreachable
from modelyard.trial.intake import Intake
from modelyard.trial.line import Line

KEY = LaunchKey(sweep="abcdefgh", task="0", number=1)
DEADLINE = 120.0

BODY = b'{"accepted":7}'
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n" + BODY
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n" + BODY
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + BODY
FENCED = b"HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\n\r\nnewer"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n%b\r\n0\r\n\r\n" % BODY
CODED_BODY = gzip.compress(BODY)
CODED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (
    len(CODED_BODY),
    CODED_BODY,
)
OLD = b"HTTP/1.0 200 OK\r\n\r\n" + BODY
LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"


class Server:
    """Answers as it is told, over one connection after the other."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.answers: list[bytes] = []
        self.heard: list[tuple[int, bytes]] = []
        """Of each request the connection's number and the content."""
        self.heads: list[list[bytes]] = []
        """Of each request its lines before the content."""

    def serve(self) -> None:
        """Until all answers are given."""
        number = 0
        while self.answers:
            number += 1
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as stream:
                while self.answers and (content := self._request(stream)) is not None:
                    self.heard.append((number, content))
                    answer = self.answers.pop(0)
                    connection.sendall(answer)
                    if answer in (LAST, CUT, OLD):
                        break

    def _request(self, stream: io.BufferedReader) -> bytes | None:
        """A request's content; None where the connection is at its end."""
        head, length = [], 0
        while (line := stream.readline()) != b"\r\n":
            if not line:
                return None
            head.append(line.rstrip())
            name, _, value = line.partition(b":")
            length = int(value) if name == b"Content-Length" else length
        self.heads.append(head)
        return stream.read(length)


@pytest.fixture
def server() -> Iterator[Server]:
    """On a free port; it has given all of its answers at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        yield Server(listener)


def posts(server: Server, *answers: bytes) -> list[Reply | type[Exception]]:
    """What the batches 1, 2 and so on come to, until all of these answers are given."""
    server.answers = list(answers)
    thread = threading.Thread(target=server.serve)
    thread.start()
    found: list[Reply | type[Exception]] = []
    with Intake(server.address, None, timeout_seconds=DEADLINE) as intake:
        while len(server.heard) < len(answers) and thread.is_alive():
            try:
                found.append(intake.post(KEY, b"%d" % (len(found) + 1)))
            except (Fenced, ServerUnreachable) as error:
                found.append(type(error))
    thread.join(DEADLINE)
    assert not thread.is_alive()
    return found


def test_posts_share_a_connection_until_the_server_ends_it(server: Server) -> None:
    """The next post after the end of a connection makes another one; a refusal is no end."""
    ok = Reply(accepted=7)

    assert posts(server, PLAIN, FENCED, LAST, PLAIN) == [ok, Fenced, ok, ok]
    assert server.heard == [(1, b"1"), (1, b"2"), (1, b"3"), (2, b"4")]


def test_an_answer_that_is_cut_off_is_none(server: Server) -> None:
    """The server counts as away, and the next post reaches it again."""
    assert posts(server, CUT, PLAIN) == [ServerUnreachable, Reply(accepted=7)]
    assert server.heard == [(1, b"1"), (2, b"2")]


@pytest.mark.parametrize(
    ("answer", "connections"),
    [(CHUNKED, (1, 2, 2)), (CODED, (1, 2, 2)), (OLD, (1, 2, 3))],
    ids=["chunked", "coded", "1.0"],
)
def test_other_answers_are_left_to_urllib3(
    answer: bytes, connections: tuple[int, ...], server: Server
) -> None:
    """The batch is posted again, for once: urllib3 takes the next ones at once."""
    assert posts(server, answer, answer, answer) == [Reply(accepted=7)] * 2
    assert server.heard == list(zip(connections, (b"1", b"1", b"2"), strict=True))


def test_a_post_names_the_place_and_who_asks(server: Server) -> None:
    """A server behind a path is found there, and gets the token."""
    server.answers = [PLAIN]
    thread = threading.Thread(target=server.serve)
    thread.start()
    with Intake(f"{server.address}/base", "a-token", timeout_seconds=DEADLINE) as intake:
        intake.post(KEY, b"1")
    thread.join(DEADLINE)

    first, *fields = server.heads[0]
    assert first == b"POST /base/v1/launches/abcdefgh/0/1/events HTTP/1.1"
    assert b"Authorization: Bearer a-token" in fields
    assert b"Host: " + server.address.removeprefix("http://").encode() in fields


class Met(HTTPConnection):
    """Connects to one end of a pair of sockets after the other."""

    def __init__(self, *ends: socket.socket) -> None:
        super().__init__("127.0.0.1", 1)
        self.ends = list(ends)

    def connect(self) -> None:
        self.sock = self.ends.pop(0)


def test_who_has_hung_up_meanwhile_is_met_anew() -> None:
    """A server ends what is kept alive when it likes, without a word: no post is lost by that."""
    (first, one), (second, two) = socket.socketpair(), socket.socketpair()
    line = Line(Met(first, second), {}, DEADLINE)
    with one, two:
        one.sendall(PLAIN)
        two.sendall(PLAIN)

        assert line.post("/", b"1") == (200, BODY)
        one.close()
        assert line.post("/", b"2") == (200, BODY)
        assert two.recv(1000).endswith(b"\r\n\r\n2")
    line.close()


def test_who_refuses_before_all_is_sent_is_heard() -> None:
    """It says why and hangs up: that is its answer, and no broken connection."""
    ours, theirs = socket.socketpair()
    theirs.sendall(LARGE)
    theirs.close()

    assert Line(Met(ours), {}, DEADLINE).post("/", b"1") == (413, b"large")
