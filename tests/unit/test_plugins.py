"""Plugins are found by their entry points, and a broken one harms nobody else."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.cli import main
from modelyard.plugins.distances import check_distance, distance
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import installed, names
from modelyard.plugins.listing import listed
from modelyard.plugins.loading import PluginError, State, load
from modelyard.sweep.plugged import BUILT_IN, check_of
from tests.support.plugins import EXAMPLES, install, write

DOCS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
EXAMPLES_OF_THE_PAGE = {
    Group.MODELS: "FAMILY",
    Group.DATASETS: "squares",
    Group.METRICS: "WITHIN_ONE",
    Group.GATES: "confident",
    Group.SAMPLERS: "eager",
    Group.DISTANCES: "chebyshev",
    Group.HOOKS: "Rate",
}

BROKEN = """
import json
print("this is no part of an answer")
def helper():
    raise ImportError("no license for the year 2026")
helper()
"""

CONTRACTS = """
class Thing: pass
def nothing(): return None
number = 3
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that plugins are installed into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def listing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What ``modelyard plugins --json`` prints, by group, name and distribution."""
    monkeypatch.setattr(sys, "argv", ["modelyard", "plugins", "--json"])
    assert main.main() == 0
    views = json.loads(capsys.readouterr().out)
    return {(view["group"], view["name"], view["distribution"]): view for view in views}


def test_every_example_is_listed_ready(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is an example of each group, which keeps its contract; its version is told."""
    install(target, *(group.value for group in Group))

    found = listing(monkeypatch, capsys)

    assert {group for group, _, _ in found} == {group.value for group in Group}
    assert {view["state"] for view in found.values()} == {"ready"}
    assert {view["version"] for view in found.values()} == {"0.1.0"}


def test_broken_ones_are_named_and_the_rest_goes_on(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each broken plugin has its state and reason, one that raises its traceback; exit code 0."""
    points = {
        "models": {
            "sunk": "broken_one:x",
            "thing": "contracts_one:Thing",
            "mlp": "contracts_one:x",
        },
        "metrics": {"gone": "contracts_one:missing"},
        "gates": {"nothing": "contracts_one:nothing"},
        "hooks": {"number": "contracts_one:number"},
        "distances": {"none": "contracts_one:nothing"},
    }
    files = {"broken_one.py": BROKEN, "contracts_one.py": CONTRACTS}
    write(target, "made-up", points, files)
    install(target, "gates")

    found = listing(monkeypatch, capsys)

    states = {(group, name): view["state"] for (group, name, _), view in found.items()}
    assert states == {
        ("models", "sunk"): "broken",
        ("models", "thing"): "breaks contract",
        ("models", "mlp"): "clash",
        ("metrics", "gone"): "broken",
        ("gates", "nothing"): "breaks contract",
        ("gates", "worst-class"): "ready",
        ("hooks", "number"): "breaks contract",
        ("distances", "none"): "breaks contract",
    }
    sunk = found["models", "sunk", "made-up"]["reason"]
    assert "made-up 0.1.0 (broken_one:x) can't be imported: ImportError: no license" in sunk
    assert 'broken_one.py", line 5, in helper' in sunk
    assert "loading.py" not in sunk
    assert "of Modelyard's own" in found["models", "mlp", "made-up"]["reason"]


def test_a_slow_import_is_named_while_it_lasts(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever waits for a plugin that hangs is told for which."""
    monkeypatch.setattr("modelyard.plugins.loading.SLOW_SECONDS", 0.0)
    waits = "import threading as t\n[x.join() for x in t.enumerate() if isinstance(x, t.Timer)]\n"
    write(target, "made-up", {"gates": {"late": "late_one:gate"}}, {"late_one.py": waits})

    with pytest.raises(PluginError, match="no attribute 'gate'"):
        load(Group.GATES, "late", check_of(Group.GATES))

    said = capsys.readouterr().err
    assert "the gate late of made-up 0.1.0 (late_one:gate) is being imported for 0 s" in said


def test_two_distributions_of_one_name_clash(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is taken, and each names the other."""
    install(target, "distances")
    write(target, "other", {"distances": {"cosine": "modelyard_distances:cosine"}}, {})

    found = listing(monkeypatch, capsys)

    reasons = [found["distances", "cosine", d]["reason"] for d in ("other", "modelyard-distances")]
    assert reasons[0].startswith("modelyard-distances 0.1.0 brings the same name")
    assert reasons[1].startswith("other 0.1.0 brings the same name")
    assert found["distances", "euclidean", "modelyard-distances"]["state"] == "ready"
    with pytest.raises(PluginError, match="uninstall all but one"):
        distance("cosine")


def test_looking_for_plugins_imports_none(target: Path) -> None:
    """Names, distributions and versions are told by metadata alone."""
    write(
        target, "made-up", {"models": {"sunk": "never_imported:x"}}, {"never_imported.py": BROKEN}
    )

    (plugin,) = installed(Group.MODELS)

    assert (plugin.name, plugin.origin) == ("sunk", "made-up 0.1.0")
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize(
    ("left", "name", "expected"),
    [
        ([3.0, 4.0], "euclidean", 5.0),
        ([3.0, -4.0], "manhattan", 7.0),
        ([0.0, 2.0], "cosine", 1.0),
    ],
)
def test_example_distances(target: Path, left: list[float], name: str, expected: float) -> None:
    """From the origin, for the angle from a row along the first axis."""
    install(target, "distances")
    right = [[1.0, 0.0] if name == "cosine" else [0.0, 0.0]]

    assert distance(name)(np.array([left]), np.array(right)) == pytest.approx(expected)
    assert names(Group.DISTANCES) == ("cosine", "euclidean", "manhattan")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda a, b: (a @ b.T).sum(1), "not float64 of shape"),
        (lambda a, b: np.abs(a.sum(1)[:, None] - 2 * b.sum(1)), "from itself is 0, not 6"),
        (lambda a, b: -np.abs(a.sum(1)[:, None] - b.sum(1)), "finite and at least 0"),
        (lambda a, b: np.maximum(a.sum(1)[:, None] - b.sum(1), 0), "change places"),
    ],
)
def test_a_distance_is_tried(made: Any, words: str) -> None:
    """What is no distance is told by a few rows."""
    assert any(words in problem for problem in check_distance("x", made))


def test_no_name_of_modelyard_is_free() -> None:
    """Each group has a contract, and the names that no plugin can have are Modelyard's own."""
    assert all(callable(check_of(group)) for group in Group)
    assert {"mlp", "auto"} <= set(BUILT_IN[Group.MODELS])
    assert sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()) == sorted(Group)


@pytest.mark.parametrize("group", Group)
def test_the_shortest_example_of_each_contract_keeps_it(group: Group, target: Path) -> None:
    """What the page of the docs shows for a group can be installed as it stands."""
    section = DOCS.partition(f"\n## {group.value.capitalize()}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    module, thing = f"page_{group}", EXAMPLES_OF_THE_PAGE[group]
    name = thing.lower() if group is not Group.MODELS else "shallow"
    point = {name.replace("_", "-"): f"{module}:{thing}"}
    write(target, f"page-{group}", {group: point}, {f"{module}.py": code})

    (found,) = listed(group, check_of(group), BUILT_IN[group])

    assert (found.state, found.reason) == (State.READY, "")
