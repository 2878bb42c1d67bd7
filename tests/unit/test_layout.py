"""Who may import whom (CONTRIBUTING.md, "Where things are")."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

LAYER = ROOT / "layers/records/records"
# From the functions down to what knows nothing: a module may import those of the rows below its own, and of its own.
ROWS = (
    {"api", "openapi"},
    {"requests", "responses", "http", "forms", "fields"},
    {"conversion", "erasure", "parts"},
    {"limits", "signups"},
    {"counters"},
    {"recordings", "users", "storage"},
    {"aws", "cdn"},
    {"record", "settings", "errors"},
)
MODULES = sorted(path for path in LAYER.rglob("*.py") if path.name != "__init__.py")


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports when it runs: `records.audio.wav`, `functions.site.app`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            is_module = [(LAYER.parent / name.replace(".", "/")).with_suffix(".py").exists() for name in inner]
            yield from (name if module else node.module for name, module in zip(inner, is_module, strict=True))


def row(name: str) -> int:
    return next(number for number, names in enumerate(ROWS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LAYER)))
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    ours = {name.removeprefix("records.") for name in imported(path) if name.startswith("records.")}
    assert not any(name.startswith("functions") for name in imported(path))
    if path.parent.name == "audio":
        assert all(name.startswith("audio.") or name in ("errors", "record") for name in ours), ours
        return
    assert path.stem == "conversion" or not any(name.startswith("audio") for name in ours), ours
    for name in ours - {name for name in ours if name.startswith("audio")}:
        assert row(name) >= row(path.stem), f"{path.stem} imports {name}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("functions/*/app.py")), ids=lambda path: path.parent.name)
def test_no_function_imports_another_or_audio(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith(("functions", "records.audio"))]
