"""The section ``train``: how a network is fitted."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from modelyard.contract import Scalar
from modelyard.experiment.section import Section


class EarlyStopping(Section):
    """End a fit that no longer gets better. Which epoch's weights are kept is said by `keep`."""

    patience: int = Field(5, ge=1, description="Epochs without improvement that are borne.")
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as improvement.")


class Schedule(Section):
    """How the learning rate goes over the fit. A bare name stands for its defaults."""

    short: ClassVar[str | None] = "name"
    rest: ClassVar[str | None] = "options"

    name: Literal["constant", "cosine", "step", "exponential", "one-cycle", "plateau"] = Field(
        "cosine", description="constant, cosine, step, exponential, one-cycle or plateau."
    )
    options: dict[str, Scalar] = Field(
        {},
        description="warmup, for each; step: every (epochs), factor; exponential: factor; "
        "plateau: factor, patience (epochs).",
    )


class Augment(Section):
    """What is done at random to the images of each training batch, on the device."""

    flip: bool = Field(False, description="Turn every other image left to right.")
    crop: int = Field(0, ge=0, description="Shift by up to so many pixels each way; 0: not at all.")
    cutout: int = Field(0, ge=0, description="Blank a square of so many pixels a side; 0: none.")
    mixup: float = Field(
        0.0, ge=0, description="Mix pairs of examples, in shares from Beta(mixup, mixup); 0: not."
    )


class HookUse(Section):
    """A plugin that looks into the fit of a network. A bare name stands for its defaults."""

    short: ClassVar[str | None] = "name"
    rest: ClassVar[str | None] = "options"

    name: str = Field(description="Name of an installed plugin.")
    options: dict[str, Scalar] = Field({}, description="The plugin's own options.")


class Train(Section):
    """How a network is fitted. Classical families take no notice of it."""

    epochs: int = Field(20, ge=1, description="Passes over the training split.")
    batch_size: int = Field(64, ge=1, description="Examples that go through the network at once.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one step.")
    loss: Literal["auto", "cross_entropy", "bce", "mse", "mae", "huber"] = Field(
        "auto",
        description="auto: cross_entropy for classes, mse for numbers. bce: two classes; huber: "
        "squared up to one standard deviation of the target, linear beyond.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the true class's weight given to all alike."
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rare classes count as much as frequent ones in the loss."
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "muon"] = Field(
        "adamw",
        description="The optimiser; sgd and rmsprop are with momentum; muon is for hidden "
        "matrices, with adamw for all else.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of the schedule.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd, rmsprop and muon.")
    schedule: Schedule = Field(Schedule(), description="How the learning rate goes.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled for adamw and muon, else L2.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations dropped in training.")
    clip_norm: float | None = Field(None, gt=0, description="Largest norm of the gradient.")
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of the weights' moving average, which is what is measured and kept.",
    )
    augment: Augment | None = Field(None, description="What is done at random to images.")
    early_stopping: EarlyStopping | None = Field(None, description="When to give up early.")
    keep: Literal["best", "last"] = Field(
        "best", description="The checkpoint whose metrics are the trial's value."
    )
    checkpoint_every: int = Field(1, ge=1, description="Epochs between two checkpoints.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="Arithmetic of the fit; metrics are measured in fp32."
    )
    channels_last: bool = Field(False, description="Hold images with their channels innermost.")
    compile: bool = Field(
        False,
        description="Compile the network for training; on a CPU that takes a C++ compiler.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU where there is one and resources.gpus isn't 0."
    )
    resident: bool | Literal["auto"] = Field(
        "auto",
        description="Whether the data lies on the device as a whole; auto: where it takes at most "
        "half of resources.memory, or of what is free on the GPU. Else each batch is read when "
        "its turn comes.",
    )
    loader_workers: int = Field(
        2, ge=1, description="Threads that read the batches of data that isn't resident."
    )
    hooks: tuple[HookUse, ...] = Field(
        (), strict=False, description="Plugins that look into the fit, in their order."
    )
