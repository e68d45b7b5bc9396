"""The JSON Schema of the experiment file, for editors.

Pydantic's own schema says what the models hold; the file may also be written in short forms:
``sampler: tpe``, an objective without its list, ``[adam, sgd]`` for a choice. Here they are
added, and the options of samplers, pruners and schedules are spelt out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelyard.experiment.model import Experiment
from modelyard.experiment.places import PLUGIN
from modelyard.experiment.rules.search import BOUNDS, SCHEDULE_OPTIONS, SEQUENCES
from modelyard.experiment.search import PRUNER_OPTIONS, SAMPLER_OPTIONS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Modelyard experiment"

_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}

_SCALARS: Schema = {"type": ["string", "number", "boolean", "null"]}

_OWN_OPTIONS: Schema = {
    "description": "The same options, under a key of their own.",
    "type": "object",
    "additionalProperties": _SCALARS,
}

_OPTIONS: Mapping[str, Mapping[str, Mapping[str, type]]] = {
    "Sampler": SAMPLER_OPTIONS,
    "Pruner": PRUNER_OPTIONS,
    "Schedule": SCHEDULE_OPTIONS,
}
"""Sections whose options depend on their name."""


def experiment_schema() -> Schema:
    """JSON Schema (draft 2020-12) of an experiment file, short forms included."""
    generated = Experiment.model_json_schema(by_alias=True, mode="validation")
    definitions = {name: _without_titles(d) for name, d in generated.pop("$defs").items()}
    schema = {"$schema": DIALECT, **_without_titles(generated), "title": TITLE}
    for name, table in _OPTIONS.items():
        definitions[name] = _with_options(definitions[name], table)
    definitions["Sampler"]["anyOf"] += _plugged()
    definitions["HookUse"]["additionalProperties"] = _SCALARS
    for name, key in (("Model", "family"), ("Mode", "name"), ("HookUse", "name")):
        definitions[name] = _or_short(definitions[name], key)
    definitions["Parameter"] = _or_list(definitions["Parameter"])
    schema["properties"]["objective"] = _or_single(schema["properties"]["objective"])
    for section in (schema, *definitions.values()):
        _describe_references(section, definitions)
    schema["$defs"] = definitions
    return schema


def _describe_references(section: Schema, definitions: Mapping[str, Schema]) -> None:
    """Pydantic leaves a key's description out where it is that of the section it refers to."""
    for key in section.get("properties", {}).values():
        target = definitions.get(key.get("$ref", "").rpartition("/")[2])
        if target is not None and "description" not in key:
            key["description"] = target["description"]


def _without_titles(value: Any) -> Any:
    """Without the titles that pydantic makes from names: an editor shows the key already."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _without_titles(inner) for name, inner in item.items()}
        if key == "properties"
        else _without_titles(item)
        for key, item in value.items()
        if key != "title"
    }


def _with_options(section: Schema, table: Mapping[str, Mapping[str, type]]) -> Schema:
    """A name, or a mapping with the options of just that name."""
    name = section["properties"]["name"]
    default = name["default"]
    return {
        "description": section["description"],
        "anyOf": [
            {"enum": list(table)},
            *(_named(n, options, name, required=n != default) for n, options in table.items()),
        ],
    }


def _plugged() -> list[Schema]:
    """A plugin's name, or a mapping with options that only the plugin knows."""
    name = {"type": "string", "pattern": f"^{PLUGIN}.+", "description": "An installed plugin."}
    return [
        name,
        {
            "type": "object",
            "properties": {"name": name, "options": _OWN_OPTIONS},
            "required": ["name"],
            "additionalProperties": _SCALARS,
        },
    ]


def _named(name: str, options: Mapping[str, type], field: Schema, *, required: bool) -> Schema:
    properties = dict(_option(option, kind) for option, kind in options.items())
    described = {k: v for k, v in field.items() if k in ("description", "default")}
    return {
        "type": "object",
        "properties": {
            "name": {**described, "const": name},
            **properties,
            "options": {
                "description": "The same options, under a key of their own.",
                "type": "object",
                "properties": properties,
                "additionalProperties": False,
            },
        },
        "required": ["name"] if required else [],
        "additionalProperties": False,
    }


def _option(name: str, kind: type) -> tuple[str, Schema]:
    low, high = BOUNDS.get(name, (None, None))
    schema: Schema = {"type": _TYPES[kind]}
    if name == "sequence":
        schema["enum"] = list(SEQUENCES)
    if low is not None:
        schema["minimum"] = low
    if high is not None and high != float("inf"):
        schema["maximum"] = high
    return name, {**schema, "description": OPTION_DESCRIPTIONS[name]}


def _or_short(section: Schema, key: str) -> Schema:
    field = section["properties"][key]
    return {
        "description": section.pop("description"),
        "anyOf": [{k: v for k, v in field.items() if k != "default"}, section],
    }


def _or_list(parameter: Schema) -> Schema:
    """A list stands for its ``choice``; and one of the three kinds has to be there."""
    (choice,) = (s for s in parameter["properties"]["choice"]["anyOf"] if s.get("type") == "array")
    return {
        "description": parameter.pop("description"),
        "anyOf": [
            {**choice, "description": "Short for {choice: [...]}."},
            {**parameter, "oneOf": [_given(kind) for kind in ("float", "int", "choice")]},
        ],
    }


def _given(kind: str) -> Schema:
    """Satisfied when a kind's key is there and not null."""
    return {"required": [kind], "properties": {kind: {"type": "array"}}}


def _or_single(objective: Schema) -> Schema:
    kept = {k: objective.pop(k) for k in ("description", "default")}
    return {**kept, "anyOf": [{"$ref": "#/$defs/Objective"}, objective]}


def descriptions(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every key of a schema with its dotted path, through all alternatives."""
    for key, inner in schema.get("properties", {}).items():
        yield f"{path}.{key}", inner
        yield from descriptions(inner, f"{path}.{key}")
    for alternative in schema.get("anyOf", []):
        yield from descriptions(alternative, path)
    for name, definition in schema.get("$defs", {}).items():
        yield from descriptions(definition, name)


OPTION_DESCRIPTIONS: Mapping[str, str] = {
    "startup_trials": "Trials before it begins its work.",
    "candidates": "Candidates that are compared for each value.",
    "multivariate": "Model the parameters together instead of one by one.",
    "steps": "Values that are tried of a float parameter without step.",
    "sigma": "First width of the search, as a share of the range.",
    "population": "Trials in a generation.",
    "crossover_probability": "Probability that a trial has two parents.",
    "sequence": "sobol or halton.",
    "scramble": "Shuffle the sequence by the seed.",
    "percentile": "Share of trials in percent that are left running.",
    "warmup_steps": "Epochs of a trial in which it isn't stopped.",
    "interval_steps": "Epochs between two looks at a trial.",
    "min_epochs": "Epochs that every trial gets.",
    "reduction_factor": "One of so many trials goes on at each rung.",
    "p_threshold": "Probability of a chance difference below which a trial is stopped.",
    "startup_steps": "Steps before the test is made.",
    "every": "Epochs between two steps.",
    "patience": "Epochs without a lower validation loss that are borne.",
    "factor": "What the learning rate is multiplied by.",
    "warmup": "Share of the fit in which the learning rate rises.",
}
"""What each option does, for the schema and the reference."""
