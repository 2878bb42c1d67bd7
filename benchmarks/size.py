"""What the `records` layer weighs, for both architectures: python -m benchmarks.size"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from benchmarks.common import table
from benchmarks.init import plain_pip
from tests.support.layers import make_layer


def weights(folder: Path, archive: Path) -> tuple[int, int, int]:
    """Bytes: unpacked, of which bytecode, and zipped as SAM does it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in files:
            target.write(path, path.relative_to(folder))
    sizes = {path: path.stat().st_size for path in files}
    bytecode = sum(size for path, size in sizes.items() if path.suffix == ".pyc")
    return sum(sizes.values()), bytecode, archive.stat().st_size


def run() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        kinds = {f"as built, {each}": make_layer(Path(name) / each, each) for each in ("arm64", "x86_64")}
        kinds["plain pip, this machine"] = plain_pip(Path(name) / "plain")
        for number, (title, folder) in enumerate(kinds.items()):
            sizes = weights(folder, Path(name) / f"{number}.zip")
            rows.append([title, *(f"{size / 1e6:.1f}" for size in sizes)])
    table("The `records` layer, MB", ("layer", "unpacked", "of which bytecode", "**zipped**"), rows)


if __name__ == "__main__":
    run()
