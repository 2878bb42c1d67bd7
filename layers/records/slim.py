"""Make the installed `records` layer small and quick to load: python slim.py FOLDER. The Makefile runs it.

What a package does stays as it is. What goes is what no function reaches:

- packages, parts of packages and models of AWS's services that no function uses, and tests and types;
- documentation in botocore's models (blanked: botocore wants the key), and the code that renders it;
- the imports in `__init__`s that only gather names: each name is imported when it is asked for (PEP 562). Those of
  Powertools alone bring in asyncio, AppSync, Bedrock and forty kinds of events.

The build fails where a package no longer looks as it did when this was written, and tests/build/test_layer.py makes
real calls against what comes out. The same packages and the same Python give the same bytes.
"""

from __future__ import annotations

import ast
import gzip
import json
import py_compile
import shutil
import sys
from pathlib import Path
from typing import Any

SERVICES = {"dynamodb": "2012-08-10", "s3": "2006-03-01", "sqs": "2012-11-05"}

# What comes with the packages and no function gets to: dnspython finds mail servers, which email-validator is told not
# to look for; pydantic/v1 is an older API beside the one in use.
UNUSED = (
    "bin",
    "dns",
    "dnspython-*.dist-info",
    "pydantic/v1",
    "dateutil/zoneinfo/*.tar.gz",
    *(
        f"aws_lambda_powertools/utilities/{name}"
        for name in (
            "auth_alpha",
            "batch",
            "circuit_breaker",
            "data_masking",
            "feature_flags",
            "idempotency",
            "kafka",
            "parameters",
            "parser",
            "streaming",
            "validation",
        )
    ),
    "*/test_cases.py",
    "**/py.typed",
    "**/*.pyi",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/INSTALLER",
    "*.dist-info/sboms",
    ".lock",
)

# `__init__`s that only gather names.
GATHERING = (
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/event_handler/openapi",
    "aws_lambda_powertools/utilities/data_classes",
)

LAZY_INIT = '''\
"""The names of this package, imported when they are asked for. The layer's build made this of its own `__init__`."""

from importlib import import_module
{eager}
_HOMES = {homes}
__all__ = {names}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
'''

DOCSTRING = '''\
"""In place of botocore's own: the documentation of the models is not shipped, so a client's methods have none."""


class LazyLoadedDocstring(str):
    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)


class ClientMethodDocstring(LazyLoadedDocstring):
    pass


class WaiterDocstring(LazyLoadedDocstring):
    pass


class PaginatorDocstring(LazyLoadedDocstring):
    pass
'''


def remove(root: Path, *patterns: str) -> None:
    """Remove what the patterns match. Each has to match something: a pattern that no longer does is to be deleted."""
    for pattern in patterns:
        found = list(root.glob(pattern))
        if not found:
            sys.exit(f"slim.py: {pattern} matches nothing any more")
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Put a new file in the place of what is there, which may be a link to the one in the installer's cache."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


# --- botocore --------------------------------------------------------------------------------------------------------


def slim_botocore(root: Path) -> None:
    data = root / "botocore" / "data"
    for folder in [path for path in data.iterdir() if path.is_dir()]:
        for version in folder.iterdir():
            if SERVICES.get(folder.name) != version.name:
                shutil.rmtree(version)
        if folder.name not in SERVICES:
            folder.rmdir()
    remove(data, "*/*/examples-1.json*")
    for path in sorted(data.rglob("*.json*")):
        rewrite_model(path)
    docs = root / "botocore" / "docs"
    for path in docs.iterdir():
        if path.name != "utils.py":  # botocore.handlers imports it
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write(docs / "__init__.py", "")
    write(docs / "docstring.py", DOCSTRING)


def rewrite_model(path: Path) -> None:
    """Documentation out, no white space, and no gzip: the layer is compressed as it is."""
    raw = path.read_bytes()
    model = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    if path.name == "endpoints.json":
        for partition in model["partitions"]:
            partition["services"] = {name: known for name, known in partition["services"].items() if name in SERVICES}
    path.unlink()
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    write(plain, json.dumps(undocumented(model), separators=(",", ":")))


def undocumented(model: Any) -> Any:
    """A model with every documentation text empty."""
    if isinstance(model, dict):
        return {
            key: "" if key == "documentation" and isinstance(value, str) else undocumented(value)
            for key, value in model.items()
        }
    return [undocumented(item) for item in model] if isinstance(model, list) else model


# --- packages that gather names --------------------------------------------------------------------------------------


def make_lazy(package: Path, root: Path) -> None:
    """Put an `__init__` that imports on demand in place of one that holds nothing but imports and `__all__`."""
    path = package / "__init__.py"
    dotted = ".".join(package.relative_to(root).parts)
    homes: dict[str, str] = {}
    eager = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Expr(ast.Constant(str())) | ast.Assign([ast.Name("__all__")]):
                pass
            case ast.ImportFrom(module=str() as module, names=names, level=level):
                home = module if level == 0 else f"{dotted}.{module}"
                for name in names:
                    if level > 1 or name.asname or name.name == "*" or not home.startswith(f"{dotted}."):
                        sys.exit(f"slim.py: {path}:{node.lineno} is another kind of import than was expected")
                    if (package / f"{name.name}.py").exists() or (package / name.name).is_dir():
                        # Importing the module of that name would put it in the name's place.
                        eager.append(f"from {home} import {name.name}\n")
                    else:
                        homes[name.name] = home
            case _:
                sys.exit(f"slim.py: {path}:{node.lineno} does more than gather names")
    eager_lines = "\n" + "".join(eager) if eager else ""
    text = LAZY_INIT.format(eager=eager_lines, homes=pretty(homes), names=pretty(sorted(exported(path))))
    write(path, text)


def pretty(value: Any) -> str:
    return json.dumps(value, indent=4)


def exported(path: Path) -> set[str]:
    """The names in a module's `__all__`."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


# --- bytecode --------------------------------------------------------------------------------------------------------


def compile_all(root: Path) -> None:
    """Bytecode beside every module, for the Python that runs this.

    Without it a cold start takes three times as long. Unchecked, since the times in a layer are not the sources'; in
    one process and in a fixed order, since what marshal writes depends on what was compiled before.
    """
    for path in sorted(root.rglob("*.py")):
        py_compile.compile(
            str(path),
            dfile=f"/opt/python/{path.relative_to(root)}",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def main() -> None:
    root = Path(sys.argv[1])
    for cache in root.rglob("__pycache__"):
        shutil.rmtree(cache)
    remove(root, *UNUSED)
    slim_botocore(root)
    for package in GATHERING:
        make_lazy(root / package, root)
    if sys.argv[2:] == ["--compile"]:
        compile_all(root)


if __name__ == "__main__":
    main()
