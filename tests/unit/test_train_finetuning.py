"""Fine-tuning: weights to start from, what stays frozen, how fast each layer learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from modelyard.cli.check import load_checked
from modelyard.errors import ExperimentError, InputError
from modelyard.experiment.search import Parameter
from modelyard.models.network import NetworkEstimator
from modelyard.models.pretrained import open_pretrained
from modelyard.train.errors import Stopped
from modelyard.train.fit import FitOutcome, check_start, fit
from tests.support.fitting import SMALL, Recorder, digits, job, table, texts

ROOT = Path(__file__).parents[2]
CNN = {"channels": 4, "hidden": 16}


def weights(outcome: FitOutcome) -> dict[str, torch.Tensor]:
    """The fitted network's weights and buffers."""
    assert isinstance(outcome.estimator, NetworkEstimator)
    return {name: t.clone() for name, t in outcome.estimator.module.state_dict().items()}


def pretrained(folder: Path, snapshot: Any, family: str = "cnn", **rest: Any) -> Path:
    """The folder of a model that was fitted for an epoch."""
    rest = {"epochs": 1, "parameters": SMALL[family], "train": {"learning_rate": 0.01}, **rest}
    fitted = fit(job(snapshot, folder / "scratch", family=family, **rest), Recorder())
    fitted.pack(folder / "packed")
    return folder / "packed"


def tuned(
    snapshot: Any,
    source: Path,
    scratch: Path,
    *,
    family: str = "cnn",
    report: Any = None,
    **rest: Any,
) -> FitOutcome:
    """A fit that starts from a source; ``how`` is the section's other keys."""
    how, parameters = rest.pop("how", {}), rest.pop("fixed", {})
    section = {
        "family": family,
        "parameters": parameters,
        "weights": {"source": str(source), **how},
    }
    work = job(snapshot, scratch, family=family, model=section, **rest)
    work = replace(work, weights=open_pretrained(source, source.name))
    return fit(work, report or Recorder())


def test_a_fit_starts_from_the_weights_of_a_packed_model(tmp_path: Path) -> None:
    """Its parameters and normalisation come with it, and with no rate at all nothing changes."""
    snapshot = digits(tmp_path / "data", rows=200)
    packed = pretrained(tmp_path, snapshot)
    before = safetensors.torch.load_file(packed / "weights.safetensors")

    found = tuned(
        snapshot, packed, tmp_path / "s", epochs=1, train={"learning_rate": 1e-12, "keep": "last"}
    )

    assert found.parameters["channels"] == 4
    learnt = {n: t for n, t in weights(found).items() if "running" not in n and "num_b" not in n}
    assert all(torch.allclose(learnt[name], before[name], atol=1e-8) for name in learnt)


def test_a_head_for_other_classes_is_new_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights of ten classes learn two others: all but the output layer is theirs."""
    packed = pretrained(tmp_path, digits(tmp_path / "data", rows=100))
    bare = packed / "weights.safetensors"
    state = safetensors.torch.load_file(bare)
    state["head.4.weight"], state["head.4.bias"] = torch.zeros(3, 16), torch.zeros(3)
    safetensors.torch.save_file(state, tmp_path / "three.safetensors")

    found = tuned(
        digits(tmp_path / "other", rows=100),
        tmp_path / "three.safetensors",
        tmp_path / "s",
        fixed=CNN,
        epochs=1,
        how={"freeze": True},
    )

    assert "output layer (head.4.weight, head.4.bias) is new" in capsys.readouterr().out
    assert weights(found)["head.4.weight"].shape == (10, 16)
    assert torch.equal(weights(found)["body.0.0.weight"], state["body.0.0.weight"])


def test_every_mismatch_is_listed(tmp_path: Path) -> None:
    """Missing, superfluous and misshapen tensors are all in one error, with both shapes."""
    snapshot = digits(tmp_path / "data", rows=100)
    state = safetensors.torch.load_file(pretrained(tmp_path, snapshot) / "weights.safetensors")
    del state["body.0.1.running_mean"]
    state["extra"] = torch.zeros(2)
    state["head.1.bias"] = torch.full((7,), torch.nan)
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")

    with pytest.raises(InputError) as caught:
        tuned(snapshot, tmp_path / "w.safetensors", tmp_path / "s", fixed=CNN)

    assert str(caught.value).splitlines() == [
        "model.weights: w.safetensors doesn't fit the model in 3 tensors:",
        "body.0.1.running_mean: only in the model",
        "head.1.bias: 16 in the model, 7 in the file; numbers that are NaN or infinite",
        "extra: only in the file",
    ]


def test_weights_are_looked_at_before_any_fit(tmp_path: Path) -> None:
    """What fits is said by nothing, what doesn't with every mismatch, as a fit would; trees start
    from nothing, and no parameter that shapes the model is searched."""
    snapshot = digits(tmp_path / "data", rows=100)
    packed = pretrained(tmp_path, snapshot)
    bare = packed / "weights.safetensors"
    section = {"family": "cnn", "parameters": CNN, "weights": {"source": str(bare)}}
    work = job(snapshot, tmp_path / "s", family="cnn", model=section)
    work = replace(work, weights=open_pretrained(bare, bare.name))
    experiment = work.experiment

    check_start(work)
    check_start(replace(work, weights=open_pretrained(packed, "packed")))

    other = {"model": experiment.model.model_copy(update={"parameters": {**CNN, "hidden": 8}})}
    with pytest.raises(InputError, match=r"head\.1\.weight: 8 × .* in the model, 16 × .* in the f"):
        check_start(replace(work, experiment=experiment.model_copy(update=other)))
    with pytest.raises(InputError, match="random-forest is no network"):
        check_start(replace(work, family="random-forest"))
    space = experiment.search.model_copy(update={"space": {"hidden": Parameter(int=(8, 16))}})
    with pytest.raises(InputError, match="hidden shape the model"):
        check_start(
            replace(work, experiment=experiment.model_copy(update={"search": space})),
        )


def test_frozen_layers_stay_as_they_are_until_they_thaw(tmp_path: Path) -> None:
    """Frozen, all but the head keeps its weights and its running means, bit for bit; after so many
    epochs they learn as well."""
    snapshot = digits(tmp_path / "data", rows=100)
    packed = pretrained(tmp_path, snapshot)
    before = safetensors.torch.load_file(packed / "weights.safetensors")
    rest: dict[str, Any] = {"epochs": 2, "train": {"keep": "last", "dropout": 0.2}}

    frozen = weights(tuned(snapshot, packed, tmp_path / "s", how={"freeze": True}, **rest))
    thawed = weights(
        tuned(snapshot, packed, tmp_path / "s", how={"freeze": True, "unfreeze_after": 1}, **rest)
    )

    for name, tensor in before.items():
        assert torch.equal(frozen[name], tensor) == (not name.startswith("head"))
        assert not torch.equal(thawed[name], tensor)


@pytest.mark.parametrize("stop_after", [6, 12], ids=["frozen", "thawed"])
def test_resumed_fine_tuning_is_the_unbroken_one(stop_after: int, tmp_path: Path) -> None:
    """Stopped before or after the thaw and resumed, it ends with the same weights, bit for bit."""
    snapshot = digits(tmp_path / "data", rows=100)
    packed = pretrained(tmp_path, snapshot)
    rest: dict[str, Any] = {
        "epochs": 4,
        "train": {"keep": "last", "dropout": 0.2, "batch_size": 16},
        "how": {"freeze": True, "unfreeze_after": 2, "rate_factor": 0.5},
    }
    unbroken = tuned(snapshot, packed, tmp_path / "s", **rest)
    report = Recorder(tmp_path / "kept", stop_after=stop_after)
    with pytest.raises(Stopped) as stopped:
        tuned(snapshot, packed, tmp_path / "s", report=report, **rest)
    torch.manual_seed(5)
    resume = tmp_path / "kept" / f"{stopped.value.epoch:06d}"
    resumed = tuned(snapshot, packed, tmp_path / "s", resume=resume, **rest)

    assert resumed.metrics == unbroken.metrics
    ours, theirs = weights(resumed), weights(unbroken)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_layers_near_the_input_learn_more_slowly(tmp_path: Path) -> None:
    """Under plain gradient descent a factor of a thousandth leaves the first layer almost as it
    was, and the head moves as far as without."""
    snapshot = digits(tmp_path / "data", rows=100)
    packed = pretrained(tmp_path, snapshot)
    before = safetensors.torch.load_file(packed / "weights.safetensors")
    train = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "keep": "last"}
    moved = {}
    for factor in (1.0, 1e-3):
        found = tuned(
            snapshot,
            packed,
            tmp_path / "s",
            epochs=1,
            train={**train, "batch_size": 60, "learning_rate": 0.1},
            how={"rate_factor": factor},
        )
        moved[factor] = {
            name: float((tensor - before[name]).abs().max())
            for name, tensor in weights(found).items()
        }

    first, head = "body.0.0.weight", "head.4.weight"
    assert moved[1e-3][head] == pytest.approx(moved[1.0][head], rel=1e-4)
    assert moved[1e-3][first] < 1e-6 < 1e-4 < moved[1.0][first]


def test_texts_keep_the_vocabulary_that_the_weights_know(tmp_path: Path) -> None:
    """A packed model's words have the ids that its vectors were learnt for; a bare file of vectors
    is refused, as nobody knows of which words they are."""
    packed = pretrained(tmp_path, texts(tmp_path / "data", rows=80), "gru")
    other = texts(tmp_path / "other", rows=60)

    found = tuned(other, packed, tmp_path / "s", family="gru", epochs=1)

    assert found.preprocessor.text is not None
    known = open_pretrained(packed, "packed").packed
    assert known is not None
    assert list(found.preprocessor.text.words) == known.preprocessor["text"]["words"]
    with pytest.raises(InputError, match="doesn't say of which"):
        tuned(
            other, packed / "weights.safetensors", tmp_path / "s", family="gru", fixed=SMALL["gru"]
        )


def test_weights_of_other_data_are_refused(tmp_path: Path) -> None:
    """Another kind, other columns, another family, trees: each is said."""
    snapshot = table(tmp_path / "data", rows=100)
    packed = pretrained(tmp_path, snapshot, "mlp")
    trees = tmp_path / "trees"
    fit(
        job(snapshot, tmp_path / "s", family="random-forest", parameters={"n_estimators": 2}),
        Recorder(),
    ).pack(trees)

    with pytest.raises(InputError, match="learnt from table data, and this is image data"):
        tuned(digits(tmp_path / "images", rows=100), packed, tmp_path / "s", family="mlp")
    with pytest.raises(
        InputError, match="is a model of the family mlp, and the experiment's is cnn"
    ):
        tuned(digits(tmp_path / "more", rows=100), packed, tmp_path / "s", family="cnn")
    card = snapshot.card
    fewer = card.model_copy(update={"columns": card.columns[:-1]})
    with pytest.raises(InputError, match="other columns; they differ in region"):
        open_pretrained(packed, "packed").preprocessor_for(fewer)
    with pytest.raises(InputError, match="grown and not trained on"):
        open_pretrained(trees, "trees")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """No safetensors, a changed file of a packed model, NaN: the file is named."""
    snapshot = digits(tmp_path / "data", rows=100)
    packed = pretrained(tmp_path, snapshot)
    state = safetensors.torch.load_file(packed / "weights.safetensors")
    state["head.1.bias"][3] = np.nan
    safetensors.torch.save_file(state, tmp_path / "nan.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"x" * 100)
    (packed / "weights.safetensors").write_bytes(b"y")

    with pytest.raises(
        InputError, match=r"nan.safetensors doesn't fit .* in 1 tensor:\nhead.1.bias: .* NaN"
    ):
        tuned(snapshot, tmp_path / "nan.safetensors", tmp_path / "s", fixed=CNN)
    with pytest.raises(InputError, match=r"junk\.safetensors is no safetensors file"):
        open_pretrained(tmp_path / "junk.safetensors", "junk.safetensors")
    whole = (tmp_path / "nan.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-9])
    with pytest.raises(InputError, match=r"cut\.safetensors is no safetensors file"):
        open_pretrained(tmp_path / "cut.safetensors", "cut.safetensors")
    with pytest.raises(InputError, match="its BLAKE3 differs"):
        open_pretrained(packed, "packed")
    with pytest.raises(InputError, match=r"none\.safetensors can't be read"):
        open_pretrained(tmp_path / "none.safetensors", "none.safetensors")


WRONG = {
    "family: random-forest": ("model.weights", "is no network and starts from nothing"),
    "family: cnn": ("model.weights", "w.safetensors can't be read"),
    "family: cnn, parameters: {depth: 1}": ("search.space.channels", "fit one shape alone"),
}


@pytest.mark.parametrize("family", WRONG)
def test_the_file_is_checked_before_anything_runs(family: str, tmp_path: Path) -> None:
    """Trees with weights, a file that isn't there, a searched shape: mistakes at their keys."""
    file = tmp_path / "a.yaml"
    file.write_text(
        f"name: a\ndata: {{source: sklearn:digits}}\nmodel: {{{family}, weights: w.safetensors}}\n"
        "search: {space: {channels: {int: [4, 8]}, learning_rate: {float: [0.1, 0.2]}}}\n"
    )
    path, words = WRONG[family]

    with pytest.raises(ExperimentError) as caught:
        load_checked(file)

    assert any(m.path == path and words in m.message for m in caught.value.mistakes)


def test_only_how_it_is_trained_is_searched(tmp_path: Path) -> None:
    """With weights the default space has none of the family's own parameters, and their path is
    absolute for whoever reads them."""
    packed = pretrained(tmp_path, digits(tmp_path / "data", rows=100))
    file = tmp_path / "a.yaml"
    model = f"{{family: cnn, weights: {packed.name}}}"
    file.write_text(f"name: a\ndata: {{source: sklearn:digits}}\nmodel: {model}\n")

    checked = load_checked(file)

    assert sorted(checked.space) == ["dropout", "learning_rate", "weight_decay"]
    assert checked.experiment.model.weights is not None
    assert checked.experiment.model.weights.source == str(packed)


def test_the_example_learns_ten_digits_from_five(tmp_path: Path) -> None:
    """examples/finetune.yaml as it stands, on its own weights: a few epochs are enough."""
    experiment = load_checked(ROOT / "examples" / "finetune.yaml").experiment
    section = experiment.model.weights
    assert section is not None
    work = replace(
        job(digits(tmp_path / "data", rows=600), tmp_path / "s", family="cnn", epochs=6),
        experiment=experiment.model_copy(
            update={"train": experiment.train.model_copy(update={"learning_rate": 0.02})}
        ),
        weights=open_pretrained(Path(section.source), "five_digits"),
    )

    assert fit(work, Recorder()).metrics["accuracy"] > 0.85
