"""What a fit is given and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.code.importing import Code
from modelyard.contract import Scalar
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot
from modelyard.experiment.model import Experiment
from modelyard.models import packed
from modelyard.models.estimator import Estimator
from modelyard.train.ranks import ALONE, Ranks
