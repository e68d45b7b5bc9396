"""A mean hides a class that is never told; this gate looks at the worst one alone."""

import numpy as np

from modelyard.evaluate.plugged import Evidence, Verdict


def worst_class(*, evidence: Evidence, at_least: float) -> Verdict:
    """The smallest recall of a class, of those that the test split has rows of."""
    right = evidence.output.argmax(axis=1) == evidence.truth
    recalls = [right[evidence.truth == name].mean() for name in np.unique(evidence.truth)]
    return Verdict(value=float(min(recalls)), limit=at_least)
