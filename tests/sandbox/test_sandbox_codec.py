"""The codec: exact builtin types cross unchanged, all else is flattened or refused, and no bytes decode to more."""

import collections
import dataclasses
import enum
import itertools
import json
import math
import struct
import typing
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.sandbox.inside.codec import DEEPEST, LONGEST_ITERATOR, Unsupported, dumps, loads

VIEWS = (type({}.keys()), type({}.values()), type({}.items()))
PLAIN = (type(None), bool, int, float, str, bytes, bytearray, complex, range, Decimal, Fraction)
HOLDERS = (list, tuple, set, frozenset, collections.deque)
ITERABLE = ([], (), "", "é", {}, set(), b"", bytearray(), range(0), range(1 << 70), collections.deque())
ITERATORS = tuple(type(iter(each)) for each in (*ITERABLE, {}.keys(), {}.values(), {}.items()))


def form(value):
    """A value with its exact types, so that what is equal here is the same all the way down; a nan equals itself."""
    kind = type(value)
    if kind is float:
        content = "nan" if math.isnan(value) else struct.pack("<d", value)
    elif kind is complex:
        content = (form(value.real), form(value.imag))
    elif kind is Decimal:
        content = value.as_tuple()
    elif kind is dict or kind is type({}.items()):
        content = [(form(key), form(item)) for key, item in (value.items() if kind is dict else value)]
    elif kind in (set, frozenset):
        content = sorted(repr(form(item)) for item in value)
    elif kind in HOLDERS or kind in VIEWS:
        content = [getattr(value, "maxlen", None), *map(form, value)]
    else:
        content = value
    return kind.__name__, content


def same(one, other):
    return form(one) == form(other)


def exact(value):
    """Whether a value and all that it holds are of the builtin types that may cross."""
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is dict:
        return all(exact(key) and exact(item) for key, item in value.items())
    if kind in HOLDERS or kind in VIEWS or kind in ITERATORS:
        return all(exact(item) for item in value)
    return False


integers = st.integers() | st.integers(-(1 << 300), 1 << 300) | st.sampled_from([(1 << 53) - 1, 1 << 53, -(1 << 53)])
texts = st.text() | st.text(st.characters(categories=["Cs", "Lu"]))
hashable_plain = st.one_of(
    st.none(), st.booleans(), integers, st.floats(allow_nan=False), texts, st.binary(),
    st.fractions(), st.complex_numbers(allow_nan=False), st.decimals(allow_nan=False),
    st.builds(range, st.integers(), st.integers(), st.integers(1, 9) | st.integers(-(1 << 70), -1)),
)  # fmt: skip
hashable = st.recursive(
    hashable_plain,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
special = st.sampled_from([math.nan, -0.0, math.inf, -math.inf, 5e-324, Decimal("NaN123"), Decimal("-0E-9")])
values = st.recursive(
    hashable | special | st.floats() | st.binary().map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=4),
        st.builds(collections.deque, st.lists(inner, max_size=4), st.none() | st.integers(0, 5)),
        st.dictionaries(hashable, hashable, max_size=3).map(dict.keys),
        st.dictionaries(hashable, hashable, max_size=3).map(dict.items),
    ),
    max_leaves=20,
)


@given(values)
@settings(max_examples=300, deadline=None)
def test_exact_types_cross_unchanged(value):
    assert same(loads(dumps(value)), value)


@given(st.text(st.characters(codec=None, min_codepoint=0xD700, max_codepoint=0xE000)))
@settings(max_examples=200, deadline=None)
def test_halves_of_characters_stay_halves(text):
    assert loads(dumps(text)) == text
    assert loads(dumps("\ud83d\ude00")) != "😀"


def test_values_of_a_mapping_and_iterators_cross_as_what_they_are():
    assert list(loads(dumps({1: 2, 3: 2}.values()))) == [2, 2]
    iterators = [iter([1, 2]), iter((1, 2)), reversed([2, 1]), map(int, "12"), zip([1, 2]), itertools.count(1)]
    iterators = [*iterators[:4], itertools.chain([1], [2]), enumerate("ab"), itertools.permutations([1, 2])]
    expected = [[1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [(0, "a"), (1, "b")], [(1, 2), (2, 1)]]
    for iterator, items in zip(iterators, expected, strict=True):
        arrived = loads(dumps(iterator))
        assert next(arrived) == items[0]
        assert list(arrived) == items[1:]
    generated = loads(dumps(each * each for each in range(3)))
    assert list(generated) == [0, 1, 4]
    with pytest.raises(Unsupported, match=f"more than {LONGEST_ITERATOR}"):
        dumps(itertools.count())


class Liar:
    """Equal to everything."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = None


def lying(base, *arguments):
    """An object of a subclass that lies about everything that a test may ask."""

    def lie(*_, **__):
        return True

    names = ("__eq__", "__ne__", "__lt__", "__le__", "__contains__", "__bool__", "__iter__", "__len__", "__repr__",
             "__str__", "__getitem__", "__int__", "__float__", "__index__", "items", "keys", "__reduce__")  # fmt: skip
    body = dict.fromkeys(names, lie) | {"__hash__": lambda self: 0}
    return type("Lying", (base,), body)(*arguments)


@pytest.mark.parametrize("plain", [5, -1 << 90, 1.5, "text", (1, 2), [1, 2], {1, 2}, frozenset({1, 2})])
def test_subclasses_are_flattened_whatever_their_methods_say(plain):
    liar = lying(type(plain), plain)
    for value in (liar, [liar], (1, liar), {"key": liar}):
        arrived = loads(dumps(value))
        assert exact(arrived)
    assert same(loads(dumps(liar)), plain)


def test_subclasses_of_mappings_are_flattened():
    assert same(loads(dumps(collections.Counter("aab"))), {"a": 2, "b": 1})
    assert same(loads(dumps(collections.defaultdict(list, {1: [2]}))), {1: [2]})
    assert same(loads(dumps(collections.OrderedDict([(2, 1), (1, 2)]))), {2: 1, 1: 2})
    liar = lying(dict)
    dict.update(liar, {1: 2})
    assert same(loads(dumps(liar)), {1: 2})


def test_named_tuples_and_enumerations_are_flattened():
    class Point(typing.NamedTuple):
        x: int
        y: int

    class Colour(enum.IntEnum):
        RED = 3

    assert same(loads(dumps([Point(1, 2), Colour.RED])), [(1, 2), 3])


@dataclasses.dataclass
class Record:
    x: int = 1


class Pretender:
    """Says that it is an int."""

    __class__ = int


@pytest.mark.parametrize(
    "value",
    [object(), Liar(), Record(), len, lambda: 1, int, Ellipsis, NotImplemented, ValueError("x"), json, memoryview(b"x"),
     slice(1), enum.Enum("E", "A").A],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_data_does_not_cross(value):
    for held in (value, [value], (1, [value]), {"key": value}, iter([value])):
        with pytest.raises(Unsupported, match="an object of type"):
            dumps(held)


def test_what_only_pretends_to_be_data_does_not_cross():
    with pytest.raises(TypeError):
        dumps(Pretender())


def nest(wrap, depth):
    value = 1
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPPERS = {
    "list": lambda value: [value],
    "tuple": lambda value: (value,),
    "dict": lambda value: {1: value},
    "deque": lambda value: collections.deque([value]),
    "frozenset": lambda value: frozenset([value]),
    "subclass": lambda value: collections.UserList([value]).data,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_depth_has_a_limit(wrap):
    deep = nest(wrap, DEEPEST)
    assert type(loads(dumps(deep))) is type(deep)
    for depth in (DEEPEST + 2, 2 * DEEPEST):
        with pytest.raises(Unsupported, match="deep"):
            dumps(nest(wrap, depth))


def test_what_contains_itself_does_not_cross():
    for holder in ([], {}, collections.deque()):
        if isinstance(holder, dict):
            holder["self"] = holder
        else:
            holder.append(holder)
        with pytest.raises(Unsupported, match="contains itself"):
            dumps(holder)
    inner: list[object] = []
    inner.append((1, {"again": inner}))
    with pytest.raises(Unsupported, match="contains itself"):
        dumps(inner)


TAGS = ["int", "tuple", "dict", "set", "frozenset", "bytes", "bytearray", "complex", "range", "keys", "values", "items",
        "deque", "decimal", "fraction", "iterator", "error", "nonce", "__class__"]  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.floats(), st.text(max_size=5),
                    st.sampled_from(["0x1f", "-0x", "ff", "1/3", "1e5", "sNaN", "nan", "0xzz"]))  # fmt: skip
frames = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(TAGS), inner, max_size=2),
        st.tuples(st.sampled_from(TAGS), st.lists(inner, max_size=3)).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(st.sampled_from(TAGS), inner).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(st.sampled_from(["dict", "items"]), st.lists(st.tuples(inner, inner), max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
    ),
    max_leaves=12,
)


def decodes_to_data_or_not_at_all(frame):
    try:
        value = loads(frame)
    except ValueError:
        return
    assert exact(value), type(value)


@given(frames)
@settings(max_examples=800, deadline=None)
def test_no_json_decodes_to_more_than_data(content):
    decodes_to_data_or_not_at_all(json.dumps(content).encode())


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=200, deadline=None)
def test_no_bytes_decode_to_more_than_data(frame):
    decodes_to_data_or_not_at_all(frame)


@given(values, st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_values_decode_to_data_or_not_at_all(value, data):
    frame = bytearray(dumps(value))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.sampled_from(b'"[]{}:,0x9-eE.\\u'))
    decodes_to_data_or_not_at_all(bytes(frame))


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(
    "content", [[], {}, None, "", 0, [[]], [None], "x", True, [[], "x"], [[[]]], {"dict": []}, 1.5]
)
def test_every_tag_takes_wrong_contents_for_an_error(tag, content):
    decodes_to_data_or_not_at_all(json.dumps({tag: content}).encode())


@pytest.mark.parametrize(
    "frame",
    [b"[" * 100_000, b'{"tuple":' * 5_000 + b"1" + b"}" * 5_000, b'{"dict":[[1,' * 400 + b"1" + b"]]}" * 400,
     b"9" * 5_000, b'{"int":"' + b"9" * 100 + b'"}', b"\xff\xfe[", b"", b" ", b'{"a":1,"b":2}', b"nan", b'"\\ud800"'],
    ids=lambda frame: repr(frame[:12]),
)  # fmt: skip
def test_awkward_frames_decode_to_data_or_not_at_all(frame):
    decodes_to_data_or_not_at_all(frame)
