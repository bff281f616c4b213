"""The contract of packs as pytest tests, for the authors of packs. `docs/writing-a-pack.md` shows it at work.

from xtts_framework.plugins.testing import LanguagePackContract

class TestArmenian(LanguagePackContract):
    pack = Armenian
    examples = [("Բարև:", "բարև։")]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from xtts_framework.plugins.contract.candidate import Candidate
from xtts_framework.plugins.contract.checks import CHECKS, Check, examine
from xtts_framework.plugins.language_pack import LanguagePack


class LanguagePackContract:
    """Subclass it under a name that begins with `Test`, name your pack, and get a test for each promise.

    The same checks as `xtts plugins check` makes. A pack that never comes back makes pytest wait; the command does not.
    """

    pack: ClassVar[type[LanguagePack]]
    """The class."""
    options: ClassVar[Mapping[str, Any]] = {}
    """As under `language.options`. One subclass per combination that you care about."""
    examples: ClassVar[Sequence[tuple[str, str]]] = ()
    """Texts, and how they are read; each is also accepted."""


_CANDIDATES: dict[type, Candidate] = {}
"""The pack of each subclass, its readings worked out once for all its tests."""


def _test_of(check: Check) -> Callable[[LanguagePackContract], None]:
    def test(self: LanguagePackContract) -> None:
        candidate = _CANDIDATES.setdefault(type(self), Candidate(self.pack, self.options, self.examples))
        outcome = examine(candidate, check)
        if outcome.skipped:
            pytest.skip(outcome.skipped)
        if outcome.breaches:
            promise = (check.__doc__ or "").strip()
            found = "\n".join(f"  {breach.detail}" for breach in outcome.breaches)
            pytest.fail(f"{promise}\n{found}", pytrace=False)

    test.__doc__ = check.__doc__
    return test


for _check in CHECKS:
    setattr(LanguagePackContract, f"test_{_check.__name__}", _test_of(_check))
