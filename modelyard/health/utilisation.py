"""Neuron utilisation: the share of units that tell examples apart."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.health.numbers import Units


def utilisation(layers: Sequence[Units]) -> float | None:
    """Share of a network's units that are neither dead nor saturated.

    A unit that answers every example alike (a ReLU that never fires, a tanh stuck at its end)
    passes nothing on and gets no gradient back: its weights are paid for and unused. Every unit
    counts the same, wherever it is.

    Source: the dead share of rectifiers, Lu, Shin, Su and Karniadakis, "Dying ReLU and
    initialization", 2019; saturation, Glorot and Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", 2010, section 3.

    Args:
        layers: units and idle units of each layer of activations, on a sample of the validation
            split at the end of the fit.

    Returns:
        1 − idle ÷ units, 0 to 1; None for a model without units.
    """
    units = sum(layer.units for layer in layers)
    return 1 - sum(layer.idle for layer in layers) / units if units else None
