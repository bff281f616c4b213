"""Written forms with digits, rewritten step by step until plain numbers are left, which become words last.

Each rule is made by a function of the `Lexicon` that gives it its words. The examples are Amharic.
"""

from __future__ import annotations

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.forms.digits import digit_separator, number_reader, phone_reader, thousands_joiner
from xtts_plugins.ethiopic.forms.moments import date_reader, time_reader, year_reader
from xtts_plugins.ethiopic.forms.pairs import fraction_reader, range_reader, score_reader
from xtts_plugins.ethiopic.forms.quantities import money_reader, sign_reader, unit_reader
from xtts_plugins.ethiopic.lexicon import Lexicon


def form_rules(lexicon: Lexicon) -> tuple[Rule, ...]:
    """In order: what needs the marks between digits comes before what reads them one by one."""
    return (
        digit_separator(lexicon),
        phone_reader(lexicon),
        date_reader(lexicon),
        time_reader(lexicon),
        score_reader(lexicon),
        range_reader(lexicon),
        fraction_reader(lexicon),
        *([year_reader(lexicon, lexicon.years)] if lexicon.years else []),
        thousands_joiner(lexicon),
        money_reader(lexicon),
        unit_reader(lexicon),
        sign_reader(lexicon),
        number_reader(lexicon),
    )
