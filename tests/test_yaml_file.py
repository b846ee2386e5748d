"""YAML that people write: every mistake is one message with file and line, and no file can do harm."""

import contextlib
import random
import re
import time

import pytest
from pydantic import BaseModel, ConfigDict

from rlbench.errors import InputError
from rlbench.yaml_file import blame, parse_yaml, read_yaml, validate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: Inner = Inner()
    items: list[Inner] = []


def test_values_and_their_lines():
    document = parse_yaml("# comment\nname: x\n\ninner:\n  size: 3\nitems:\n  - size: 1\n  - {size: 2}\n", "f.yaml")
    assert document.data == {"name": "x", "inner": {"size": 3}, "items": [{"size": 1}, {"size": 2}]}
    assert document.where(("name",)) == "f.yaml:2"
    assert document.where(("inner", "size")) == "f.yaml:5"
    assert document.where(("items", 1, "size")) == "f.yaml:8"
    assert document.where(("inner", "not", "there")) == "f.yaml:4"
    assert document.where(("nowhere",)) == "f.yaml:2", "the mapping begins there"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the file is empty"),
        ("# only a comment\n", "f.yaml: the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: not valid YAML: key 'a' is given twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 1\n", "f.yaml:4: not valid YAML: key 'b' is given twice"),
        ("a: {b: 1, 'b': 1}\n", "f.yaml:1: not valid YAML: key 'b' is given twice"),
        ("1: a\n0x1: b\n", "f.yaml:2: not valid YAML: key 1 is given twice"),
        ("a: [1, 2\nb: 3\n", "f.yaml:2: not valid YAML"),
        ("a: 1\n\tb: 2\n", "f.yaml:2: not valid YAML"),
        ("a: 'open\n", "f.yaml:2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: not valid YAML: but found another document"),
        ("a: !!python/object/apply:os.system [true]\n", "f.yaml:1: not valid YAML: could not determine a constructor"),
        ("a: !mine x\n", "f.yaml:1: not valid YAML: could not determine a constructor"),
        ("a: 1\nb: .nan\n", "f.yaml:2: not valid YAML: expected a finite number"),
        ("a: -.inf\n", "f.yaml:1: not valid YAML: expected a finite number"),
        ("b: 1\na: 2026-13-45\n", "f.yaml:2: not valid YAML: impossible value"),
        ("a: !!int x\n", "f.yaml:1: not valid YAML: impossible value"),
        ("? [a]\n: b\n", "f.yaml:1: not valid YAML: expected a text as key"),
        ("a: &x 1\nb: *x\n", "f.yaml:2: not valid YAML: aliases"),
        ("a: &x [*x]\n", "f.yaml:1: not valid YAML: aliases"),
        ("a: \x00\n", "f.yaml: not valid YAML: unacceptable character #x0000"),
        ("[" * 3000, "f.yaml: not valid YAML: it is nested too deeply"),
    ],
)
def test_a_mistake_is_one_message_with_its_place(text, message):
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_billion_laughs_take_no_time():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 12)]
    started = time.perf_counter()
    with pytest.raises(InputError, match=r"f\.yaml:2: .*aliases"):
        parse_yaml("\n".join(lines), "f.yaml")
    assert time.perf_counter() - started < 2


def test_noise_never_gives_anything_but_a_value_or_a_message():
    rng = random.Random(0)
    alphabet = "ab:-?[]{},&*!|>'\"%@`# \n\t01.~<=\u2028\ud800\x07é🦊"
    for _ in range(2000):
        text = "".join(rng.choices(alphabet, k=rng.randrange(1, 30)))
        with contextlib.suppress(InputError):
            parse_yaml(text, "f.yaml")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("a: é\n".encode("latin-1"))
    for path, message in [
        (tmp_path / "nothing.yaml", "cannot be read: No such file or directory; check the path"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "latin.yaml", "is not UTF-8 text"),
    ]:
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            read_yaml(path)
        assert str(caught.value).startswith(str(path))


def test_all_problems_of_a_file_are_told_at_once_each_with_its_line():
    document = parse_yaml("inner:\n  sise: 3\n  size: big\nitems:\n  - {}\n  - size: [1]\nextra: 1\n", "f.yaml")
    with pytest.raises(InputError) as caught:
        validate(document, Outer)
    lines = str(caught.value).splitlines()
    assert "f.yaml:1: key 'name' is missing" in lines
    assert "f.yaml:2: unknown key 'inner.sise' (known: size)" in lines
    assert "f.yaml:7: unknown key 'extra' (known: inner, items, name)" in lines
    assert any(line.startswith("f.yaml:3: inner.size: Input should be a valid integer") for line in lines)
    assert any(line.startswith("f.yaml:6: items.1.size") for line in lines)
    assert len(lines) == 5


def test_errors_found_later_get_their_place():
    document = parse_yaml("a: 1\nb:\n  - x\n", "f.yaml")
    with pytest.raises(InputError, match=r"^f\.yaml:3: no such thing\nf\.yaml:3: nor this$"), blame(document, "b", 0):
        raise InputError("no such thing\nnor this")
    with pytest.raises(InputError, match=r"^no file$"), blame(None, "b"):
        raise InputError("no file")
    with pytest.raises(KeyError), blame(document, "b"):
        raise KeyError("a defect keeps its type")
