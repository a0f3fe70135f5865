"""The source files that a module of this project is made of: its own, and all that it imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]


class _Import(NamedTuple):
    """One imported name: ``from module import name``, or ``import module`` without a name."""

    module: str
    name: str | None
    level: int


def closure(modules: Iterable[ModuleType | str], root: Path = PROJECT) -> dict[str, str]:
    """Return the files that ``modules`` are made of, each with the SHA-256 of its content.

    Followed are the imports of modules below ``root``, those within functions too. Not followed are
    imports of other packages, and those that only a type checker sees. A package whose
    ``__init__.py`` imports ``pkgutil`` is a registry: all its files belong to it.

    Args:
        modules: the modules, or their dotted names.
        root: the folder that the names start from.

    Returns:
        By path, relative to ``root``, in the order of the paths.

    Raises:
        ModuleNotFoundError: a name of ``modules`` is not below ``root``.
    """
    found: dict[Path, str] = {}
    to_read: list[Path] = []
    for module in modules:
        name = module if isinstance(module, str) else module.__name__
        files = _files(name, root)
        if not files:
            raise ModuleNotFoundError(f"no module {name} below {root}")
        to_read += files
    while to_read:
        path = to_read.pop()
        if path not in found:
            content = path.read_bytes()
            found[path] = hashlib.sha256(content).hexdigest()
            for imported in _imports(content):
                to_read += _imported(imported, path, root)
    return {path.relative_to(root).as_posix(): found[path] for path in sorted(found)}


def _imported(imported: _Import, path: Path, root: Path) -> list[Path]:
    """Return the files that an import of ``path`` runs."""
    name = imported.module
    if imported.level:
        package = path.parents[imported.level - 1].relative_to(root)
        name = ".".join(filter(None, (*package.parts, imported.module)))
    # A submodule, or a name of the module. The packages above run their own file only.
    submodule = _files(f"{name}.{imported.name}", root) if imported.name else []
    return submodule or _files(name, root)


def _files(name: str, root: Path) -> list[Path]:
    """Return the files that ``import name`` runs: the packages above it, and its own.

    Empty, if it is not below ``root``.
    """
    parts = name.split(".")
    base = root.joinpath(*parts)
    package = base / "__init__.py"
    own = package if package.is_file() else base.with_name(f"{base.name}.py")
    if not own.is_file():
        return []
    above = (root.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts)))
    files = [*(path for path in above if path.is_file()), own]
    if own == package and _is_registry(package.read_bytes()):
        files += sorted(base.glob("*.py"))
    return files


def _is_registry(content: bytes) -> bool:
    return any(imported.module == "pkgutil" for imported in _imports(content))


@lru_cache(maxsize=1024)
def _imports(content: bytes) -> tuple[_Import, ...]:
    """Return what a source file imports."""
    return tuple(_walk(ast.parse(content).body))


def _walk(nodes: Iterable[ast.AST]) -> Iterator[_Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name, None, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = (alias.name for alias in node.names)
            yield from (_Import(node.module or "", name, node.level) for name in names)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _walk(node.orelse)
        else:
            yield from _walk(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
