"""The house's walls: who may import which client, and what a trial process ever loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "modelyard"

ALLOWED: dict[str, tuple[str, ...]] = {
    "optuna": ("sweep/study",),
    "mlflow": ("registry/",),
    "prefect": ("flows/", "tasks/", "cli/"),
    "sqlalchemy": ("journal/", "sweep/study"),
    "alembic": ("journal/",),
    "boto3": ("store/s3.py",),
    "kubernetes": ("k8s/client.py",),
    "fastapi": ("server/", "serve/"),
    "uvicorn": ("server/", "serve/"),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "PIL": ("data/pictures.py",),
    "plotly": ("report/",),
    "shap": ("evaluate/shapley.py",),
    "torch": ("evaluate/gradients.py", "models/", "train/", "trial/", "local/", "serve/"),
}
"""Client library → places, by prefix of the path inside the package."""

NEVER_IN_A_TRIAL = (
    "optuna",
    "mlflow",
    "prefect",
    "sqlalchemy",
    "kubernetes",
    "boto3",
    "fastapi",
    "plotly",
)


def imports(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def sources() -> list[Path]:
    """Every module of the package, through the symlinks too."""
    folders = (PACKAGE, *(entry for entry in PACKAGE.iterdir() if entry.is_symlink()))
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@pytest.mark.parametrize("library", ALLOWED)
def test_client_stays_in_its_room(library: str) -> None:
    """Each client library is imported only in the files of its allow-list."""
    strangers = [
        str(path.relative_to(PACKAGE))
        for path in sources()
        if any(name.split(".")[0] == library for name in imports(path))
        and not str(path.relative_to(PACKAGE)).startswith(ALLOWED[library])
    ]

    assert strangers == []


def test_top_folders_are_reached_through_the_package() -> None:
    """Nobody imports flows, tasks or k8s by their folder's name."""
    culprits = [
        str(path)
        for path in [*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
        if {name.split(".")[0] for name in imports(path)} & {"flows", "tasks", "k8s"}
    ]

    assert culprits == []


def test_a_trial_loads_no_client() -> None:
    """The trial program, with every family and loader it can reach, loads none of the clients."""
    program = (
        "import sys, modelyard.trial.program, modelyard.models.packed, modelyard.train.fit\n"
        "import modelyard.evaluate.metrics, modelyard.data.prepare, modelyard.local.forkserver\n"
        f"print(*sorted({{m.split('.')[0] for m in sys.modules}} & set({NEVER_IN_A_TRIAL!r})))"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def test_packages_import_nothing() -> None:
    """A package's __init__ holds its docstring and imports nothing, so that importing is cheap."""
    loud = [
        str(path.relative_to(PACKAGE))
        for path in sources()
        if path.name == "__init__.py" and list(imports(path))
    ]

    assert loud == []


@pytest.mark.parametrize("entry", sorted(PACKAGE.rglob("__main__.py")), ids=lambda p: p.parent.name)
def test_entry_is_an_import_and_a_call(entry: Path) -> None:
    """An entry file is at most a docstring, imports and one guarded call."""
    body = [
        node
        for node in ast.parse(entry.read_text()).body
        if not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]

    assert [type(node) for node in body] == [ast.If]
