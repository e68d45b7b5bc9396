"""Imports the user's own code so that two versions of one file live side by side.

Each archive becomes a package with a name of its own, made from its digest, and an import of a
file beside it means the one of the same archive: the import statements are read so before they
are compiled. Nothing is put on ``sys.path``, where a ``random.py`` of the user's would hide
Python's own from everybody else. ``importlib.import_module("helpers")`` doesn't find what lies
beside; ``import helpers`` and ``from .helpers import …`` do.
"""

from __future__ import annotations

import ast
import atexit
import importlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from modelyard.code.archive import unpack
from modelyard.code.errors import OwnCodeError
from modelyard.store.manifest import digest_file

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PREFIX = "modelyard_code_"
"""Of the packages' names; a digest follows."""

_OPENED: dict[str, Code] = {}


@dataclass(frozen=True, kw_only=True)
class Code:
    """Unpacked code that can be imported.

    Args:
        folder: its files.
        archive: the file it was unpacked from.
        digest: BLAKE3 of the archive.
    """

    folder: Path
    archive: Path
    digest: str

    @property
    def package(self) -> str:
        """Name of the package that its modules belong to."""
        return PREFIX + self.digest[:32]


def open_code(archive: Path, into: Path | None = None) -> Code:
    """Unpack an archive, once a process.

    Args:
        archive: ``code.tar``; it has to stay where it is.
        into: folder to unpack into; None takes a temporary one, which goes with the process.

    Raises:
        OwnCodeError: it is no archive of code.
    """
    digest = digest_file(archive)
    known = _OPENED.get(digest)
    if known is not None and known.archive.is_file() and known.folder.is_dir():
        return known
    if into is None:
        into = Path(tempfile.mkdtemp(prefix="modelyard-code-"))
        atexit.register(shutil.rmtree, into, ignore_errors=True)
    # A folder of its own name, so that a traceback tells versions apart.
    folder = into / digest[:12]
    unpack(archive, folder)
    code = _OPENED[digest] = Code(folder=folder.resolve(), archive=archive, digest=digest)
    _install(code)
    return code


def load_class(code: Code, file: str, name: str) -> type:
    """Import a file of the code and take a class from it.

    Raises:
        OwnCodeError: a package that it imports isn't installed, or there is no such class.
        Exception: whatever the file raises when it is run.
    """
    try:
        module = importlib.import_module(f"{code.package}.{file.removesuffix('.py')}")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        beside = missing.removeprefix(f"{code.package}.")
        if beside != missing:
            raise OwnCodeError(f"the code holds no file {beside.replace('.', '/')}.py") from error
        raise OwnCodeError(
            f"{place_of(error) or file} needs the package {missing!r}, which isn't installed where "
            "the trial runs: build an image with it, and name that as resources.image"
        ) from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise OwnCodeError(f"{file} has no class {name!r}")
    return found


def place_of(error: BaseException) -> str | None:
    """The innermost line of own code that an exception came through: ``my_net.py line 12``."""
    folders = [code.folder for code in _OPENED.values()]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for folder in folders:
            if Path(frame.filename).is_relative_to(folder):
                return f"{Path(frame.filename).relative_to(folder)} line {frame.lineno}"
    return None


def _install(code: Code) -> None:
    """Make the package, whose modules are looked for in its folder alone."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    package = ModuleType(code.package, "Own code, unpacked.")
    package.__path__ = [str(code.folder)]
    spec = ModuleSpec(code.package, None, is_package=True)
    spec.submodule_search_locations = package.__path__
    package.__spec__ = spec
    sys.modules[code.package] = package
    importlib.invalidate_caches()


class _Finder:
    """Finds the modules of the packages of own code."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        del target
        if not fullname.startswith(PREFIX) or path is None:
            return None
        for folder in path:
            found = FileFinder(folder, (_Loader, [".py"])).find_spec(fullname)
            if found is not None:
                return found
        return None


class _Loader(SourceFileLoader):
    """Compiles a file with its neighbours meant by what it imports. Keeps no byte code."""

    def get_code(self, fullname: str) -> CodeType | None:
        """See ``importlib.abc.InspectLoader``."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def source_to_code(  # type: ignore[override]
        self, data: ReadableBuffer | str | ast.Module, path: str, *, _optimize: int = -1
    ) -> CodeType:
        """See ``importlib.abc.InspectLoader``."""
        source = data if isinstance(data, str | ast.Module) else bytes(data)
        tree = source if isinstance(source, ast.Module) else ast.parse(source, path)
        root = self.name.partition(".")[0]
        package = sys.modules[root]
        inward = _Inward(root, Path(next(iter(package.__path__))))
        whole = ast.fix_missing_locations(inward.visit(tree))
        code: CodeType = compile(whole, path, "exec", dont_inherit=True, optimize=_optimize)
        return code


class _Inward(ast.NodeTransformer):
    """Turns imports of what lies in the folder into imports from the package.

    Args:
        root: name of the package.
        folder: where its modules lie.
    """

    def __init__(self, root: str, folder: Path) -> None:
        self._root = root
        self._folder = folder

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """``from helpers import f``."""
        if node.level == 0 and node.module is not None and self._is_beside(node.module):
            node.module = f"{self._root}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        """``import helpers``, ``import helpers.deep``, ``import helpers as h``."""
        return [
            ast.copy_location(statement, node)
            for alias in node.names
            for statement in self._imports(alias)
        ]

    def _imports(self, alias: ast.alias) -> list[ast.stmt]:
        if not self._is_beside(alias.name):
            return [ast.Import(names=[alias])]
        top, _, deep = alias.name.partition(".")
        inside = f"{self._root}.{alias.name}"
        if deep and alias.asname:
            return [ast.Import(names=[ast.alias(name=inside, asname=alias.asname)])]
        taken: list[ast.stmt] = [
            ast.ImportFrom(
                module=self._root, names=[ast.alias(name=top, asname=alias.asname)], level=0
            )
        ]
        return [ast.Import(names=[ast.alias(name=inside)]), *taken] if deep else taken

    def _is_beside(self, module: str) -> bool:
        top = module.partition(".")[0]
        folder = self._folder / top
        return (self._folder / f"{top}.py").is_file() or (
            folder.is_dir() and any(folder.rglob("*.py"))
        )
