"""Keys of ``train`` that only some data or some machine has a use for."""

from __future__ import annotations

from modelyard.contract import Scalar
from modelyard.experiment.keys import Loc
from modelyard.experiment.rules.case import Case, Mistakes
from modelyard.experiment.training import Augment


def check_training(case: Case) -> Mistakes:
    """What is for images or for classes alone, and a GPU where none may be used."""
    yield from _for_images(case)
    yield from _for_classes(case)
    train, resources = case.experiment.train, case.experiment.resources
    if train.device == "cuda" and resources.gpus == 0:
        yield case.mistake(
            ("train", "device"), "cuda needs a GPU, and resources.gpus is 0; write auto or cpu"
        )


def _for_images(case: Case) -> Mistakes:
    kind, train = case.catalogue.kind, case.experiment.train
    if kind is None or kind == "image":
        return
    for name, given in (
        ("augment", train.augment is not None),
        ("channels_last", train.channels_last),
    ):
        if given:
            yield case.mistake(
                ("train", name), f"{name} is for images, and the data is of kind {kind}"
            )
    for name in (case.experiment.search.space or {}).keys() & Augment.model_fields.keys():
        yield case.mistake(
            ("search", "space", name),
            f"{name} is for images, and the data is of kind {kind}",
            value=name,
        )


def _for_classes(case: Case) -> Mistakes:
    if case.catalogue.task != "regression":
        return
    train, space = case.experiment.train, case.experiment.search.space or {}
    nothing: dict[str, tuple[Scalar, Scalar]] = {
        "label_smoothing": (train.label_smoothing, 0.0),
        "class_weights": (train.class_weights, "none"),
    }
    for name, (value, none) in nothing.items():
        places: list[Loc] = [("train", name)] if value != none else []
        places += [("search", "space", name)] if name in space else []
        for loc in places:
            yield case.mistake(
                loc, f"{name} is for classes, and the target is a number", value=name
            )
