"""Reading Reuters-21578 from its SGML, split as ModApte has it."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.data.class_folder import TEXT, labels
from modelyard.data.published import KEPT_TEST, absent
from modelyard.data.table import Table, listed
from modelyard.data.texts import Texts
from modelyard.errors import DataError

TARGET = "topic"
FILES = "reut2-*.sgm"
PUBLISHED_FILES = 22

PARTS = {"TRAIN": 0, "TEST": 2}
"""Values of LEWISSPLIT that ModApte takes, of documents with TOPICS="YES", and their part."""

LEAST = {0: 2, 2: 1}
"""Documents of a topic that each part must have: to learn from and to validate, and to test."""

_DOCUMENT = re.compile(r"<REUTERS\b([^>]*)>")
_END = "</REUTERS>"
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_TOPICS = re.compile(r"<TOPICS>(.*?)</TOPICS>", re.S)
_TOPIC = re.compile(r"<D>(.*?)</D>", re.S)
_TITLE = re.compile(r"<TITLE>(.*?)</TITLE>", re.S)
_BODY = re.compile(r"<BODY>(.*?)</BODY>", re.S)
_TEXT = re.compile(r"<TEXT\b[^>]*>(.*?)</TEXT>", re.S)
_TAG = re.compile(r"</?[A-Z]+[^>]*>")
_CONTROL = re.compile(r"&#\d+;|[\x00-\x08\x0b-\x1f]")


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document that ModApte takes."""

    number: str
    part: int
    topics: tuple[str, ...]
    text: str


def read_reuters(name: str, folder: Path) -> Table:
    """Documents of exactly one topic, out of those that ModApte takes.

    One answer a document is what classification learns: those of several topics, or of none,
    are left out, and so are topics with too few documents; how many is said.

    Raises:
        DataError: a file is not there, or cut short; names it and the document.
    """
    files = next((found for d in ("", "*/") if (found := sorted(folder.glob(d + FILES)))), [])
    if not files:
        raise absent(name, folder, ("reut2-000.sgm",))
    documents = [document for file in files for document in read_sgml(file)]
    single = [document for document in documents if len(document.topics) == 1]
    few = _few(single)
    kept = [document for document in single if document.topics[0] not in few]
    if not kept:
        raise DataError(f"{folder} has no topic with two documents to learn from and one to test")
    numbers = Counter(len(document.topics) for document in documents)
    several = sum(count for topics, count in numbers.items() if topics > 1)
    notes = [
        KEPT_TEST,
        f"Of {len(documents):,} documents of the ModApte split, {several:,} with several topics "
        f"and {numbers[0]:,} with none are left out: each document has one answer.",
    ]
    if few:
        notes.append(
            f"{len(single) - len(kept)} documents of {len(few)} topics with too few of them for "
            f"training, validation and test are left out: {listed(sorted(few), 5)}."
        )
    if len(files) != PUBLISHED_FILES:
        notes.append(f"{len(files)} of the {PUBLISHED_FILES} published files are there.")
    return Table(
        title=name,
        columns={TARGET: labels([document.topics[0] for document in kept])},
        texts=Texts.of(TEXT, (document.text for document in kept)),
        target=TARGET,
        names=[f"document {document.number}" for document in kept],
        parts=np.array([document.part for document in kept], np.int8),
        notes=tuple(notes),
    )


def read_sgml(path: Path) -> Iterator[Document]:
    """The documents of a file that ModApte takes.

    The files are in Latin-1, which the published ones need in one place.

    Raises:
        DataError: it is something else, or a document isn't closed; names it.
    """
    content = path.read_text(encoding="latin-1")
    if not content.startswith("<!DOCTYPE lewis"):
        raise DataError(f"{path} is not of Reuters-21578: it doesn't begin with <!DOCTYPE lewis")
    at = 0
    while (start := _DOCUMENT.search(content, at)) is not None:
        attributes = dict(_ATTRIBUTE.findall(start[1]))
        number = attributes.get("NEWID", "without a number")
        end = content.find(_END, start.end())
        following = content.find("<REUTERS", start.end())
        if end < 0 or 0 <= following < end:
            raise DataError(f"{path} is damaged or cut short: document {number} has no {_END}")
        at = end + len(_END)
        part = PARTS.get(attributes.get("LEWISSPLIT", ""))
        if part is not None and attributes.get("TOPICS") == "YES":
            inner = content[start.end() : end]
            topics = tuple(map(_plain, _TOPIC.findall(_first(_TOPICS, inner))))
            yield Document(number=number, part=part, topics=topics, text=_text(inner))
    if at == 0:
        raise DataError(f"{path} has no document (<REUTERS …>); download it again")


def _text(inner: str) -> str:
    """Title and body, or all that there is of a document without them."""
    title, body = _plain(_first(_TITLE, inner)), _plain(_first(_BODY, inner))
    return f"{title}\n{body}".strip() or _plain(_first(_TEXT, inner))


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _plain(text: str) -> str:
    """Without markup and control characters, which stand there as ``&#3;``."""
    return html.unescape(_CONTROL.sub("", _TAG.sub("", text))).strip()


def _few(documents: list[Document]) -> set[str]:
    counts = Counter((document.topics[0], document.part) for document in documents)
    topics = {document.topics[0] for document in documents}
    return {
        topic
        for topic in topics
        if any(counts[topic, part] < least for part, least in LEAST.items())
    }
