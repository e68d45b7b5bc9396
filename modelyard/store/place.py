"""Places in a bucket, by ``s3://bucket/key``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from modelyard.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Place:
    """An object, or all objects below a key; ``key`` is as S3 has it, not escaped."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> Place:
        return Place(bucket=self.bucket, key=f"{self.key}/{name}" if self.key else name)

    @property
    def below(self) -> str:
        """The prefix of all that lies below; empty for a whole bucket."""
        return f"{self.key}/" if self.key else ""


def place_of(uri: str) -> Place:
    """What an ``s3://bucket/key`` URI names.

    Raises:
        InputError: it is no such URI.
    """
    parts = urlsplit(uri)
    # A query or fragment is part of the key when somebody wrote it by hand, unescaped.
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc:
        raise InputError(f"{uri!r} is no place in S3; write s3://bucket/key")
    rest = uri.partition("://")[2].partition("/")[2]
    return Place(bucket=parts.netloc, key=unquote(rest).strip("/"))
