"""Pictures by what is in them, the page that holds them, and material that is broken."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.cli.report import NO_CHROMIUM, PAGE, write_report
from modelyard.contract import Metrics, TrialResult
from modelyard.evaluate.explanation import Explanation
from modelyard.health.numbers import write
from modelyard.report import curves, judgement, layers, reasons, training
from modelyard.report.chromium import NoPicture, find_chromium, write_png
from modelyard.report.gather import ROLES, first_of_each_step, gather, subject_of
from modelyard.report.material import Material
from modelyard.report.page import page
from modelyard.report.pictures import PICTURES, draw
from tests.support import pictures as made

OF_IMAGES = {one.name for one in PICTURES} - {"residuals", "folds"}
OF_VALUES = {"residuals", "importance", "examples"}


def drawn(material: Material) -> dict[str, Any]:
    """Every picture that was drawn, by name; none may have failed."""
    found = draw(material)
    assert [one.problem for one in found if one.problem] == []
    return {one.picture.name: one.figure for one in found}


@pytest.mark.parametrize(
    ("material", "expected"), [(made.images(), OF_IMAGES), (made.values(), OF_VALUES)]
)
def test_what_there_is_something_for_is_drawn(material: Material, expected: set[str]) -> None:
    """Every picture is drawn that the material has something for, and no other."""
    assert set(drawn(material)) == expected


def test_nothing_is_drawn_from_nothing() -> None:
    """A model of which nothing is known has an empty page, and no error."""
    nothing = Material(title="nothing", metric="accuracy")

    assert drawn(nothing) == {}
    assert "<h1>nothing</h1>" in page(nothing, [])


def test_the_history_has_a_panel_a_quantity_and_a_line_a_split() -> None:
    """Loss, objective, learning rate and throughput are drawn, with the kept epoch marked."""
    figure = training.history(made.images())

    assert figure is not None
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["loss", "accuracy", "learning rate", "examples per second"]
    names = [trace.name for trace in figure.data]
    assert names[:4] == ["train", "validation", "train", "validation"]
    assert list(figure.data[0].y) == [one.values["train_loss"] for one in made.history()]
    assert {shape.x0 for shape in figure.layout.shapes} == {9}


def test_a_fit_without_epochs_has_no_history() -> None:
    """One reported step is no curve."""
    one = [Metrics(step=1, values={"validation_accuracy": 0.9})]
    material = replace(made.images(), history=one)

    assert training.history(material) is None
    assert training.animation(material) is None


def test_folds_are_dots_about_their_mean_and_no_epochs() -> None:
    """Of a trial with folds each fit is drawn by its name, and nothing as if it were an epoch."""
    history = [
        Metrics(step=step, values={"validation_accuracy": value, "validation_loss": 1 - value})
        for step, value in enumerate((0.8, 0.9, 1.0, 0.9), start=1)
    ]
    experiment = {**EXPERIMENT, "data": {"folds": 2, "repeats": 2}}
    subject = subject_of("animals", experiment, {}, trial=3)
    assert subject is not None
    material = Material(
        title="animals",
        metric="accuracy",
        metrics={"accuracy": 0.9, "accuracy_std": 0.0816},
        history=history,
        fits=subject.fits,
    )

    found = drawn(material)

    assert set(found) == {"folds"}
    accuracy = found["folds"].data[0]
    names = ["repeat 1, fold 1", "repeat 1, fold 2", "repeat 2, fold 1", "repeat 2, fold 2"]
    assert list(accuracy.x) == names
    assert (accuracy.mode, list(accuracy.y)) == ("markers", [0.8, 0.9, 1.0, 0.9])
    assert found["folds"].layout.shapes[0].y0 == pytest.approx(0.9)
    text = page(material, [])
    assert "accuracy 0.9000 ± 0.0816, mean of 4 fits" in text
    assert "Metrics, mean of 4 fits" in text
    model = subject_of("animals", experiment, {"train": {}})
    assert model is not None
    assert model.fits == ()


def test_the_confusion_matrix_shows_shares_and_counts() -> None:
    """Cells are coloured by the share of their true class and hold the count."""
    material = made.images()
    counts = np.array(material.outcome["confusion"]["matrix"])

    figure = judgement.confusion(material)

    assert figure is not None
    (heat,) = figure.data
    assert np.sum(heat.z, axis=1) == pytest.approx([1, 1, 1])
    assert np.array(heat.customdata).tolist() == counts.tolist()
    assert figure.layout.yaxis.autorange == "reversed"


def test_two_classes_have_one_curve() -> None:
    """With two classes the second's curve says all; with a class that no row has, the others
    are drawn."""
    material = made.images()
    table = material.predictions
    assert table is not None
    two = replace(material, classes=("cat", "dog"))
    absent = replace(material, predictions=table[table["truth"] != "newt"])

    for found, names in ((two, ["dog"]), (absent, ["cat", "dog"])):
        figure = curves.roc(found)
        assert figure is not None
        assert [trace.name.split(":")[0] for trace in figure.data] == names
        assert (figure.data[0].x[0], figure.data[0].y[-1]) == (0, 1)


def test_calibration_counts_every_row() -> None:
    """The bars under the reliability curve add up to the rows."""
    figure = judgement.calibration(made.images())

    assert figure is not None
    curve, bars = figure.data[1], figure.data[2]
    assert sum(bars.y) == 300
    assert len(curve.x) == len(bars.y)
    assert all(0 <= share <= 1 for share in curve.y)


def test_the_gradients_are_drawn_on_a_logarithmic_scale() -> None:
    """A cell holds the power of ten of a layer's norm; a norm of 0 is left white."""
    material = made.images()
    assert material.kept is not None
    flow = material.kept.numbers.gradients
    assert flow is not None
    norms = ((0.0, *flow.norms[0][1:]), *flow.norms[1:])
    numbers = material.kept.numbers.model_copy(
        update={"gradients": flow.model_copy(update={"norms": norms})}
    )

    figure = training.gradient_flow(replace(material, kept=replace(material.kept, numbers=numbers)))

    assert figure is not None
    cells = np.array(figure.data[0].z, float)
    assert cells.shape == (5, 12)
    assert np.isnan(cells[0, 0])
    assert cells[3, 0] == pytest.approx(-3)
    assert list(figure.data[0].y) == list(made.LAYERS)


def test_the_animation_grows_by_an_epoch_a_frame() -> None:
    """Frame n holds the first n epochs, and the picture at rest is the last of them."""
    figure = training.animation(made.images())

    assert figure is not None
    assert [len(frame.data[0].x) for frame in figure.frames] == list(range(1, 13))
    assert len(figure.data[0].x) == 12
    assert len(figure.layout.sliders[0].steps) == 12
    assert list(figure.frames[3].data[-1].y) == list(made.LAYERS)


def test_of_a_long_training_so_many_frames_are_kept() -> None:
    """A thousand epochs have no thousand frames; first and last are among those kept."""
    long = [Metrics(step=step, values={"train_loss": 1 / step}) for step in range(1, 1001)]

    figure = training.animation(Material(title="long", metric="loss", history=long))

    assert figure is not None
    names = [frame.name for frame in figure.frames]
    assert (len(names), names[0], names[-1]) == (training.FRAMES, "1", "1000")


def test_weights_are_shown_as_they_were_and_as_they_are() -> None:
    """Each layer has first and last kept epoch, as areas of 1."""
    figure = layers.weights(made.images())

    assert figure is not None
    assert len(figure.data) == 2 * 2 * len(made.LAYERS)
    assert [trace.name for trace in figure.data[:2]] == ["epoch 1", "epoch 12"]
    area = np.sum(np.diff(figure.data[0].x) * figure.data[0].y[:-1])
    assert area == pytest.approx(1, rel=1e-3)


def test_activation_maps_stand_beside_their_image() -> None:
    """Each layer has the images in one column, and as many columns as channels."""
    figure = layers.activations(made.images())

    assert figure is not None
    inputs, maps = figure.data[0].z, figure.data[1].z
    assert np.shape(inputs) == (4 * 17, 17)
    assert np.shape(maps) == (4 * 17, 8 * 17)
    assert np.nanmin(maps) == 0
    assert np.nanmax(maps) == 1


def test_a_channel_that_says_nothing_is_drawn_dark() -> None:
    """Kept in half precision too, a channel of one value is flat, and no hole in the picture."""
    material = made.images()
    assert material.kept is not None
    maps = material.kept.activation(0).astype(np.float16)
    maps[:, 1] = 0
    kept = replace(material.kept, arrays={**material.kept.arrays, "activation.0": maps})

    figure = layers.activations(replace(material, kept=kept))

    assert figure is not None
    assert (np.array(figure.data[1].z)[:16, 17:33] == 0).all()


def test_the_most_important_column_is_on_top() -> None:
    """Importance is drawn from the largest drop down, with its spread."""
    figure = reasons.importance(made.values())

    assert figure is not None
    (bars,) = figure.data
    assert list(bars.y) == ["area", "rooms", "built", "lift"]
    assert figure.layout.yaxis.autorange == "reversed"
    assert "rmse" in figure.layout.xaxis.title.text


def test_the_page_holds_every_picture_and_nothing_from_elsewhere() -> None:
    """One page: its pictures, facts and script are in it, and it loads nothing."""
    material = made.images()
    found = draw(material)

    text = page(material, found)

    for name in OF_IMAGES:
        assert f'<section id="{name}">' in text
        assert f'id="figure-{name}"' in text
    assert text.count("plotly.js v") == 1
    assert "<script src" not in text
    assert "<td>accuracy at_least 0.8</td>" not in text
    assert "<td>accuracy at least 0.8000</td><td>passed</td>" in text


def test_what_a_file_says_is_text_on_the_page() -> None:
    """Names from data and parameters can't become markup."""
    hostile = "<script>alert(1)</script>"
    material = replace(made.values(), title=hostile, parameters={hostile: hostile})

    assert hostile not in page(material, [])


def test_a_broken_picture_is_told_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """One that can't be drawn stands on the page with its reason, the others with their figures;
    the log has it too."""
    material = made.images()
    assert material.kept is not None
    gone = {key: value for key, value in material.kept.arrays.items() if key != "activation.2"}
    broken = replace(material, kept=replace(material.kept, arrays=gone))

    found = draw(broken)

    assert [one.picture.name for one in found if one.problem] == ["activations"]
    assert {one.picture.name for one in found if one.figure} == OF_IMAGES - {"activations"}
    text = page(broken, found)
    assert "KeyError: &#x27;activation.2&#x27;" in text
    assert "activations can't be drawn" in caplog.text


class Kept:
    """A source of one model whose files lie in a folder."""

    def __init__(self, folder: Path, results: dict[str, TrialResult]) -> None:
        self._folder = folder
        self._results = results

    def result(self, task: str) -> TrialResult | None:
        """The given one."""
        return self._results.get(task)

    def metrics(self, _task: str) -> Sequence[Metrics]:
        """The history of the constructed fit."""
        return made.history()

    def folder(self, _task: str, role: str) -> Path:
        """Where the files of a role lie."""
        return self._folder / role


def stored(folder: Path) -> Kept:
    """The constructed model as a trial and an evaluation would have left it."""
    material = made.images()
    assert material.kept is not None
    assert material.predictions is not None
    write(material.kept, folder / "numbers")
    for role in ("predictions", "explanation"):
        (folder / role).mkdir()
    material.predictions.to_parquet(folder / "predictions" / ROLES["predictions"][0])
    said = material.explanation or Explanation(metric="accuracy", value=1, rows=1)
    (folder / "explanation" / ROLES["explanation"][0]).write_text(said.model_dump_json())
    uris = {role: f"file:///{role}" for role in ("predictions", "explanation")}
    return Kept(
        folder,
        {
            "4": TrialResult(
                metrics={"accuracy": 0.8},
                step=9,
                outcome={"family": "cnn", "parameters": {"depth": 2}, "numbers": "file:///numbers"},
            ),
            "evaluate": TrialResult(
                metrics=dict(material.metrics), outcome={**material.outcome, **uris}
            ),
        },
    )


EXPERIMENT: dict[str, Any] = {"objective": [{"metric": "accuracy"}], "data": {}}
STAGES = {"prepare": {"card": {"classes": made.CLASSES}}, "train": {"taken_from_trial": 4}}


def test_the_sweeps_model_is_gathered_whole(tmp_path: Path) -> None:
    """Of the trained model there is all: what it reported, kept, predicted, and why."""
    subject = subject_of("animals", EXPERIMENT, STAGES)
    assert subject is not None

    material = gather(stored(tmp_path), subject)

    assert (material.title, material.split, material.step) == ("animals, trial 4", "test", 9)
    assert set(drawn(material)) == OF_IMAGES
    assert material.problems == ()


def test_another_trial_isnt_given_the_models_test_rows(tmp_path: Path) -> None:
    """A trial that was not evaluated is told by its own metrics of the validation split."""
    source = stored(tmp_path)
    source._results["2"] = TrialResult(metrics={"accuracy": 0.5})
    subject = subject_of("animals", EXPERIMENT, STAGES, trial=2)
    assert subject is not None

    material = gather(source, subject)

    assert (material.split, dict(material.metrics)) == ("validation", {"accuracy": 0.5})
    assert material.predictions is None


def test_a_damaged_file_costs_its_own_pictures_alone(tmp_path: Path) -> None:
    """What can't be read is said on the page, and the rest is drawn."""
    source = stored(tmp_path)
    (tmp_path / "numbers" / "numbers.npz").write_bytes(b"PK")
    (tmp_path / "explanation" / "explanation.json").unlink()
    subject = subject_of("animals", EXPERIMENT, STAGES)
    assert subject is not None

    material = gather(source, subject)

    assert len(material.problems) == 2
    assert {"history", "confusion", "roc"} <= set(drawn(material))
    assert "numbers.npz" in page(material, []) or "can&#x27;t be read" in page(material, [])


def test_before_training_the_best_trial_is_shown() -> None:
    """Without a trained model it is the best trial so far; without one there is nothing."""
    best = subject_of("animals", EXPERIMENT, {}, best=3)

    assert best is not None
    assert (best.task, best.evaluated) == ("3", False)
    assert subject_of("animals", EXPERIMENT, {}) is None


def test_the_first_value_of_a_step_stands() -> None:
    """Steps that a resumed attempt repeats keep their first values; new names are added."""
    told = [
        Metrics(step=2, values={"a": 1.0}),
        Metrics(step=1, values={"a": 0.5}),
        Metrics(step=2, values={"a": 9.0, "b": 2.0}),
    ]

    assert first_of_each_step(told) == [
        Metrics(step=1, values={"a": 0.5}),
        Metrics(step=2, values={"a": 1.0, "b": 2.0}),
    ]


def test_without_a_chromium_there_is_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No browser on PATH means no PNG files, which is said."""
    monkeypatch.setenv("PATH", str(tmp_path))

    written = write_report(made.values(), tmp_path / "out")

    assert (tmp_path / "out" / PAGE).is_file()
    assert (written.pictures, written.problems) == ((), (NO_CHROMIUM,))


def test_a_chromium_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are the reason of each picture that it didn't draw."""
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    written = write_report(made.values(), tmp_path / "out")

    assert written.pictures == ()
    assert len(written.problems) == len(OF_VALUES)
    assert written.problems[0] == f"residuals.png: {program} ended with 3: no display"


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium")
@pytest.mark.integration
def test_a_picture_is_drawn_by_chromium(tmp_path: Path) -> None:
    """The PNG has the figure's size, and isn't empty."""
    from PIL import Image

    figure = reasons.importance(made.values())
    program = find_chromium()
    assert figure is not None
    assert program is not None

    write_png(program, figure, tmp_path / "importance.png")

    with Image.open(tmp_path / "importance.png") as picture:
        assert picture.size == (1040, figure.layout.height)
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10


def test_no_file_is_a_failure(tmp_path: Path) -> None:
    """A program that ends well and writes nothing has drawn nothing."""
    figure = reasons.importance(made.values())
    assert figure is not None

    with pytest.raises(NoPicture, match=r"wrote no importance\.png"):
        write_png(shutil.which("true") or "true", figure, tmp_path / "importance.png")
