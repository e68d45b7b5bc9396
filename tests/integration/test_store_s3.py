"""Artifacts in a bucket when things go wrong: a real MinIO behind a proxy that misbehaves."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from modelyard.api import SweepRequest
from modelyard.cli.display import display_for
from modelyard.cli.weights import with_uploaded_weights
from modelyard.client import Client
from modelyard.contract import Document, LaunchKey, PinnedVersion, Stage, TrialSpec, digest_of
from modelyard.data.prepare import prepare
from modelyard.errors import (
    DataError,
    DigestMismatch,
    Fenced,
    InputError,
    ModelyardError,
    ServerRefused,
    ServerUnreachable,
)
from modelyard.experiment.model import Data, Experiment
from modelyard.models.pretrained import Pretrained
from modelyard.server.health import look_at_store
from modelyard.server.lifecycle import serve
from modelyard.settings import Settings
from modelyard.store.manifest import digest_file
from modelyard.store.place import place_of
from modelyard.store.s3 import PART_BYTES, S3
from modelyard.store.s3_store import S3Store
from modelyard.store.store import join
from modelyard.trial.intake import Intake
from modelyard.trial.remote_store import RemoteStore
from modelyard.trial.weights import weights_of
from tests.support.artifact_server import Served, served
from tests.support.fault_proxy import Fault, FaultProxy, proxied
from tests.support.minio import Minio, running
from tests.support.packed import write_customers
from tests.unit.serverkit import add_sweep, experiment

pytestmark = pytest.mark.integration

BASE = "s3://faults/base"
SWEEP = "aaaaaaaa"
NAMES = itertools.count()


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with running(tmp_path_factory.mktemp("minio") / "data") as minio:
        minio.make_bucket("faults")
        yield minio


@pytest.fixture(scope="module")
def shared_proxy(minio: Minio) -> Iterator[FaultProxy]:
    with proxied(minio.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server(
    minio: Minio, shared_proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        minio.use(patch)
        patch.setenv("AWS_ENDPOINT_URL", shared_proxy.address)
        home = tmp_path_factory.mktemp("home")
        with served(Settings(home=home, store=BASE, upload_limit_bytes=100_000)) as server:
            add_sweep(server.core.journal, SWEEP)
            yield server


@pytest.fixture
def proxy(
    minio: Minio, shared_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """The endpoint that everybody in this process is given; harmless before and after."""
    minio.use(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", shared_proxy.address)
    shared_proxy.held.clear()
    shared_proxy.released.clear()
    yield shared_proxy
    shared_proxy.released.set()
    shared_proxy.choose = lambda _number, _method, _path: ""


@pytest.fixture
def launch(server: Served) -> LaunchKey:
    key = LaunchKey(sweep=SWEEP, task=str(next(NAMES)), number=1)
    server.core.journal.commit_launches([TrialSpec(key=key, stage=Stage.TRIAL, document="0" * 64)])
    return key


@pytest.fixture
def remote(server: Served, launch: LaunchKey, tmp_path: Path) -> Iterator[RemoteStore]:
    with Intake(server.address, token=None) as intake:
        store = RemoteStore(
            intake=intake,
            key=launch,
            base=BASE,
            cache=tmp_path / "shared",
            scratch=tmp_path / "own",
            patience_seconds=120.0,
        )
        yield store
        store.close()


def own(launch: LaunchKey, *names: str) -> str:
    return join(BASE, "sweeps", launch.sweep, launch.task, str(launch.number), *names)


def folder(path: Path, **files: bytes) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def a_third(number: int, _method: str, _path: str) -> Fault:
    return "503" if number % 10 in (0, 3, 6) else ""


def test_a_busy_bucket_is_asked_again(
    proxy: FaultProxy, remote: RemoteStore, launch: LaunchKey, tmp_path: Path
) -> None:
    """With 503 for three of ten requests both stores commit and read all the same."""
    source = folder(tmp_path / "new", a=b"one" * 1000, b=b"two")
    proxy.choose = a_third
    for store, uri in ((remote, own(launch, "m")), (S3Store(tmp_path / "s"), join(BASE, "busy"))):
        store.commit(source, uri)
        assert (store.fetch(uri) / "a").read_bytes() == b"one" * 1000


def test_a_read_that_breaks_off_goes_on(
    proxy: FaultProxy, remote: RemoteStore, launch: LaunchKey, tmp_path: Path
) -> None:
    """Cut connections cost only what hadn't arrived."""
    content = os.urandom(3 << 20)
    remote.commit(folder(tmp_path / "new", big=content), own(launch, "m"))
    numbers = itertools.count()

    def twice(_number: int, method: str, path: str) -> Fault:
        return "cut" if method == "GET" and "/big" in path and next(numbers) < 2 else ""

    for store in (remote, S3Store(tmp_path / "s")):
        numbers = itertools.count()
        proxy.choose = twice
        assert (store.fetch(own(launch, "m")) / "big").read_bytes() == content
        assert next(numbers) >= 2


def test_a_silent_bucket_is_given_up(proxy: FaultProxy, tmp_path: Path) -> None:
    """A request that is never answered ends after the time-out, in our words."""
    proxy.choose = lambda _number, _method, _path: "hold"
    store = S3Store(tmp_path / "s", S3(attempts=1, read_seconds=0.2))
    with pytest.raises(ModelyardError, match=r"can't be reached .* is it up\?"):
        store.fetch(join(BASE, "silent"))


def test_flipped_bytes_are_found(
    proxy: FaultProxy, remote: RemoteStore, launch: LaunchKey, tmp_path: Path
) -> None:
    """What arrives otherwise than it was committed is no file, and no copy of it is kept."""
    remote.commit(folder(tmp_path / "new", weights=b"one" * 1000), own(launch, "m"))
    stores = (remote, S3Store(tmp_path / "s"))
    proxy.choose = lambda _number, _method, path: "flip" if "/weights" in path else ""
    for store in stores:
        with pytest.raises(DigestMismatch, match="weights"):
            store.fetch(own(launch, "m"))
    proxy.choose = lambda _number, _method, _path: ""
    for store in stores:
        assert (store.fetch(own(launch, "m")) / "weights").read_bytes() == b"one" * 1000


KILLED = """
import sys
from pathlib import Path
from modelyard.store.s3_store import S3Store
S3Store(Path(sys.argv[1])).commit(Path(sys.argv[2]), sys.argv[3])
"""


def test_a_killed_commit_leaves_nothing_to_read(proxy: FaultProxy, tmp_path: Path) -> None:
    """Killed with one file sent, the folder isn't there; the next commit makes it whole."""
    source, uri = folder(tmp_path / "new", a=b"one", b=b"two"), join(BASE, "killed", "000001")
    proxy.choose = lambda _number, method, path: (
        "hold" if method == "PUT" and path.endswith("/b") else ""
    )
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "s", source, uri])
    try:
        assert proxy.held.wait(300)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    store = S3Store(tmp_path / "mine")
    assert store.committed(join(BASE, "killed")) == ()
    with pytest.raises(FileNotFoundError):
        store.fetch(uri)
    proxy.choose = lambda _number, _method, _path: ""
    proxy.released.set()
    store.commit(source, uri)
    assert store.committed(join(BASE, "killed")) == (uri,)
    assert (store.fetch(uri) / "b").read_bytes() == b"two"


def test_large_files_travel_in_parts(
    proxy: FaultProxy, remote: RemoteStore, launch: LaunchKey, tmp_path: Path
) -> None:
    """A file of more than a part is sent in parts, also through busy moments, and comes back."""
    content = os.urandom(PART_BYTES) + b"the end"
    source = folder(tmp_path / "new", big=content)
    proxy.seen.clear()
    proxy.choose = a_third
    remote.commit(source, own(launch, "m"))
    S3Store(tmp_path / "s").commit(source, join(BASE, "parts"))
    parts = {path.split("partNumber=")[1][:1] for _, path in proxy.seen if "partNumber=" in path}
    assert parts == {"1", "2"}
    for store, uri in ((remote, own(launch, "m")), (S3Store(tmp_path / "s"), join(BASE, "parts"))):
        assert (store.fetch(uri) / "big").read_bytes() == content


@pytest.mark.usefixtures("proxy")
def test_a_replaced_launch_is_refused(
    server: Served, remote: RemoteStore, launch: LaunchKey, tmp_path: Path
) -> None:
    """What it sent before is never committed once a newer launch exists."""
    newer = launch.model_copy(update={"number": 2})
    spec = TrialSpec(key=newer, stage=Stage.TRIAL, document="0" * 64)
    server.core.journal.commit_launches([spec])
    with pytest.raises(Fenced, match="launch 2 of this task exists"):
        remote.commit(folder(tmp_path / "new", a=b"one"), own(launch, "m"))
    assert S3Store(tmp_path / "s").committed(own(launch)) == ()


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    "uri",
    [
        join(BASE, "sweeps", "bbbbbbbb", "0", "1", "model"),
        join(BASE, "sweeps", SWEEP, "elsewhere", "1", "model"),
        join(BASE, "data", "d1"),
        "s3://other/base/x",
    ],
)
def test_writing_elsewhere_is_forbidden(remote: RemoteStore, uri: str, tmp_path: Path) -> None:
    """A trial writes below its own launch's folder and nowhere else."""
    with pytest.raises(ServerRefused, match="belongs to others") as refused:
        remote.commit(folder(tmp_path / "new", a=b"one"), uri)
    assert refused.value.status == 403


def test_a_bucket_that_is_away_for_good(
    server: Served, proxy: FaultProxy, launch: LaunchKey, tmp_path: Path
) -> None:
    """The launch gives up as if it had been stopped: nothing is wrong with it."""
    proxy.choose = lambda _number, _method, _path: "503"
    with Intake(server.address, token=None) as intake:
        store = RemoteStore(
            intake=intake,
            key=launch,
            base=BASE,
            cache=tmp_path / "shared",
            scratch=tmp_path / "own",
            patience_seconds=0.0,
        )
        with pytest.raises(ServerUnreachable):
            store.fetch(own(launch, "m"))
        store.close()


def test_a_snapshot_is_read_once_a_node(
    proxy: FaultProxy, remote: RemoteStore, tmp_path: Path
) -> None:
    """Two launches with one cache folder fetch it once; a damaged copy is fetched anew."""
    uri = join(BASE, "data", "d" * 64)
    S3Store(tmp_path / "s").commit(folder(tmp_path / "new", rows=b"one" * 1000), uri)
    proxy.seen.clear()
    first = remote.fetch(uri)
    assert remote.fetch(uri) == first
    assert len([path for method, path in proxy.seen if "/rows" in path]) == 1
    (first / "rows").write_bytes(b"onE" * 1000)
    assert (remote.fetch(uri) / "rows").read_bytes() == b"one" * 1000


@pytest.mark.usefixtures("proxy")
def test_errors_name_what_to_correct(
    minio: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bucket, wrong keys, no keys and nobody at the address are told apart; no key is shown."""

    def error() -> str:
        with pytest.raises(ModelyardError) as raised:
            S3Store(tmp_path / "s", S3(attempts=1)).fetch("s3://faults/x")
        assert minio.secret_key not in str(raised.value)
        return str(raised.value)

    with pytest.raises(InputError, match="there is no bucket nowhere-here"):
        S3Store(tmp_path / "s").commit(folder(tmp_path / "n", a=b"1"), "s3://nowhere-here/x")
    with pytest.raises(InputError, match="there is no bucket nowhere-here"):
        S3().look("nowhere-here")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "refuses access to s3://faults/x" in error()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in error()
    minio.use(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 can't be reached" in error()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert "nonsense" in error()


def test_a_server_says_at_its_start_that_its_bucket_is_wrong(
    minio: Minio, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be right ends it; whether a bucket is away is told by its readiness."""
    minio.use(monkeypatch)

    def start(store: str) -> None:
        asyncio.run(serve(Settings(home=tmp_path / "home", store=store), port=None, run=None))

    assert server.core.health().checks["store"] == "ok"
    with pytest.raises(InputError, match="there is no bucket nowhere-here"):
        start("s3://nowhere-here/base")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(InputError, match="refuses access to s3://faults"):
        start(BASE)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ModelyardError, match=r"can't be reached .*is it up\?") as away:
        look_at_store(Settings(home=tmp_path / "home", store=BASE))
    assert not isinstance(away.value, InputError)


@pytest.mark.usefixtures("proxy")
def test_a_table_out_of_a_bucket(tmp_path: Path) -> None:
    """An object is read as a file is; one that isn't there is named with its bucket."""
    file = write_customers(tmp_path / "customers.csv")
    S3().put(place_of("s3://faults/tables/customers.csv"), file.read_bytes())
    store, base = S3Store(tmp_path / "s"), join(BASE, "here")

    def prepared(source: str) -> str:
        data = Data(source=source, target="churned")
        return prepare(data, seed=7, base=tmp_path, store=store, store_base=base).digest

    assert prepared("s3://faults/tables/customers.csv") == prepared(str(file))
    with pytest.raises(DataError, match=r"the bucket faults has no 'tables/custom\.csv'"):
        prepared("s3://faults/tables/custom.csv")
    with pytest.raises(DataError, match="there is no bucket nowhere-here"):
        prepared("s3://nowhere-here/a.csv")


def test_an_uploaded_table(server: Served, proxy: FaultProxy, tmp_path: Path) -> None:
    """The client's upload is read by a prepare launch through the server, and sent only once."""
    file = write_customers(tmp_path / "customers.csv")
    with Client(server.address) as client:
        digest = client.upload(file, "customers.csv")
        proxy.seen.clear()
        assert client.upload(file, "other.csv") == digest
    assert [method for method, _ in proxy.seen if method == "PUT"] == []
    key = LaunchKey(sweep=SWEEP, task="prepare", number=1)
    spec = TrialSpec(key=key, stage=Stage.PREPARE, document="0" * 64)
    server.core.journal.commit_launches([spec])
    with Intake(server.address, token=None) as intake:
        store = RemoteStore(
            intake=intake, key=key, base=BASE, cache=tmp_path / "c", scratch=tmp_path / "o"
        )
        data = Data(source=f"upload:{digest}/other.csv", target="churned")
        made = prepare(data, seed=7, base=tmp_path, store=store, store_base=BASE)
        assert store.has(made.uri)
        gone = Data(source=f"upload:{'0' * 64}/a.csv", target="churned")
        with pytest.raises(DataError, match=r"a\.csv .* is not in the server's store"):
            prepare(gone, seed=7, base=tmp_path, store=store, store_base=BASE)
        store.close()


FIVE = Path(__file__).parents[2] / "examples" / "five_digits"


@pytest.mark.usefixtures("proxy")
def test_weights_that_a_sweep_starts_from(server: Served, tmp_path: Path) -> None:
    """A registered version and a packed model's folder that was sent reach a launch by URLs; a
    launch of another sweep can't read the version."""
    uri = S3Store(tmp_path / "s").commit(FIVE, join(BASE, "mlflow", "p", "m-1", "data", "model"))
    files = {file.name: digest_file(file) for file in FIVE.iterdir()}
    pinned = PinnedVersion(version="models:/five/1", uri=uri, digest=digest_of(files))
    document = Document(experiment=experiment(), store=BASE, weights=pinned)
    request = SweepRequest(experiment=document.experiment)
    row = server.core.journal.create_sweep("bbbbbbbb", request, document)
    model = {"family": "cnn", "weights": str(FIVE)}
    meant = Experiment.model_validate({**document.experiment, "model": model})
    with Client(server.address) as client:
        sent = with_uploaded_weights(client, meant, display_for(Console(quiet=True), "accuracy"))
    assert sent.model.weights is not None

    def brought(sweep: str, document: str, pinned: PinnedVersion | None) -> Pretrained:
        key = LaunchKey(sweep=sweep, task=str(next(NAMES)), number=1)
        spec = TrialSpec(key=key, stage=Stage.TRIAL, document=document)
        server.core.journal.commit_launches((spec,))
        scratch = tmp_path / f"{sweep}-{key.task}"
        scratch.mkdir()
        with Intake(server.address, token=None) as intake:
            store = RemoteStore(intake=intake, key=key, base=BASE, cache=None, scratch=scratch)
            source = sent.model.weights.source
            found = weights_of(source, pinned, store=store, store_base=BASE, scratch=scratch)
            store.close()
        return found

    folder, version = brought(SWEEP, "0" * 64, None), brought(row.id, row.document, pinned)
    assert folder.packed == version.packed
    assert (folder.source, version.source) == ("five_digits", "models:/five/1")
    with pytest.raises(ServerRefused, match="belongs to others"):
        brought(SWEEP, "0" * 64, pinned)


def test_boto3_is_imported_late() -> None:
    """Whoever only asks for a store pays nothing: boto3 takes most of a second."""
    program = (
        "import sys; from modelyard.store.store import store_for; store_for('s3://bucket/x');"
        "print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
