"""Settings: one table, one-line refusals."""

from __future__ import annotations

import pytest

from agent.model.errors import UsageError
from agent.model.settings import TABLE, Settings


def test_every_setting_has_a_default_within_what_it_allows() -> None:
    settings = Settings({})
    for setting in TABLE:
        value = settings[setting.name]
        assert not setting.choices or value in setting.choices
        if isinstance(value, int) and not isinstance(value, bool):
            assert setting.minimum <= value <= setting.maximum


def test_a_pair_sets_a_value_of_its_type() -> None:
    settings = Settings.from_pairs(["attribution.slack=5", "loopback=off", "essential.dns=any"])
    assert (settings.number("attribution.slack"), settings.flag("loopback"), settings.word("essential.dns")) == (
        5,
        False,
        "any",
    )


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("atribution.slack=5", "did you mean attribution.slack"),
        ("loopback=maybe", "neither on nor off"),
        ("attribution.slack=-1", "whole number"),
        ("essential.dns=open", "is not one of"),
        ("loopback", "KEY=VALUE"),
    ],
)
def test_a_wrong_pair_is_refused_in_one_line(pair: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Settings.from_pairs([pair])
    assert "\n" not in str(caught.value)
