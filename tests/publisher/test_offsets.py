"""Offsets, as clients send them back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import InvalidEvent, Offset, parse_offset

EPOCHS = st.text("0123456789abcdef", min_size=1, max_size=16)


@given(EPOCHS, st.integers(0, 10**16 - 1))
def test_an_offset_survives_the_round_trip(epoch: Any, seq: Any) -> None:
    assert parse_offset(str(Offset(epoch, seq))) == (epoch, seq)


IN_BAD_FORM = ["", "-", "a-", "-1", "a-1-0", "a--1", "a-1 ", "a-1\n", "A-1", "a-\u0661", "a-1.0", "a-1e3"]
TOO_LONG = ["a" * 17 + "-1", "a-" + "1" * 17, "a-" + "1" * 100_000]
NO_TEXT = [None, 5, b"a-1", ["a-1"], True]


@pytest.mark.parametrize("text", [*IN_BAD_FORM, *TOO_LONG, *NO_TEXT])
def test_nonsense_is_refused(text: Any) -> None:
    with pytest.raises(InvalidEvent):
        parse_offset(text)


@given(st.text(max_size=40))
def test_any_text_is_an_offset_or_refused(text: Any) -> None:
    try:
        offset = parse_offset(text)
    except InvalidEvent:
        return
    assert offset.seq >= 0
