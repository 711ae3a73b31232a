"""JMESPath expressions of a profile: checked for the known traps when they are loaded, and run as plain Python functions.

The parser is jmespath's own. The common nodes become closures, because its interpreter costs five times as much a message; the rest is left to
the interpreter. tests/mqtt/test_mapping_expression.py holds both against each other.
"""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jmespath import exceptions, lexer, parser

from drivers.mqtt.functions import FUNCTIONS, INTERPRETER

MAX_EXPRESSION = 2048  # bytes (mapping.md)
RESERVED = frozenset(("payload", "text", "topic", "item", "decoded", "retained", "parameters", "raw"))
"""Names that the engine adds beside the payload's own fields."""

Search = Callable[[Any], Any]
Node = dict[str, Any]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TRUTHS = frozenset(("contains", "starts_with", "ends_with", "bit", "word", "not_null", "max_by", "min_by"))


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. `search` may raise on odd data (max of a missing list): whoever calls it guards.

    names: every field that it mentions anywhere.
    """

    text: str
    search: Search
    names: frozenset[str]
    tree: Node

    def mentions(self, name: str) -> bool:
        return name in self.names


def compile_expression(text: str, *, condition: bool = False) -> Expression:
    """Compile and check. ValueError tells what is wrong and what to write instead."""
    if len(text.encode()) > MAX_EXPRESSION:
        raise ValueError(f"is longer than {MAX_EXPRESSION} bytes; cut it into several rules")
    try:
        tree: Node = parser.Parser().parse(text).parsed
        nodes = list(_walk(tree))
        search = _closure(tree)
    except exceptions.JMESPathError as error:
        raise ValueError(f"is no JMESPath: {_one_line(error)}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply; write it flatter") from error
    _refuse_traps(text, nodes)
    if condition and not _can_be_true(tree):
        raise ValueError("can never be exactly true; compare, for instance action == 'sos', or use word(…) for texts such as ON")
    return Expression(text, search, frozenset(node["value"] for node in nodes if node["type"] == "field"), tree)


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:160].rstrip(" :")


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _walk(child)


def _refuse_traps(text: str, nodes: list[Node]) -> None:
    for node in nodes:
        if node["type"] == "field" and node["value"] in ("null", "true", "false"):
            raise ValueError(f"{node['value']} is a field of that name here; write `{node['value']}` in backticks")
        if node["type"] == "function_expression":
            _check_call(node["value"], len(node["children"]))
    for token in lexer.Lexer().tokenize(text):
        if token["type"] == "quoted_identifier" and _PLAIN.fullmatch(token["value"]):
            name = token["value"]
            raise ValueError(f"\"{name}\" is a field of that name; write '{name}' for the text, or {name} for the field")


def _check_call(name: str, given: int) -> None:
    known = FUNCTIONS.FUNCTION_TABLE
    if name not in known:
        raise ValueError(f"{name}() is not known; known: {', '.join(sorted(known))}")
    signature = known[name]["signature"]
    is_variadic = bool(signature) and signature[-1].get("variadic")
    if given < len(signature) or (given > len(signature) and not is_variadic):
        raise ValueError(f"{name}() wants {len(signature)} arguments and not {given}")


def _can_be_true(node: Node) -> bool:
    kind, children = node["type"], node.get("children", [])
    if kind in ("comparator", "not_expression", "field", "current", "identity", "index_expression", "subexpression"):
        return kind != "subexpression" or _can_be_true(children[-1])
    if kind == "literal":
        return node["value"] is True
    if kind in ("and_expression", "pipe"):
        return _can_be_true(children[-1])
    if kind == "or_expression":
        return any(_can_be_true(child) for child in children)
    return kind == "index" or (kind == "function_expression" and node["value"] in _TRUTHS)


# --- closures


def is_false(value: object) -> bool:
    """What JMESPath takes for false: false, null, "", [] and {}. (0 is true.)"""
    return value is None or value is False or (isinstance(value, str | list | dict) and not value)


def _equal(left: object, right: object) -> bool:
    """True and 1 differ, though Python says otherwise."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def _closure(node: Node) -> Search:
    make = _MAKERS.get(node["type"])
    made = make(node) if make is not None else None
    if made is not None:
        return made
    visit = INTERPRETER.visit
    return lambda value: visit(node, value)


def _field(node: Node) -> Search:
    name = node["value"]
    return lambda value: value.get(name) if type(value) is dict else None


def _sub(node: Node) -> Search | None:
    names = _chain(node)
    if names is None:
        steps = [_closure(child) for child in node["children"]]  # two, or more as in a[0].b.c

        def walk(value: Any) -> Any:
            for step in steps:
                value = step(value)
            return value

        return walk
    if len(names) == 2:
        one, two = names

        def pair(value: Any) -> Any:
            inner = value.get(one) if type(value) is dict else None
            return inner.get(two) if type(inner) is dict else None

        return pair

    def deep(value: Any) -> Any:
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return deep


def _chain(node: Node) -> list[str] | None:
    """The names of a.b.c; None when anything else is in it."""
    if node["type"] == "field":
        return [node["value"]]
    if node["type"] != "subexpression":
        return None
    parts = [_chain(child) for child in node["children"]]
    return None if None in parts else [name for part in parts for name in part or ()]


def _literal(node: Node) -> Search:
    constant = node["value"]
    return lambda _value: constant


def _comparator(node: Node) -> Search | None:
    left, right = node["children"]
    if node["value"] not in ("eq", "ne"):
        return None
    is_wanted = node["value"] == "eq"
    first = _closure(left)
    if right["type"] == "literal" and isinstance(right["value"], str):
        text = right["value"]
        compare = operator.eq if is_wanted else operator.ne
        return lambda value: compare(first(value), text)
    second = _closure(right)
    return lambda value: _equal(first(value), second(value)) is is_wanted


def _and(node: Node) -> Search:
    first, second = (_closure(child) for child in node["children"])

    def both(value: Any) -> Any:
        found = first(value)
        return found if is_false(found) else second(value)

    return both


def _or(node: Node) -> Search:
    first, second = (_closure(child) for child in node["children"])

    def either(value: Any) -> Any:
        found = first(value)
        return second(value) if is_false(found) else found

    return either


def _not(node: Node) -> Search:
    inner = _closure(node["children"][0])
    return lambda value: is_false(inner(value))


def _index_expression(node: Node) -> Search | None:
    base, index = node["children"][:2]
    if index["type"] != "index" or len(node["children"]) > 2:  # a[0][1] and slices are left to the interpreter
        return None
    find, at = _closure(base), index["value"]

    def item(value: Any) -> Any:
        found = find(value)
        if type(found) is not list:
            return None
        return found[at] if -len(found) <= at < len(found) else None

    return item


def _function(node: Node) -> Search | None:
    if any(child["type"] == "expref" for child in node["children"]):
        return None
    name, arguments = node["value"], [_closure(child) for child in node["children"]]
    if name == "contains" and node["children"][0]["type"] == "multi_select_list":
        listed = node["children"][0]["children"]
        if all(child["type"] == "literal" and isinstance(child["value"], str) for child in listed):
            words = frozenset(child["value"] for child in listed)
            sought = arguments[1]

            def is_listed(value: Any) -> Any:
                found = sought(value)
                return isinstance(found, str) and found in words if value is not None else call(name, [None, found])

            call = FUNCTIONS.call_function
            return is_listed
    call_function = FUNCTIONS.call_function
    return lambda value: call_function(name, [argument(value) for argument in arguments])


_MAKERS: dict[str, Callable[[Node], Search | None]] = {
    "field": _field,
    "subexpression": _sub,
    "literal": _literal,
    "comparator": _comparator,
    "and_expression": _and,
    "or_expression": _or,
    "not_expression": _not,
    "index_expression": _index_expression,
    "function_expression": _function,
}
