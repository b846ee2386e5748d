"""Hostile replies to the tests' process: ten thousand neither pass nor crash it, nor end as the judge's own fault."""

import json
import os
import random
import socket
import struct
import sys
from collections import Counter
from typing import get_args

import pytest

from rlbench.sandbox import Program
from rlbench.sandbox.inside import codec, tests_end
from rlbench.sandbox.inside.channel import READY, Channel
from rlbench.sandbox.lane import End, Outcome
from rlbench.sandbox.meaning import of_tests
from rlbench.sandbox.prepared import prepare
from rlbench.sandbox.verdict import Status

FRAMES = int(os.environ.get("RLBENCH_FUZZ_FRAMES", "10000"))
PROGRAMS = int(os.environ.get("RLBENCH_FUZZ_PROGRAMS", "200"))
WANTED = "the word that no frame holds"
TESTS = f"""
for x in range(3):
    assert solve(x, [1], key={{}}) == {WANTED!r}
try:
    solve(4)
except (ValueError, KeyError, AttributeError):
    pass
assert solve(5, {{1}}) == {WANTED!r}
"""
LONGEST_REPLY = 1 << 20
NONCE = "0123456789abcdef"
LOADED = b"null"
TAGS = ["int", "tuple", "dict", "set", "frozenset", "bytes", "bytearray", "complex", "range", "keys", "values", "items",
        "deque", "decimal", "fraction", "iterator", "?"]  # fmt: skip
SCALARS = [None, True, 0, -1, 1.5, float("nan"), "", "x", NONCE, "0x1f", "0x" + "f" * 9000, "ff", "sNaN", "1e9", "1/3",
           "result", "error", "MemoryError", "SystemExit", "BaseException", "UnicodeDecodeError", "ValueError",
           "ExceptionGroup", "StopIteration", "\ud800", "__class__", {"int": "0x" + "f" * 9000},
           {"decimal": "sNaN"}]  # fmt: skip
KINDS = ["MemoryError", "ValueError", "AssertionError", "StopIteration", "UnicodeDecodeError", "KeyboardInterrupt"]
NO_ARGUMENTS = {"tuple": []}
KEYS = ["nonce", "result", "changed", "error", "kind", "message", "line", "arguments", "exit", "unsupported"]


def framed(content, length=None):
    return struct.pack("<I", len(content) if length is None else length) + content


def pairs(**fields):
    return {"dict": [[name, value] for name, value in fields.items()]}


def anything(rng, depth=0):
    """JSON that may or may not be an encoded value."""
    choice = rng.random()
    if depth > 3 or choice < 0.35:
        return rng.choice(SCALARS)
    if choice < 0.5:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    if choice < 0.75:
        return {rng.choice(TAGS): [anything(rng, depth + 1) for _ in range(rng.randrange(3))]}
    if choice < 0.9:
        return {rng.choice(TAGS): anything(rng, depth + 1)}
    return pairs(**{rng.choice(KEYS): anything(rng, depth + 1) for _ in range(rng.randrange(5))})


def replies(rng):
    """A reply of the right form, with a strange content."""
    content = anything(rng)
    return rng.choice(
        [
            pairs(nonce=NONCE, result=content, changed=None),
            pairs(nonce=NONCE, result=content, changed={"tuple": [[0, [1]], {"dict": []}]}),
            pairs(nonce=NONCE, result=None, changed={"tuple": [[content, content], {"dict": [["key", content]]}]}),
            pairs(nonce=NONCE, result=None, changed=content),
            pairs(nonce=NONCE, error=content, kind=rng.choice(SCALARS), message="x", line=1, arguments=anything(rng)),
            pairs(nonce=NONCE, error="E", kind=content, message=content, line=content, arguments=content),
            pairs(nonce=NONCE, error="E", kind=rng.choice(KINDS), message="x", line=1, arguments=NO_ARGUMENTS),
            pairs(nonce=NONCE, **{rng.choice(["exit", "unsupported"]): "x"}),
            pairs(nonce=NONCE, exit=content),
            pairs(nonce=NONCE, unsupported=content),
            pairs(nonce=content, result=WANTED, changed=None),
            pairs(nonce=rng.choice(["", NONCE[:-1], NONCE.upper(), None]), result=WANTED, changed=None),
            pairs(result=WANTED, changed=None),
            pairs(nonce=NONCE, result=WANTED),
            pairs(nonce=NONCE, result=WANTED, changed=None, more=content),
            pairs(error=content, kind=content, message=content, line=content, arguments=content),
            pairs(error="E", kind=rng.choice(KINDS), message="x", line=1, arguments=NO_ARGUMENTS),
            pairs(exit=content),
        ]
    )


def mutated(rng, frame):
    damaged = bytearray(frame)
    for _ in range(rng.randrange(1, 5)):
        place = rng.randrange(len(damaged) + 1)
        kind = rng.randrange(3)
        if kind == 0:
            damaged[place : place + 1] = rng.choice(
                [b'"', b"[", b"]", b"{", b"}", b",", b":", b"9", b"\0", b"\xff", b"\\u"]
            )
        elif kind == 1:
            del damaged[place : place + rng.randrange(1, 9)]
        else:
            damaged[place:place] = rng.choice([b"null", b"[[", b'{"dict":', b"1e999", b"-", b"NaN", bytes(4)])
    return bytes(damaged)


def deep(rng):
    depth = rng.choice([100, 500, 1000, 5000])
    start, end = rng.choice(
        [(b"[", b"]"), (b'{"tuple":[', b"]}"), (b'{"dict":[[1,', b"]]}"), (b'{"a":', b"}"), (b"[", b"")]
    )
    return start * depth + b"1" + end * depth


def hostile(rng):
    """Bytes that a program writes to its channel in place of a reply."""
    kind = rng.randrange(8)
    valid = json.dumps(replies(rng)).encode()
    if kind == 0:
        return rng.randbytes(rng.randrange(64))
    if kind == 1:
        return framed(rng.randbytes(rng.randrange(200)))
    if kind == 2:
        return framed(rng.randbytes(8), length=rng.choice([LONGEST_REPLY, LONGEST_REPLY + 1, 1 << 31, (1 << 32) - 1]))
    if kind == 3:
        return framed(valid)[: rng.randrange(len(valid) + 4)]
    if kind == 4:
        return framed(deep(rng))
    if kind == 5:
        return framed(mutated(rng, valid))
    if kind == 6:
        return framed(json.dumps(anything(rng)).encode())
    return framed(valid)


def stream(rng):
    """What a hostile program writes in all: good beginnings, then something else, then perhaps good replies again."""
    good = framed(json.dumps(pairs(nonce=NONCE, result="wrong", changed=None)).encode())
    forged = framed(json.dumps(pairs(nonce="?", result=WANTED, changed=None)).encode())
    start = framed(LOADED) + good * rng.randrange(4) if rng.random() < 0.8 else b""
    return framed(READY) + start + hostile(rng) + rng.choice([b"", good * 6, forged, forged * 4])


def converse(written, job):
    """Run the tests against a program that writes just that, and return their report."""
    ours, theirs = socket.socketpair()
    report, report_end = os.pipe()
    try:
        with theirs:
            theirs.sendall(written)
            theirs.shutdown(socket.SHUT_WR)
            tests_end.serve(Channel(ours.fileno(), ours.fileno()), report_end, job)
        return json.loads(os.read(report, 1 << 16))
    finally:
        ours.close()
        os.close(report)
        os.close(report_end)


@pytest.fixture
def job(monkeypatch):
    """The tests' process in this one; every call has the same nonce, as a program that read the call would know it."""
    monkeypatch.setattr(tests_end.os, "urandom", lambda count: bytes.fromhex(NONCE)[:count])
    monkeypatch.setitem(sys.modules, "tests", None)
    return prepare(TESTS, "", ("solve",), LONGEST_REPLY).compiled()


def status(report):
    ended = End("", 0, 0.0)
    outcome = Outcome(ended, ended, report, True, b"", b"", 0, 0.0)
    return of_tests(outcome)[0]


def test_the_fuzz_can_pass_when_the_answers_are_right(job):
    right = framed(json.dumps(pairs(nonce=NONCE, result=WANTED, changed=None)).encode())
    report = converse(framed(READY) + framed(LOADED) + right * 5, job)
    assert (report["status"], report["passed"], report["total"]) == ("passed", 4, 4)
    wrong = framed(codec.dumps({"nonce": NONCE, "result": "wrong", "changed": None}))
    assert status(converse(framed(READY) + framed(LOADED) + wrong * 5, job)) == "failed"


@pytest.mark.slow
def test_no_hostile_frame_passes_or_crashes_the_tests(job):
    rng = random.Random(20260101)
    seen: Counter[str] = Counter()
    for number in range(FRAMES):
        written = stream(rng)
        report = converse(written, job)
        found = status(report)
        assert found in get_args(Status)
        assert found not in ("passed", "infra_error"), (number, written[:500], report)
        assert report["passed"] == 0, (number, written[:500], report)
        seen[found] += 1
    assert seen["protocol_violation"] > FRAMES / 4
    assert {"failed", "candidate_exit", "unsupported_return", "memory_limit", "load_error"} <= set(seen)


PROGRAM = """
import os, sys
def write(parts):
    for part in parts:
        while part:
            part = part[os.write(3, part):]
{place}
    write({parts!r})
    {after}
"""


def hostile_program(rng):
    """A program that writes hostile bytes to its channel, while it is loaded or when it is called."""
    place = rng.choice(["if True:", "def solve(*positional, **named):"])
    after = rng.choice(["os._exit(0)", "os.close(3)", f"result = {WANTED[:-1]!r}", "while False: pass", "sys.exit()"])
    source = PROGRAM.format(place=place, parts=[hostile(rng) for _ in range(rng.randrange(1, 4))], after=after)
    return Program(source + "\ntry: solve\nexcept NameError: solve = len\n", tests=TESTS, entry_points=("solve",))


@pytest.mark.slow
def test_no_program_passes_by_what_it_writes_to_its_channel(judge):
    rng = random.Random(7)
    programs = [hostile_program(rng) for _ in range(PROGRAMS)]
    verdicts = judge.run_many(programs)
    for program, verdict in zip(programs, verdicts, strict=True):
        assert verdict.status not in ("passed", "infra_error"), (verdict, program.source[:600])
        assert verdict.checks_passed == 0
    right = judge.run(f"def solve(*positional, **named): return {WANTED!r}", tests=TESTS, entry_points=("solve",))
    assert right.status == "passed"
