"""XGBoost and LightGBM, where they are installed: parameters by the libraries' names, spaces."""

from __future__ import annotations

from modelyard.experiment.search import Parameter
from modelyard.models.family import Family, FamilyParameter
from modelyard.models.trees import GRADIENT_BOOSTING


def _share(description: str) -> FamilyParameter:
    return FamilyParameter(default=1.0, type=float, low=0.05, high=1.0, description=description)


SHARED = {
    "n_estimators": FamilyParameter(
        default=200, type=int, low=1, high=10_000, description="rounds of boosting"
    ),
    "learning_rate": GRADIENT_BOOSTING.parameters["learning_rate"],
    "colsample_bytree": _share("share of the features that a tree sees"),
    "reg_lambda": FamilyParameter(
        default=1.0, type=float, low=0.0, description="penalty on the leaves' values, squared"
    ),
}

SHARED_SPACE = {
    "n_estimators": Parameter(int_=(50, 400), step=50),
    "learning_rate": GRADIENT_BOOSTING.space["learning_rate"],
    "colsample_bytree": Parameter(float_=(0.4, 1.0)),
    "reg_lambda": Parameter(float_=(1e-3, 10.0), log=True),
}

XGBOOST = Family(
    name="xgboost",
    kinds=("table", "image"),
    network=False,
    library="xgboost",
    description="boosted decision trees, XGBoost's",
    parameters={
        **SHARED,
        "max_depth": FamilyParameter(
            default=6, type=int, low=1, high=64, description="deepest level of a tree"
        ),
        "min_child_weight": FamilyParameter(
            default=1.0,
            type=float,
            low=0.0,
            description="least sum of Hessians in a leaf",
        ),
        "subsample": _share("share of the rows that a tree sees"),
    },
    space={
        **SHARED_SPACE,
        "max_depth": Parameter(int_=(3, 10)),
        "min_child_weight": Parameter(float_=(0.5, 20.0), log=True),
        "subsample": Parameter(float_=(0.5, 1.0)),
    },
)

LIGHTGBM = Family(
    name="lightgbm",
    kinds=("table", "image"),
    network=False,
    library="lightgbm",
    description="boosted decision trees, LightGBM's",
    parameters={
        **SHARED,
        "num_leaves": GRADIENT_BOOSTING.parameters["max_leaf_nodes"],
        "min_child_samples": GRADIENT_BOOSTING.parameters["min_samples_leaf"],
    },
    space={
        **SHARED_SPACE,
        "num_leaves": Parameter(int_=(7, 127), log=True),
        "min_child_samples": GRADIENT_BOOSTING.space["min_samples_leaf"],
    },
)
