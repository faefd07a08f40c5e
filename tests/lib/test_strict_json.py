from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.strict_json import DEEPEST, read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_plain_json_reads_as_what_it_says(value: object) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nul", "{'a': 1}", "[1,]", '{"a":1} {"a":1}', '{"a":"\0"}', b"\xff", b'{"a":"\xe9"}',
        "NaN", "[Infinity]", '{"a":-Infinity}', "1e999", "9" * 5_000, '{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]',
        "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000,
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_what_two_readers_could_read_in_two_ways_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any sentence of the standard library's will do
        read_json(text)


def test_nesting_is_allowed_to_sixty_four_levels() -> None:
    read_json("[" * DEEPEST + "1" + "]" * DEEPEST)

    with pytest.raises(ValueError, match="deeper than 64"):
        read_json('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1))
