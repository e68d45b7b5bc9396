"""Own models are fitted, resumed, packed with their code and loaded elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.code.errors import OwnCodeError
from modelyard.code.importing import Code
from modelyard.contract import Exit
from modelyard.data.snapshot import Snapshot
from modelyard.errors import DigestMismatch, InputError
from modelyard.evaluate.compare import NotComparable, compare
from modelyard.models.own import read_family
from modelyard.models.packed import PackedModelError, load
from modelyard.models.pyfunc import _load_pyfunc
from modelyard.train.errors import CheckpointUnusable
from modelyard.train.fit import FitJob, FitOutcome, fit
from modelyard.trial.failures import failure_of
from modelyard.trial.rebuilt import check_rebuilt
from tests.support.fitting import Recorder, digits, job, table, texts
from tests.support.own_code import FILES, NET, opened, write

FAMILY = "nets/my_net.py:Net"
"""As an experiment names it; of the path only the file's name is left in the archive."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return digits(tmp_path_factory.mktemp("digits") / "snapshot", rows=200)


def own_job(snapshot: Snapshot, scratch: Path, code: Code, **rest: Any) -> FitJob:
    """A fit of own code on a snapshot."""
    made = job(snapshot, scratch, family=FAMILY, **rest)
    return FitJob(**{**vars(made), "code": code})


def fitted(
    snapshot: Snapshot, folder: Path, files: dict[str, str] | None = None, **rest: Any
) -> FitOutcome:
    """The outcome of a short fit of own code."""
    return fit(own_job(snapshot, folder / "scratch", opened(folder, files), **rest), Recorder())


def outputs(folder: Path, snapshot: Snapshot) -> Any:
    """What a packed model says about the validation split."""
    return load(folder).predict(snapshot.rows("validation")).output


@pytest.mark.parametrize("regression", [False, True])
def test_a_packed_own_model_answers_as_it_did(tmp_path: Path, regression: bool) -> None:
    """It carries its code; nothing else of where it was fitted is needed."""
    data = table(tmp_path / "snapshot", regression=regression)
    made = fitted(data, tmp_path, parameters={"width": 5})
    made.pack(tmp_path / "model")
    features = made.preprocessor.transform(data.rows("validation"))
    shutil.rmtree(tmp_path / "source")

    assert made.parameters == {"width": 5, "dropout": 0.0}
    assert np.array_equal(outputs(tmp_path / "model", data), made.estimator.predict(features))
    assert (tmp_path / "model" / "code.tar").is_file()


def test_two_versions_of_the_code_answer_in_one_process(images: Snapshot, tmp_path: Path) -> None:
    """As a challenger and its champion do; each by its own code, through pyfunc too."""
    louder = {**FILES, "late.py": "SCALE = 50.0\n"}
    plain = fitted(images, tmp_path / "1", epochs=1)
    plain.pack(tmp_path / "plain")
    shutil.copytree(tmp_path / "plain", tmp_path / "loud")
    code = opened(tmp_path / "2", louder)
    shutil.copyfile(code.archive, tmp_path / "loud" / "code.tar")
    text = json.loads((tmp_path / "loud" / "model.json").read_text())
    (tmp_path / "loud" / "model.json").write_text(json.dumps({**text, "code": code.digest}))

    calm, sure = (outputs(tmp_path / name, images) for name in ("plain", "loud"))

    assert sure.max(axis=1).mean() > calm.max(axis=1).mean() + 0.2
    table_ = _load_pyfunc(str(tmp_path / "loud")).predict(images.rows("validation").images)
    assert table_["confidence"].tolist() == pytest.approx(sure.max(axis=1).tolist())


def test_code_that_was_changed_in_the_folder_is_not_run(images: Snapshot, tmp_path: Path) -> None:
    """The digest in the description is held against the archive before anything is unpacked."""
    fitted(images, tmp_path, epochs=1).pack(tmp_path / "model")
    other = opened(tmp_path / "other", {**FILES, "late.py": "SCALE = 2.0\n"})
    shutil.copyfile(other.archive, tmp_path / "model" / "code.tar")

    with pytest.raises(DigestMismatch, match=r"code\.tar is not the file that was packed"):
        load(tmp_path / "model")

    (tmp_path / "model" / "code.tar").unlink()
    with pytest.raises(PackedModelError, match=r"code\.tar is missing"):
        load(tmp_path / "model")


def test_a_resumed_fit_ends_as_an_unbroken_one(images: Snapshot, tmp_path: Path) -> None:
    """The code's digest is part of what the checkpoint is of; other code is refused."""
    code = opened(tmp_path)
    parameters = {"dropout": 0.5}
    whole = fit(own_job(images, tmp_path / "a", code, epochs=4, parameters=parameters), Recorder())
    kept = Recorder(tmp_path / "kept")
    fit(own_job(images, tmp_path / "b", code, epochs=4, parameters=parameters), kept)
    middle = tmp_path / "kept" / "000002"

    again = own_job(images, tmp_path / "c", code, epochs=4, parameters=parameters, resume=middle)
    assert fit(again, Recorder()).metrics == whole.metrics

    other = opened(tmp_path / "other", {**FILES, "late.py": "SCALE = 2.0\n"})
    changed = FitJob(**{**vars(again), "code": other})
    with pytest.raises(CheckpointUnusable, match="its code is"):
        fit(changed, Recorder())


def test_weights_that_are_tied_come_back(images: Snapshot, tmp_path: Path) -> None:
    """One tensor under two names, and what the class computes for itself, are there again."""
    tied = "import torch\n" + NET.replace(
        "self.head =",
        "self.twin = self.body[1][0]\n"
        "        self.register_buffer('one', torch.ones(1), persistent=False)\n"
        "        self.head =",
    ).replace("* SCALE", "* SCALE * self.one")
    made = fitted(images, tmp_path, {**FILES, "my_net.py": tied}, epochs=1)
    made.pack(tmp_path / "model")
    features = made.preprocessor.transform(images.rows("validation"))

    assert np.array_equal(outputs(tmp_path / "model", images), made.estimator.predict(features))


REFUSED = {
    "class Net:\n  def __init__(self, inputs, outputs): ...": "is no torch.nn.Module",
    NET.replace("width, outputs)", "width, 3)"): "answers 2 examples with (2, 3); it has to be",
    NET.replace("* SCALE", "* SCALE, 1"): "answers 2 examples with tuple; it has to be",
    "import not_there_at_all\n" + NET: "needs the package 'not_there_at_all'",
}


@pytest.mark.parametrize(("text", "said"), REFUSED.items())
def test_a_class_that_no_trial_could_train_stops_the_sweep(
    images: Snapshot, tmp_path: Path, text: str, said: str
) -> None:
    """It would fail the same way for every trial, so it is the user's to mend."""
    with pytest.raises(OwnCodeError) as caught:
        fitted(images, tmp_path, {**FILES, "my_net.py": text})

    assert said in str(caught.value)
    assert failure_of(caught.value).exit is Exit.CONFIGURATION


def test_an_error_in_the_users_code_is_a_bug_that_names_file_and_line(
    images: Snapshot, tmp_path: Path
) -> None:
    """The summary says where; the traceback shows the line itself."""
    files = {**FILES, "helpers.py": "def hidden_layer(before, after):\n    return before // 0\n"}
    with pytest.raises(ZeroDivisionError) as caught:
        fitted(images, tmp_path, files)

    failure = failure_of(caught.value)
    assert failure.exit is Exit.BUG
    assert failure.summary.endswith("(helpers.py line 2)")
    assert "return before // 0" in failure.detail


def test_a_parameter_that_the_class_lacks_is_refused(images: Snapshot, tmp_path: Path) -> None:
    """Its own ones are named."""
    with pytest.raises(InputError, match=r"widht is neither a parameter of .* \(width, dropout\)"):
        fitted(images, tmp_path, parameters={"widht": 3})


def test_a_model_that_loses_what_it_is_on_the_way_is_refused(
    images: Snapshot, tmp_path: Path
) -> None:
    """What is kept as a plain attribute isn't saved, so the metrics would be another model's."""
    rows = images.part("validation")
    forgetful = NET.replace("self.head =", "self.noise = torch.randn(1) * 9\n        self.head =")
    files = {**FILES, "my_net.py": "import torch\n" + forgetful.replace("* SCALE", "* self.noise")}
    lost = fitted(images, tmp_path / "lost", files, epochs=1)
    lost.pack(tmp_path / "lost" / "model")
    kept = fitted(images, tmp_path / "kept", epochs=1)
    kept.pack(tmp_path / "kept" / "model")

    check_rebuilt(tmp_path / "kept" / "model", kept, rows)
    with pytest.raises(OwnCodeError, match="answers differently: it keeps something"):
        check_rebuilt(tmp_path / "lost" / "model", lost, rows)


def test_a_champion_whose_code_fails_can_only_not_be_compared(
    images: Snapshot, tmp_path: Path
) -> None:
    """It stops no candidate; file and line are said."""
    moody = NET.replace("from late", "assert len(examples) < 3\n        from late")
    fitted_ = fitted(images, tmp_path, {**FILES, "my_net.py": NET}, epochs=1)
    fitted_.pack(tmp_path / "model")
    other = opened(tmp_path / "other", {**FILES, "my_net.py": moody})
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    described["code"] = other.digest
    (tmp_path / "model" / "model.json").write_text(json.dumps(described))
    shutil.copyfile(other.archive, tmp_path / "model" / "code.tar")

    with pytest.raises(NotComparable, match=r"can't answer: AssertionError: .*\(my_net\.py line"):
        compare(
            {"accuracy": 0.5},
            load(tmp_path / "model"),
            rows=images.rows("test"),
            truth=images.target("test"),
            card=images.card,
            metric="accuracy",
        )


def test_a_packed_model_whose_code_fails_says_so(images: Snapshot, tmp_path: Path) -> None:
    """A champion that can't be built any more is an error of ours, so it stops no candidate."""
    fitted(images, tmp_path, epochs=1).pack(tmp_path / "model")
    text = (tmp_path / "model" / "model.json").read_text()
    described = json.loads(text)
    described["parameters"]["width"] = -1
    (tmp_path / "model" / "model.json").write_text(json.dumps(described))

    with pytest.raises(
        PackedModelError, match=r"can't be built again: RuntimeError: .*helpers\.py"
    ):
        load(tmp_path / "model")


READER = """
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs, outputs, vocabulary, *, width: int = 8):
        super().__init__()
        self.body = nn.EmbeddingBag(vocabulary, width, padding_idx=0)
        self.head = nn.Linear(width, outputs)

    def forward(self, ids):
        return self.head(self.body(ids))
"""


def test_a_class_that_takes_a_vocabulary_learns_from_texts(tmp_path: Path) -> None:
    """It is given ids of words and how many there are; packed, it answers as it did."""
    data = texts(tmp_path / "snapshot")
    family = read_family("my_net.py:Net", write(tmp_path / "look", {"my_net.py": READER}))
    made = fitted(
        data,
        tmp_path,
        {"my_net.py": READER},
        parameters={"words": 12, "length": 6},
        train={"learning_rate": 0.1, "batch_size": 16},
        epochs=8,
    )
    made.pack(tmp_path / "model")

    assert (family.kinds, sorted(family.parameters)) == (("text",), ["length", "width", "words"])
    assert made.parameters == {"width": 8, "words": 12, "length": 6}
    assert made.preprocessor.text is not None
    assert (made.preprocessor.text.length, len(made.preprocessor.text.words)) == (6, 12)
    assert made.metrics["accuracy"] > 0.7
    features = made.preprocessor.transform(data.rows("validation"))
    assert np.array_equal(outputs(tmp_path / "model", data), made.estimator.predict(features))
