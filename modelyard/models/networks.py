"""The network families' parameters and spaces; the modules themselves are in mlp.py and cnn.py."""

from __future__ import annotations

from modelyard.experiment.search import Parameter
from modelyard.models.family import Family, FamilyParameter

SMALLEST_IMAGE = 4
"""Pixels of an image's shorter side below which it is halved no more, and a convolution has nothing
to slide over."""

REGULARISATION = {
    "weight_decay": Parameter(float_=(1e-4, 1e-1), log=True),
    "dropout": Parameter(float_=(0.0, 0.4)),
}


def _activation(where: str) -> FamilyParameter:
    return FamilyParameter(
        default="relu", type=str, choices=("relu", "gelu", "silu", "tanh"), description=where
    )


MLP = Family(
    name="mlp",
    kinds=("table", "image"),
    network=True,
    description="fully connected layers",
    encoding=("one_hot",),
    parameters={
        "one_hot": FamilyParameter(
            default=10,
            type=int,
            low=0,
            high=50,
            description="most categories of a column with a feature each; with more, each has a "
            "vector that is learnt",
        ),
        "embedding": FamilyParameter(
            default=None,
            type=int,
            low=1,
            high=1_024,
            optional=True,
            description="units of a category's vector; null goes by how many there are",
        ),
        "hidden": FamilyParameter(
            default=128, type=int, low=1, high=16_384, description="units of each hidden layer"
        ),
        "layers": FamilyParameter(default=2, type=int, low=1, high=32, description="hidden layers"),
        "activation": _activation("after each hidden layer"),
        "norm": FamilyParameter(
            default="batch",
            type=str,
            choices=("batch", "layer", "none"),
            description="normalisation before the activation",
        ),
    },
    space={
        "learning_rate": Parameter(float_=(3e-4, 2e-2), log=True),
        **REGULARISATION,
        "hidden": Parameter(int_=(32, 256), log=True),
        "layers": Parameter(int_=(1, 3)),
        "activation": Parameter(choice=("relu", "gelu", "silu")),
    },
)

NORMS = ("batch", "group", "none")
"""Normalisations over the filters, by their names in the experiment file."""

NORM = FamilyParameter(
    default="batch",
    type=str,
    choices=NORMS,
    description="normalisation after a convolution: over the batch, or over groups of filters of "
    "each image by itself",
)

CNN = Family(
    name="cnn",
    kinds=("image",),
    network=True,
    description="convolutions, then a hidden layer",
    parameters={
        "channels": FamilyParameter(
            default=24,
            type=int,
            low=1,
            high=2_048,
            description="filters of the first block; each further block has twice as many",
        ),
        "depth": FamilyParameter(
            default=2, type=int, low=1, high=8, description="blocks of convolution and pooling"
        ),
        "kernel": FamilyParameter(
            default=3, type=int, choices=(3, 5, 7), description="pixels of a filter's side"
        ),
        "pooling": FamilyParameter(
            default="max",
            type=str,
            choices=("max", "average"),
            description="how a block halves its image",
        ),
        "norm": NORM,
        "activation": _activation("after each convolution and the hidden layer"),
        "hidden": FamilyParameter(
            default=64, type=int, low=1, high=16_384, description="units of the hidden layer"
        ),
    },
    space={
        "learning_rate": Parameter(float_=(1e-3, 1e-2), log=True),
        **REGULARISATION,
        "dropout": Parameter(float_=(0.1, 0.5)),
        "channels": Parameter(int_=(16, 32), step=8),
        "depth": Parameter(int_=(1, 2)),
        "hidden": Parameter(int_=(64, 128), log=True),
    },
)

RESNET = Family(
    name="resnet",
    kinds=("image",),
    network=True,
    description="residual blocks in three stages, then the mean over the image",
    parameters={
        "width": FamilyParameter(
            default=16,
            type=int,
            low=1,
            high=1_024,
            description="filters of the first stage; each further stage has twice as many",
        ),
        "depth": FamilyParameter(
            default=2, type=int, low=1, high=32, description="residual blocks of each stage"
        ),
        "activation": _activation("within and after each block"),
        "norm": NORM,
    },
    space={
        "learning_rate": Parameter(float_=(1e-3, 1e-2), log=True),
        **REGULARISATION,
        "width": Parameter(int_=(8, 32), step=8),
        "depth": Parameter(int_=(1, 3)),
    },
)
