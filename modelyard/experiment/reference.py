"""Writes the reference of the experiment file from its models.

``python -m modelyard.experiment.reference > docs/experiment.md``
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from modelyard.experiment.keys import fields_of, literals_in, parts, section_in
from modelyard.experiment.model import Experiment, Gate, Objective
from modelyard.experiment.resources import EnvSecret
from modelyard.experiment.rules.search import SCHEDULE_OPTIONS
from modelyard.experiment.schema import OPTION_DESCRIPTIONS
from modelyard.experiment.search import PRUNER_OPTIONS, SAMPLER_OPTIONS, Parameter
from modelyard.experiment.section import Section
from modelyard.experiment.space import SEARCHABLE
from modelyard.experiment.support import later_values
from modelyard.experiment.training import HookUse

HEAD = """\
# The experiment file

<!-- Written by `python -m modelyard.experiment.reference`; change the models, not this page. -->

One YAML file holds everything a run is made from. Only `name`, `data.source` and, for tables,
`data.target` are required; every other key has the default shown here.

```yaml
name: churn
data: {source: customers.csv, target: churned}
```

- `modelyard new TEMPLATE FILE` writes one to start from, with the schema for your editor beside it.
- `modelyard check FILE` tells every mistake at once, and what would be run.
- `modelyard schema` prints the JSON Schema.
- `--set KEY=VALUE` on `check` and `run` overrides one value: a dotted path with list items by
  number, and a value in YAML: `--set budget.trials=12`, `--set gates.0.at_least=0.9`,
  `--set deploy=null`.

The file is YAML 1.2: `yes` and `on` are text, `1e-3` is a number. Keys that stand twice are
refused, and so are unknown ones. Values marked *not yet* are known and refused until the work
behind them is done; they are never ignored.
"""

SPACE = """\
A space maps names to what may be tried. A name is a parameter of the model's family or, for
networks, one of these keys of `train` and `train.augment`: {searchable}. A list stands for
`choice`.

```yaml
search:
  space:
    learning_rate: {{float: [1.0e-4, 1.0e-1], log: true}}
    hidden: {{int: [32, 256], step: 32}}
    optimizer: [adamw, sgd]
    momentum: {{float: [0.5, 0.99], when: {{optimizer: sgd}}}}
```

Without a space the family's own is searched, less what the file fixes under `train` or
`model.parameters`.
"""

LIMITS = """\
- `grid` needs a `step` for every `float`, or its option `steps`; it tries each cell once, so a
  larger `budget.trials` is cut.
- `cmaes`, `gp` and `qmc` draw parameters with conditions at random, `cmaes` also choices, and say
  so; a space that has nothing else is a mistake. `cmaes` follows one objective.
- With several objectives there is no pruner: left out, it is `none`; any other is a mistake.
"""


def reference() -> str:
    """The page as Markdown."""
    sections = list(_sections("", Experiment))
    for path, section in (("objective", Objective), ("gates.*", Gate), ("train.hooks.*", HookUse)):
        sections += _sections(path, section)
    return "\n".join([HEAD, *sections]).rstrip() + "\n"


def _sections(path: str, section: type[Section]) -> Iterator[str]:
    """A section's table, then those of the sections inside it."""
    fields = fields_of(section)
    inner = {key: section_in(field.annotation) for key, field in fields.items()}
    yield _section(path, section, fields)
    for key, child in inner.items():
        if child is None or child in (Objective, Gate, HookUse):
            continue
        below = f"{path}.{key}".lstrip(".")
        yield from _sections(f"{below}.NAME" if child in (Parameter, EnvSecret) else below, child)


def _section(path: str, section: type[Section], fields: Mapping[str, FieldInfo]) -> str:
    title = f"## `{path}`" if path else "## Top level"
    lines = [title, "", _words(section), ""]
    lines += ["| key | value | default | |", "|---|---|---|---|"]
    lines += [
        _row(f"{path}.{key}".lstrip("."), key, field)
        for key, field in fields.items()
        if key != section.rest
    ]
    return "\n".join([*lines, "", *_extra(path)])


def _words(section: type[Section]) -> str:
    """The docstring's own paragraphs, as one each."""
    text = (section.__doc__ or "").strip().replace("``", "`")
    paragraphs = text.split("\n\n")
    return "\n\n".join(" ".join(p.split()) for p in paragraphs)


def _row(path: str, key: str, field: FieldInfo) -> str:
    later = later_values(path) or later_values(f"{path}.name")
    note = f" *Not yet:* {later.values}." if later else ""
    description = (field.description or "") + note
    cells = (f"`{key}`", _kind(field), _default(field), description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(field: FieldInfo) -> str:
    """The type in words, with its bounds."""
    annotation = field.annotation
    names = ", ".join(f"`{value}`" for value in literals_in(annotation))
    section = section_in(annotation)
    origins = {get_origin(a) for a in (annotation, *get_args(annotation))}
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    simple = [words[p] for p in dict.fromkeys(parts(annotation)) if p in words]
    if tuple in origins:
        return "list"
    if dict in origins:
        return "mapping"
    if section is not None:
        return "section"
    bounds = _bounds(field)
    return " or ".join([*([names] if names else []), *(f"{word}{bounds}" for word in simple)])


def _bounds(field: FieldInfo) -> str:
    words = []
    for rule in _rules(field):
        for attribute, word in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to")):
            if hasattr(rule, attribute):
                words.append(f"{word} {getattr(rule, attribute):,}")
    return f" {', '.join(words)}" if words else ""


def _rules(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    for part in get_args(field.annotation):
        for rule in getattr(part, "__metadata__", ()):
            inner = getattr(rule, "metadata", [rule])
            yield from (r for r in inner if isinstance(r, annotated_types.BaseMetadata))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, Section):
        return ""
    if isinstance(value, tuple) and value and isinstance(value[0], Section):
        return f"`{json.dumps([v.model_dump(mode='json', by_alias=True) for v in value])}`"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _extra(path: str) -> list[str]:
    """What a section's table doesn't tell."""
    tables = {
        "search.sampler": SAMPLER_OPTIONS,
        "search.pruner": PRUNER_OPTIONS,
        "train.schedule": SCHEDULE_OPTIONS,
    }
    if path in tables:
        return [*_options(tables[path]), *([LIMITS] if path == "search.sampler" else [])]
    if path == "search.space.NAME":
        return [SPACE.format(searchable=", ".join(f"`{name}`" for name in SEARCHABLE))]
    return []


def _options(table: Mapping[str, Mapping[str, type]]) -> list[str]:
    """Options stand beside the name: ``{name: tpe, startup_trials: 5}``."""
    lines = ["Options stand beside `name`:", "", "| name | option | |", "|---|---|---|"]
    for name, options in table.items():
        lines += [f"| `{name}` | `{o}` | {OPTION_DESCRIPTIONS[o]} |" for o in options]
    return [*lines, ""]


def main() -> None:
    """Prints the page."""
    print(reference(), end="")


if __name__ == "__main__":
    main()
