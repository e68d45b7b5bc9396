"""The families that learn from texts; their modules are in recurrent.py and transformer.py."""

from __future__ import annotations

from modelyard.data.tokens import LENGTH, WORDS
from modelyard.experiment.search import Parameter
from modelyard.models.family import Family, FamilyParameter

READING = {
    "words": FamilyParameter(
        default=WORDS,
        type=int,
        low=1,
        high=1_000_000,
        description="most words with an id of their own; rarer ones share one",
    ),
    "length": FamilyParameter(
        default=LENGTH,
        type=int,
        low=1,
        high=65_536,
        description="most tokens of a text; what is behind them isn't read",
    ),
}
"""How texts become ids: read by the preprocessor, not by the module."""

TRAINING = {
    "weight_decay": Parameter(float_=(1e-4, 1e-1), log=True),
    "dropout": Parameter(float_=(0.0, 0.5)),
}


def _recurrent(name: str, description: str) -> Family:
    return Family(
        name=name,
        kinds=("text",),
        network=True,
        description=description,
        encoding=tuple(READING),
        parameters={
            **READING,
            "embedding": FamilyParameter(
                default=64, type=int, low=1, high=4_096, description="units of a word's vector"
            ),
            "hidden": FamilyParameter(
                default=64,
                type=int,
                low=1,
                high=4_096,
                description="units of each layer, in each direction",
            ),
            "layers": FamilyParameter(
                default=1, type=int, low=1, high=16, description="recurrent layers"
            ),
            "bidirectional": FamilyParameter(
                default=True, type=bool, description="read each text from its end as well"
            ),
            "pooling": FamilyParameter(
                default="mean",
                type=str,
                choices=("mean", "last"),
                description="a text's vector: the mean over its words, or the last state",
            ),
        },
        space={
            "learning_rate": Parameter(float_=(1e-3, 1e-2), log=True),
            **TRAINING,
            "embedding": Parameter(int_=(32, 128), step=32),
            "hidden": Parameter(int_=(32, 128), step=32),
            "layers": Parameter(int_=(1, 2)),
        },
    )


LSTM = _recurrent("lstm", "long short-term memory: reads a text word by word")
GRU = _recurrent("gru", "gated recurrent units: as lstm, with fewer weights")

TRANSFORMER = Family(
    name="transformer",
    kinds=("text",),
    network=True,
    description="layers of attention, then the mean over a text's words",
    encoding=tuple(READING),
    parameters={
        **READING,
        "heads": FamilyParameter(
            default=4, type=int, low=1, high=64, description="of attention in each layer"
        ),
        "head_width": FamilyParameter(
            default=16,
            type=int,
            low=1,
            high=512,
            description="units of a head; a word's vector has heads × head_width",
        ),
        "layers": FamilyParameter(
            default=2, type=int, low=1, high=32, description="layers of attention"
        ),
        "positions": FamilyParameter(
            default="learnt",
            type=str,
            choices=("learnt", "sinusoidal"),
            description="how a word's place in the text is told",
        ),
    },
    space={
        "learning_rate": Parameter(float_=(3e-4, 5e-3), log=True),
        **TRAINING,
        "heads": Parameter(choice=(2, 4)),
        "head_width": Parameter(int_=(8, 32), step=8),
        "layers": Parameter(int_=(1, 2)),
    },
)
