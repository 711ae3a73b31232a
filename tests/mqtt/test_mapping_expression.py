"""Expressions of profiles: the same results as jmespath's own interpreter, and the traps told when a profile is loaded."""

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath.visitor import Options

from drivers.mqtt.functions import FUNCTIONS, INTERPRETER
from drivers.mqtt.profile_expression import MAX_EXPRESSION, compile_expression

EXPRESSIONS = [
    "a",
    "a.b",
    "a.b.c",
    "a[0]",
    "a[-1].b",
    "a[*].b",
    "a[?b == 'x'].c",
    "a == 'x'",
    "a != 'x'",
    "a == `1`",
    "a == `true`",
    "a != `false`",
    "a > `1`",
    "a == b",
    "a && b",
    "a || b",
    "!a",
    "a && contains(['x', 'y'], a)",
    "contains(['x', 'y'], a)",
    "contains(a, 'x')",
    "not_null(a, b, c)",
    "length(a)",
    "max(a)",
    "a | b",
    "{x: a, y: b}",
    "[a, b]",
    "bit(a, `1`)",
    "mul(a, `0.5`)",
    "hex(a)",
    "lower(a)",
    "b64hex(a)",
    "word(a)",
    "to_number(a)",
    "join(',', a)",
    "a.b && a.b.c == 'x' || !b",
    "sort_by(a, &b)[0].c",
    "`null`",
    "'text'",
    '"a-b".c',
]

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "y", "1", "ON", "qg==", "7f"]) | st.floats(-2, 2)
things = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "a-b"]), inner, max_size=3), max_leaves=8
)


@given(st.sampled_from(EXPRESSIONS), things)
def test_the_same_as_the_interpreter(text: str, value: object) -> None:
    def ours() -> object:
        return compile_expression(text).search(value)

    def theirs() -> object:
        return jmespath.compile(text).search(value, Options(custom_functions=FUNCTIONS))

    try:
        expected = theirs()
    except Exception as error:
        with pytest.raises(type(error)):
            ours()
        return
    got = ours()
    assert (got, type(got)) == (expected, type(expected))


def test_truths_and_numbers_differ() -> None:
    assert compile_expression("a == `1`").search({"a": True}) is False
    assert compile_expression("a == `true`").search({"a": 1}) is False
    assert compile_expression("a == `1`").search({"a": 1.0}) is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a == ", "no JMESPath"),
        ("a == null", "`null`"),
        ("a == true", "`true`"),
        ('a == "sos"', "'sos'"),
        ('contains(["sos"], a)', "'sos'"),
        ("nothing(a)", "nothing() is not known"),
        ("contains(a)", "wants 2 arguments"),
        ("(a", "no JMESPath"),
        ("(" * 1000 + "a" + ")" * 1000, "nested too deeply"),
        ("a" * (MAX_EXPRESSION + 1), "longer than"),
    ],
)
def test_traps(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        compile_expression(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["'x'", "`1`", "length(a)", "a[?b]", "[a]", "{a: b}", "a && length(b)", "max(a)", "a | length(@)", "to_string(a)"])
def test_conditions_that_can_never_be_true(text: str) -> None:
    with pytest.raises(ValueError, match="never be exactly true"):
        compile_expression(text, condition=True)


@pytest.mark.parametrize(
    "text", ["a", "a.b", "a[0]", "a == 'x'", "!a", "a && b == 'x'", "a || b", "contains(a, 'x')", "word(a)", "bit(a, `1`)", "a | b", "`true`", "@"]
)
def test_conditions_that_may_be_true(text: str) -> None:
    compile_expression(text, condition=True)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("bit(a, `4`)", {"a": 16}, True),
        ("bit(a, `4`)", {"a": "16"}, True),
        ("bit(a, `4`)", {"a": "0x10"}, True),
        ("bit(a, `0`)", {"a": 16}, False),
        ("bit(a, `99`)", {"a": 16}, None),
        ("bit(a, `1`)", {}, None),
        ("mul(a, `0.1`)", {"a": "50"}, 5.0),
        ("mul(a, `2`)", {"a": True}, None),
        ("hex(a)", {"a": "1A"}, 26),
        ("hex(a)", {"a": "1_0"}, None),
        ("hex(a)", {"a": "f" * 99}, None),
        ("lower(a)", {"a": "ÄON"}, "äon"),
        ("lower(a)", {"a": 5}, None),
        ("b64hex(a)", {"a": "qg=="}, "aa"),
        ("b64hex(a)", {"a": "!"}, None),
        ("word(a)", {"a": "ON"}, True),
        ("word(a)", {"a": " off "}, False),
        ("word(a)", {"a": 1}, True),
        ("word(a)", {"a": "perhaps"}, None),
        ("word(a)", {"a": [1]}, None),
    ],
)
def test_functions_of_ours(text: str, value: object, expected: object) -> None:
    assert compile_expression(text).search(value) == expected


def test_one_interpreter_serves_all() -> None:
    assert INTERPRETER.visit(compile_expression("a[*].b").tree, {"a": [{"b": 1}]}) == [1]
