"""S3 in our words: the only module that imports boto3, and late, as it takes most of a second.

Endpoint, keys and region are boto3's own variables: AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_S3),
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, or whatever else its chain finds. No error
of ours holds a key or a signed URL.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import InputError, ModelyardError
from modelyard.store.copies import Broken
from modelyard.store.place import Place

ATTEMPTS = 10
"""Tries of one call: with boto3's pauses about a minute, which a restart of a store takes."""

PART_BYTES = 16 << 20
"""Files from this length on travel in parts of it."""

PARTS_LIMIT = 10_000
"""Most parts that S3 takes for one object."""

CONNECT_SECONDS = 5
CHUNK_BYTES = 1 << 20

_KEYS = frozenset(
    {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
    | {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AllAccessDisabled"}
)
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301"})
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})


@dataclass(frozen=True, kw_only=True)
class Stat:
    """An object's length in bytes and its ETag, which changes when its content does."""

    bytes: int
    etag: str


class S3:
    """Calls of one endpoint. Safe for any number of threads; imports boto3 at the first call.

    Args:
        attempts: tries of a call before it fails.
        read_seconds: longest silence of the endpoint.

    Raises:
        InputError: from every call, when bucket, keys, region or endpoint can't be right.
        ModelyardError: from every call, when the endpoint stays away or can't now.
    """

    def __init__(self, *, attempts: int = ATTEMPTS, read_seconds: float = 30.0) -> None:
        self._attempts = attempts
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._made: Any = None

    def stat(self, place: Place) -> Stat | None:
        """Length and ETag of an object; None where there is none."""
        try:
            with self._said(place) as client:
                found = client.head_object(Bucket=place.bucket, Key=place.key)
        except FileNotFoundError:
            return None
        return Stat(bytes=found["ContentLength"], etag=found["ETag"])

    def read(self, place: Place, start: int = 0, etag: str | None = None) -> Iterator[bytes]:
        """The bytes of an object from an offset on.

        Args:
            etag: the object must still have it.

        Raises:
            FileNotFoundError: there is no such object.
            Broken: the connection ended early.
            ModelyardError: also when it changed meanwhile.
        """
        span = {"Range": f"bytes={start}-"} if start else {}
        same = {"IfMatch": etag} if etag else {}
        with self._said(place) as client:
            body = client.get_object(Bucket=place.bucket, Key=place.key, **span, **same)["Body"]
        with body:
            try:
                yield from body.iter_chunks(CHUNK_BYTES)
            except Exception as error:
                raise Broken(f"reading {place} broke off ({type(error).__name__})") from error

    def put(self, place: Place, content: bytes, *, only_new: bool = False) -> bool:
        """Write a small object.

        Args:
            only_new: leave one alone that is there already, where the endpoint can do that.

        Returns:
            Whether it was written.
        """
        given = {"Bucket": place.bucket, "Key": place.key, "Body": content}
        with self._said(place) as client:
            if not only_new:
                client.put_object(**given)
                return True
            try:
                client.put_object(**given, IfNoneMatch="*")
            except client.exceptions.ClientError as error:
                code = _code(error)
                if code in _TAKEN:
                    return False
                if code not in ("NotImplemented", "501"):
                    raise
                client.put_object(**given)
        return True

    def upload(self, place: Place, path: Path) -> None:
        """Write a file, in parts when it is long; nothing appears before all has arrived."""
        with self._said(place) as client:
            client.upload_file(str(path), place.bucket, place.key, Config=_transfer())

    def folders(self, place: Place) -> list[str]:
        """Names right below a place that have something below them, sorted."""
        with self._said(place) as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=place.bucket, Prefix=place.below, Delimiter="/"
            )
            found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ())]
        return sorted(prefix.removeprefix(place.below).strip("/") for prefix in found)

    def objects(self, place: Place) -> list[Place]:
        """All objects below a place."""
        with self._said(place) as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=place.bucket, Prefix=place.below
            )
            found = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return [Place(bucket=place.bucket, key=key) for key in found]

    def delete(self, place: Place) -> None:
        """Remove an object; no error where there is none."""
        # One by one: deleting in bulk needs checksums that not every endpoint understands.
        with self._said(place) as client, suppress(FileNotFoundError):
            client.delete_object(Bucket=place.bucket, Key=place.key)

    def look(self, bucket: str) -> None:
        """Raise what is wrong with a bucket, if anything is."""
        place = Place(bucket=bucket, key="")
        try:
            with self._said(place) as client:
                client.head_bucket(Bucket=bucket)
        except FileNotFoundError:
            raise self._no_bucket(bucket) from None

    def url(self, call: str, place: Place, seconds: int, **more: object) -> str:
        """A signed URL for one call (``get_object``, ``put_object``, ``upload_part``)."""
        given = {"Bucket": place.bucket, "Key": place.key, **more}
        with self._said(place) as client:
            return str(client.generate_presigned_url(call, Params=given, ExpiresIn=seconds))

    def begin_parts(self, place: Place) -> str:
        """Begin an upload in parts; its id. The object appears when ``end_parts`` was called."""
        with self._said(place) as client:
            made = client.create_multipart_upload(Bucket=place.bucket, Key=place.key)
        return str(made["UploadId"])

    def end_parts(self, place: Place, upload: str, etags: Mapping[int, str]) -> None:
        """Make an object of its parts, by number from 1.

        Raises:
            FileNotFoundError: there is no such upload (any more).
        """
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
        with self._said(place) as client:
            client.complete_multipart_upload(
                Bucket=place.bucket,
                Key=place.key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )

    def drop_parts(self, place: Place) -> None:
        """Give up all uploads in parts that were begun below a place."""
        with self._said(place) as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=place.bucket, Prefix=place.below
            )
            for begun in [one for page in pages for one in page.get("Uploads", ())]:
                client.abort_multipart_upload(
                    Bucket=place.bucket, Key=begun["Key"], UploadId=begun["UploadId"]
                )

    @contextmanager
    def _said(self, place: Place) -> Iterator[Any]:
        """A client; what it raises becomes an error of ours, in one sentence."""
        try:
            yield self._client()
        except (ModelyardError, FileNotFoundError):
            raise
        except Exception as error:
            theirs = type(error).__module__.startswith(("botocore", "boto3", "s3transfer"))
            if not theirs and not isinstance(error, ValueError):  # says "Invalid endpoint"
                raise
            raise self._translated(error, place) from _quiet(error)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _make(self._attempts, self._read_seconds)
            return self._made

    def _translated(self, error: Exception, place: Place) -> Exception:
        cause = error.__context__ if type(error).__name__ == "S3UploadFailedError" else error
        code, kind = _code(cause), type(cause).__name__
        where = f"the S3 endpoint {_endpoint()}"
        if code == "NoSuchBucket":
            return self._no_bucket(place.bucket)
        if code in _ABSENT or code == "NoSuchUpload":
            return FileNotFoundError(f"there is no {place}")
        if code in _KEYS:
            return InputError(
                f"{where} refuses access to {place} ({code}); check AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY, and what they may do with the bucket {place.bucket}"
            )
        if kind in ("NoCredentialsError", "PartialCredentialsError"):
            return InputError(
                f"there are no keys for {place}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if code in _REGION:
            return InputError(f"the bucket {place.bucket} is in another region; set AWS_REGION")
        if code == "PreconditionFailed":
            return ModelyardError(f"{place} changed while it was read")
        if kind in ("ValueError", "InvalidEndpointConfigurationError", "ParamValidationError"):
            return InputError(f"{place} can't be reached by {where}: {cause}")
        if code:
            return ModelyardError(f"{where} answered {code} for {place}; it may be well later")
        return ModelyardError(f"{where} can't be reached for {place} ({kind}); is it up?")

    def _no_bucket(self, bucket: str) -> InputError:
        return InputError(
            f"there is no bucket {bucket} at the S3 endpoint {_endpoint()}; create it, or correct "
            "the name"
        )


def _make(attempts: int, read_seconds: float) -> Any:
    import boto3
    from botocore.config import Config

    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where it found the keys
    session = boto3.session.Session()
    return session.client(
        "s3",
        # boto3 reads AWS_DEFAULT_REGION alone, every other tool AWS_REGION as well.
        region_name=os.environ.get("AWS_REGION") or session.region_name or "us-east-1",
        config=Config(
            retries={"mode": "adaptive", "total_max_attempts": attempts},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            max_pool_connections=32,
            signature_version="s3v4",
            # Checksums in trailers are more than many endpoints know; digests of our own are
            # checked wherever something is read.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4
    )


def _endpoint() -> str:
    """The endpoint as the user gave it, without what may stand before an ``@``."""
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return "of AWS" if given is None else given.rpartition("@")[2]


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _quiet(error: Exception) -> Exception | None:
    """The cause to chain: none for what may hold a signed URL."""
    return error if _code(error) else None
