"""The list of guards that `make mutants` takes out is not stale: code that moves takes its entry along."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.support.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_guard_is_where_the_list_says(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert all((ROOT / word).is_file() for word in mutant.tests.split() if word.endswith(".py"))
