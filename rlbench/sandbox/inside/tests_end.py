"""The tests' end: calls the program through proxies and alone decides. It never runs a line of the program."""

from __future__ import annotations

import _thread
import builtins
import json
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any

from rlbench.sandbox.inside import codec
from rlbench.sandbox.inside.channel import READY, Channel, Closed
from rlbench.sandbox.inside.checks import Tally, run_checks


class Ended(BaseException):
    """The run is over, with this status. Not an Exception, so that tests do not catch it by accident."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class SetupFailed(Exception):
    """The code that the tests need does not run, whatever the program is."""


class Conversation:
    """Calls to the program, one after the other. After the first thing that is no answer, nothing counts any more."""

    def __init__(self, link: Channel, longest_reply: int) -> None:
        self.link = link
        self.longest_reply = longest_reply
        self.calls = 0
        self.over: Ended | None = None
        self.turn = _thread.allocate_lock()  # tests may call from several threads

    def open(self) -> None:
        """Wait until the program is confined and loaded.

        Raises:
            Ended: it is not, or it failed to load.
        """
        try:
            said = self.link.receive(1 << 10)
        except Closed:
            said = b"it ended"
        if said != READY:
            raise self._end("infra_error", f"the program's process could not be confined: {said.decode()}")
        problem = self._receive()
        if problem is None:
            return
        if _is_problem(problem):
            memory = problem["kind"] == "MemoryError"
            where = f" (line {problem['line']})" if problem["line"] else ""
            reason = f"{problem['error']}: {problem['message'][:200]}{where}"
            raise self._end("memory_limit" if memory else "load_error", reason)
        if _has(problem, "exit") and _all_text(problem):
            raise self._end("candidate_exit", f"raised {problem['exit']} while it was loaded")
        raise self._end("protocol_violation", "no word about how loading went")

    def proxy(self, name: str) -> Callable[..., Any]:
        """Return the function that stands for the program's function `name`."""

        def call(*positional: Any, **named: Any) -> Any:
            with self.turn:
                return self._call(name, list(positional), named)

        call.__name__ = call.__qualname__ = name
        return call

    def _call(self, name: str, positional: list[Any], named: dict[str, Any]) -> Any:
        if self.over is not None:
            raise self.over
        nonce = os.urandom(8).hex()
        request = codec.dumps((nonce, name, positional, named))
        self.calls += 1
        try:
            self.link.send(request)
        except Closed:
            raise self._end("gone", "the program ended during a call") from None
        reply = self._receive()
        if type(reply) is not dict or reply.get("nonce") != nonce:
            raise self._end("protocol_violation", "the reply does not belong to the call")
        if _has(reply, "nonce", "result", "changed"):
            self._write_back(reply["changed"], positional, named)
            return reply["result"]
        if _is_problem(reply, "nonce"):
            raise self._error(reply)
        if _all_text(reply):
            if _has(reply, "nonce", "exit"):
                raise self._end("candidate_exit", f"raised {reply['exit']} during a call")
            if _has(reply, "nonce", "unsupported"):
                raise self._end("unsupported_return", f"returned {reply['unsupported']}")
        raise self._end("protocol_violation", "the reply is neither a result nor an error")

    def _receive(self) -> Any:
        try:
            return codec.loads(self.link.receive(self.longest_reply))
        except Closed:
            raise self._end("gone", "the program ended without an answer") from None
        except MemoryError:
            raise self._end("protocol_violation", "the reply does not fit into memory") from None
        except ValueError as error:
            raise self._end("protocol_violation", str(error)[:200]) from None

    def _error(self, reply: dict[str, Any]) -> BaseException:
        """The exception to raise in the tests: the builtin one that the program's is a kind of."""
        kind, message = vars(builtins).get(reply["kind"]), reply["message"]
        if kind is MemoryError:
            return self._end("memory_limit", message or "MemoryError")
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            return self._end("protocol_violation", "an error that is none")
        if issubclass(kind, StopIteration | StopAsyncIteration):  # would end a loop of the tests as if all were well
            return RuntimeError(f"{reply['error']}: {message}")
        if kind is Exception or issubclass(kind, UnicodeError | ExceptionGroup):  # need more than a message
            return Exception(f"{reply['error']}: {message}")
        try:
            error: Exception = kind(*reply["arguments"])
        except Exception:
            error = kind(message)
        return error

    def _write_back(self, changed: Any, positional: list[Any], named: dict[str, Any]) -> None:
        """What the program changed in its arguments, the tests see too, as in an ordinary call."""
        if changed is None:
            return
        if not (type(changed) is tuple and len(changed) == 2 and type(changed[0]) is list and type(changed[1]) is dict):
            raise self._end("protocol_violation", "changed arguments that are none")
        if len(changed[0]) != len(positional) or set(changed[1]) != set(named):
            raise self._end("protocol_violation", "other arguments than those of the call")
        pairs = [*zip(positional, changed[0], strict=True), *((named[key], changed[1][key]) for key in named)]
        for ours, theirs in pairs:
            if type(ours) is not type(theirs):
                continue
            if isinstance(ours, list | bytearray):
                ours[:] = theirs
            elif isinstance(ours, dict | set):
                ours.clear()
                ours.update(theirs)

    def _end(self, status: str, reason: str) -> Ended:
        self.over = self.over or Ended(status, reason)
        return self.over


def serve(link: Channel, report: int, job: dict[str, Any]) -> None:
    """Run the tests of a job and write the report: one JSON object."""
    conversation = Conversation(link, job["reply_bytes"])
    tally = Tally()
    try:
        tally = _test(conversation, job)
        status, reason = _outcome(tally, conversation, weak=job["weak"])
    except Ended as ended:
        status, reason = ended.status, ended.reason
    except MemoryError:
        status, reason = "memory_limit", "the tests ran out of memory"
    except SetupFailed as failed:
        status, reason = "tests_broken", str(failed)
    except Exception as error:
        status, reason = "error", f"{type(error).__name__} in the tests"
    except BaseException as error:
        status, reason = "candidate_exit" if job["weak"] else "error", f"{type(error).__name__} ended the tests"
    if conversation.over is not None:
        status, reason = conversation.over.status, conversation.over.reason
    os.write(report, json.dumps(finding(status, reason, tally.passed, tally.total)).encode())


def finding(status: str, reason: str, passed: int = 0, total: int = 1) -> dict[str, Any]:
    """Return what the tests' process reports to the judge."""
    return {"status": status, "reason": reason[:300], "passed": passed, "total": total}


def _test(conversation: Conversation, job: dict[str, Any]) -> Tally:
    conversation.open()
    random.seed(job["seed"])  # not what the program starts from, or it could draw what the tests draw
    module = types.ModuleType("tests")
    sys.modules["tests"] = module
    namespace = module.__dict__
    try:
        exec(job["setup"], namespace)
    except BaseException as error:
        raise SetupFailed(f"{type(error).__name__}: {error}") from error
    if job["weak"]:
        _load(job["source"], namespace)
    for name in job["entry_points"]:
        if job["derived"] and name in namespace:
            continue
        namespace[name] = conversation.proxy(name)
    return run_checks(job["tests"], job["expected"], namespace)


def _load(source: str, namespace: dict[str, Any]) -> None:
    """Run the program in the tests' own module."""
    try:
        exec(compile(source, "program.py", "exec", dont_inherit=True), namespace)
    except MemoryError:
        raise
    except Exception as error:
        raise Ended("load_error", f"{type(error).__name__}: {error}") from None


def _outcome(tally: Tally, conversation: Conversation, *, weak: bool) -> tuple[str, str]:
    if not tally.completed:
        tally.passed = 0  # what would have come is not known, so there is no share of it
    if tally.passed < tally.total:
        return "failed" if tally.broken else "error", tally.problem or "none of the assertions was reached"
    if not conversation.calls and not weak:
        return "error", "the tests never called the program"
    return "passed", ""


def _is_problem(reply: Any, *more: str) -> bool:
    """Whether it tells of an exception: its name, the builtin that it is a kind of, message, line and arguments."""
    return (
        _has(reply, "error", "kind", "message", "line", "arguments", *more)
        and all(type(reply[name]) is str for name in ("error", "kind", "message", *more))
        and type(reply["line"]) is int
        and type(reply["arguments"]) is tuple
    )


def _all_text(reply: Any) -> bool:
    return type(reply) is dict and all(type(each) is str for each in reply.values())


def _has(reply: Any, *keys: str) -> bool:
    return type(reply) is dict and set(reply) == set(keys)
