"""Own models are checked beside the experiment file, by the server, and for a form's flow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from modelyard.cli.check import load_checked
from modelyard.client import Client
from modelyard.code.archive import ARCHIVE
from modelyard.contract import digest_of
from modelyard.errors import ExperimentError, InputError, Mistake
from modelyard.experiment.load import experiment_from
from modelyard.flows.own_code import send_own_code
from modelyard.server.own_code import sent_code
from modelyard.server.runs import check_experiment
from modelyard.settings import Settings
from modelyard.store.manifest import digest_file
from modelyard.store.store import store_for
from tests.support.own_code import FILES, NET, packed_code, write

EXPERIMENT = """\
name: own
data: {source: "sklearn:iris"}
model: nets/my_net.py:Net
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an experiment file, and a model in a folder beside it."""
    write(tmp_path / "nets")
    (tmp_path / "own.yaml").write_text(EXPERIMENT)
    return tmp_path


def mistakes(folder: Path, *sets: str) -> dict[str, Mistake]:
    """Every mistake of the file by path."""
    with pytest.raises(ExperimentError) as caught:
        load_checked(folder / "own.yaml", sets)
    return {m.path: m for m in caught.value.mistakes}


def test_an_own_model_is_trained_as_the_file_says(folder: Path) -> None:
    """Without a space how it is trained is searched; its code travels, the rest stays."""
    checked = load_checked(folder / "own.yaml", ["train.dropout=0.3"])

    assert checked.family == "nets/my_net.py:Net"
    assert set(checked.space) == {"learning_rate", "weight_decay"}
    assert checked.code is not None
    assert checked.code.files == tuple(sorted(FILES))
    assert checked.view().code == checked.code.digest
    assert "train.dropout is not looked at" in checked.notes[0]


def test_a_change_of_code_is_another_digest_and_one_of_the_experiment_is_not(folder: Path) -> None:
    """The experiment file is no code, also where it lies beside the model."""
    (folder / "nets" / "own.yaml").write_text(EXPERIMENT.replace("nets/", ""))

    def digest() -> str | None:
        return load_checked(folder / "nets" / "own.yaml").view().code

    before = digest()
    (folder / "nets" / "own.yaml").write_text(EXPERIMENT.replace("nets/", "") + "seed: 3\n")
    assert digest() == before
    (folder / "nets" / "late.py").write_text("SCALE = 2.0\n")
    assert digest() != before


def test_names_that_the_class_lacks_are_answered_with_the_nearest(folder: Path) -> None:
    """In parameters and in the space; so are values that a parameter can't take."""
    found = mistakes(
        folder,
        "model={family: nets/my_net.py:Net, parameters: {widht: 3}}",
        "search.space={drop_out: {float: [0, 0.5]}, width: {float: [1, 9]}, momentum: [0.5, 0.9]}",
    )

    assert found["model.parameters.widht"].nearest == "width"
    assert found["search.space.drop_out"].nearest == "dropout"
    assert "width is a whole number" in found["search.space.width.float"].message
    assert len(found) == 3


def test_a_parameter_without_default_needs_a_value_in_every_trial(folder: Path) -> None:
    """Fixed or searched, but not under a condition."""
    text = NET.replace("width: int = 8", "width: int")
    (folder / "nets" / "my_net.py").write_text(text)
    when = "{width: {int: [4, 8], when: {optimizer: sgd}}, optimizer: [sgd, adam]}"

    assert "no default for width" in mistakes(folder)["model"].message
    assert "no default for width" in mistakes(folder, f"search.space={when}")["model"].message
    assert load_checked(folder / "own.yaml", ["search.space.width={int: [4, 8]}"])


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("nets/mynet.py:Net", "there is no file"),
        ("nets/my_net.py:Nett", "has no class 'Nett'; it has Net; did you mean 'Net'?"),
        ("nets/helpers.py:Net", "it has no class at all"),
        ("nets.my_net:Net", "your own code is written file.py:Class"),
    ],
)
def test_a_model_that_isnt_there_is_the_only_mistake_of_its_file(
    folder: Path, family: str, said: str
) -> None:
    """Names of its space aren't judged while nobody knows them."""
    found = mistakes(folder, f"model={family}", "search.space.learning_rate={float: [0.1, 1]}")

    assert said in found["model"].message
    assert list(found) == ["model"]


def test_a_syntax_error_is_told_with_its_line(folder: Path) -> None:
    """Of the user's file, and of the experiment's."""
    (folder / "nets" / "my_net.py").write_text("class Net(:\n")

    with pytest.raises(ExperimentError, match=r"model \(line 3\): my_net\.py line 1 is not Python"):
        load_checked(folder / "own.yaml")


def test_packages_that_no_trial_has_are_refused_unless_an_image_is_named(folder: Path) -> None:
    """Nothing is installed while a trial starts."""
    (folder / "nets" / "requirements.txt").write_text("torch\neinops\n")

    assert "asks for einops" in mistakes(folder)["model"].message
    assert load_checked(folder / "own.yaml", ["resources.image=mine:1"]).code is not None


def test_too_much_code_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is a setting."""
    monkeypatch.setenv("MODELYARD_CODE_LIMIT_BYTES", "100")

    assert "the limit is 100" in mistakes(folder)["model"].message


def experiment(**sections: Any) -> Any:
    """An experiment with an own model, as a request carries it."""
    data = {"name": "own", "data": {"source": "sklearn:iris"}, "model": "nets/my_net.py:Net"}
    return experiment_from({**data, **sections})


@pytest.fixture
def uploaded(tmp_path: Path) -> tuple[str, str]:
    """Base of a store, and the digest of the code that lies in it."""
    archive = packed_code(tmp_path / "made")
    base, digest = (tmp_path / "store").as_uri(), digest_file(archive)
    (tmp_path / "sent").mkdir()
    archive.rename(tmp_path / "sent" / ARCHIVE)
    store_for(base).commit(tmp_path / "sent", f"{base}/uploads/{digest}")
    return base, digest


def test_the_server_reads_the_signature_from_what_was_sent(uploaded: tuple[str, str]) -> None:
    """It knows the parameters, so it refuses what the class lacks; a family of ours needs none."""
    base, digest = uploaded

    found = sent_code(experiment(), digest, store=store_for(base), base=base)
    assert found is not None
    assert found.uri == f"{base}/uploads/{digest}"
    assert list(found.family.parameters) == ["width", "dropout"]
    check_experiment(experiment(search={"space": {"width": [4, 8]}}), found.family)
    with pytest.raises(ExperimentError, match="has no parameter 'depth'"):
        check_experiment(experiment(search={"space": {"depth": [4, 8]}}), found.family)
    assert sent_code(experiment(model="mlp"), None, store=store_for(base), base=base) is None


@pytest.mark.parametrize(
    ("family", "digest", "said"),
    [
        ("my_net.py:Net", None, "has to be sent with the experiment"),
        ("my_net.py:Net", digest_of("other"), "no code with the digest"),
        ("my_net.py:Net", "../../etc", "no code with the digest"),
        ("other.py:Net", "", "holds no file other.py"),
        ("my_net.py:Other", "", "has no class 'Other'"),
    ],
)
def test_the_server_refuses_code_that_cant_be_the_model(
    uploaded: tuple[str, str], family: str, digest: str | None, said: str
) -> None:
    """Each time as a mistake of ``model.family``."""
    base, there = uploaded
    sent = there if digest == "" else digest

    with pytest.raises(ExperimentError, match=said) as caught:
        sent_code(experiment(model=family), sent, store=store_for(base), base=base)
    assert [m.path for m in caught.value.mistakes] == ["model.family"]


def test_a_form_sends_code_from_where_its_flow_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no such file it says who would find it."""
    client = cast(Client, SimpleNamespace(upload=lambda path, _name: digest_file(path)))
    monkeypatch.chdir(folder)

    sent = send_own_code(experiment(), client, Settings())
    assert sent is not None
    assert sent.tags["code"] == sent.digest
    assert send_own_code(experiment(model="mlp"), client, Settings()) is None

    monkeypatch.chdir(folder / "nets")
    with pytest.raises(InputError, match="where this flow runs"):
        send_own_code(experiment(), client, Settings())
