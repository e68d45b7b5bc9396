"""The tree families, under scikit-learn's own names for their parameters."""

from __future__ import annotations

from modelyard.experiment.search import Parameter
from modelyard.models.family import Family, FamilyParameter

RANDOM_FOREST = Family(
    name="random-forest",
    kinds=("table", "image"),
    network=False,
    description="averaged decision trees",
    parameters={
        "n_estimators": FamilyParameter(
            default=200, type=int, low=1, high=10_000, description="trees"
        ),
        "max_depth": FamilyParameter(
            default=None,
            type=int,
            low=1,
            high=1_000,
            optional=True,
            description="deepest level of a tree; null grows until leaves are pure",
        ),
        "min_samples_leaf": FamilyParameter(
            default=1, type=int, low=1, description="fewest training rows in a leaf"
        ),
        "max_features": FamilyParameter(
            default=0.3,
            type=float,
            low=1e-3,
            high=1.0,
            description="share of the features looked at for a split",
        ),
    },
    space={
        "n_estimators": Parameter(int_=(100, 400), step=100),
        "max_depth": Parameter(int_=(4, 32), log=True),
        "min_samples_leaf": Parameter(int_=(1, 16), log=True),
        "max_features": Parameter(float_=(0.1, 1.0)),
    },
)

GRADIENT_BOOSTING = Family(
    name="gradient-boosting",
    kinds=("table", "image"),
    network=False,
    description="boosted decision trees over histograms",
    parameters={
        "learning_rate": FamilyParameter(
            default=0.1, type=float, low=1e-6, high=1.0, description="shrinkage of each tree"
        ),
        "max_iter": FamilyParameter(
            default=150, type=int, low=1, high=10_000, description="rounds of boosting"
        ),
        "max_leaf_nodes": FamilyParameter(
            default=31, type=int, low=2, high=10_000, description="most leaves of a tree"
        ),
        "min_samples_leaf": FamilyParameter(
            default=20, type=int, low=1, description="fewest training rows in a leaf"
        ),
        "l2_regularization": FamilyParameter(
            default=0.0, type=float, low=0.0, description="penalty on the leaves' values"
        ),
    },
    space={
        "learning_rate": Parameter(float_=(0.02, 0.3), log=True),
        "max_iter": Parameter(int_=(50, 300), step=50),
        "max_leaf_nodes": Parameter(int_=(7, 63), log=True),
        "min_samples_leaf": Parameter(int_=(5, 50), log=True),
        "l2_regularization": Parameter(float_=(1e-3, 10.0), log=True),
    },
)
