"""``modelyard schema``: JSON Schemas of the experiment file and of everything that is printed."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from modelyard.experiment.schema import DIALECT, experiment_schema


def schema_command(all_models: bool) -> None:
    """Prints the experiment file's JSON Schema, or that and the schemas of all answers.

    Args:
        all_models: one document with a definition for each model that ``--json`` and the
            server's API answer with; ``Experiment`` is the file's.
    """
    document = all_schemas() if all_models else experiment_schema()
    print(json.dumps(document, indent=2, ensure_ascii=False))


def all_schemas() -> dict[str, Any]:
    """Schemas of the experiment file, of the API's and of the commands' documents."""
    from modelyard import api, contract
    from modelyard.cli import views
    from modelyard.data.card import DataCard

    models: list[type[BaseModel]] = [
        model
        for module in (contract, api, views)
        for model in vars(module).values()
        if isinstance(model, type)
        and issubclass(model, contract.Wire)
        and model is not contract.Wire
        and model.__module__ == module.__name__
    ]
    models.append(DataCard)
    _, definitions = models_json_schema([(model, "serialization") for model in models])
    experiment = experiment_schema()
    inner = experiment.pop("$defs")
    del experiment["$schema"]
    return {
        "$schema": DIALECT,
        "title": "Everything that Modelyard reads and prints",
        "$defs": {**definitions["$defs"], **inner, "Experiment": experiment},
    }
