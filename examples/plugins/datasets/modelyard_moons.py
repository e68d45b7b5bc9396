"""Two half moons that reach into each other: the classic test of a boundary that isn't straight."""

from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 600
NOISE = 0.2


def moons(folder: Path) -> pd.DataFrame:
    """Columns ``x``, ``y`` and ``moon``. The folder is for what one would download."""
    del folder
    random = np.random.default_rng(0)
    upper = np.arange(ROWS) % 2 == 0
    angle = random.uniform(0, np.pi, ROWS)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return pd.DataFrame(
        {
            "x": x + random.normal(0, NOISE, ROWS),
            "y": y + random.normal(0, NOISE, ROWS),
            "moon": np.where(upper, "upper", "lower"),
        }
    )
