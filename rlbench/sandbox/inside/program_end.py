"""The program's end: holds its source and nothing of the tests, and answers calls."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from rlbench.sandbox.inside import codec
from rlbench.sandbox.inside.channel import Channel, Closed

_LONGEST_REQUEST = 64 << 20
LONGEST_PROBLEM = 300
_LONGEST_MESSAGE = 10_000


def serve(link: Channel, source: bytes) -> None:
    """Load the program as a module, say how that went, and answer calls until the tests hang up."""
    namespace = _module("program")
    problem = _load(source, namespace)
    _flush()
    link.send(codec.dumps(problem))
    while problem is None:
        try:
            request = codec.loads(link.receive(_LONGEST_REQUEST))
        except Closed:
            return
        answer = _answer(request, namespace)
        _flush()
        link.send(answer)


def run_as_script(link: Channel, source: bytes) -> int:
    """Run the program as `python program.py` would, and return the exit status. If it is no Python, say so."""
    try:
        code = _compiled(source)
    except Exception as error:
        link.send(f"{type(error).__name__}: {error}".encode(errors="replace")[:LONGEST_PROBLEM])
        return 1
    os.close(link.writer)
    try:
        try:
            exec(code, _module("__main__"))
        finally:
            _end_as_python_does()
        status = 0
    except SystemExit as error:
        said = error.code
        status = int.__int__(said) if isinstance(said, int) else 0 if said is None else 1
        if said is not None and not isinstance(said, int):
            print(said, file=sys.stderr)
    except BaseException:
        sys.__excepthook__(*sys.exc_info())
        status = 1
    _flush()
    return status & 0xFF


def _compiled(source: bytes) -> types.CodeType:
    """Compile the program. It came as text, so what it says about its encoding does not count."""
    text = source.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
    return compile(text, "program.py", "exec", dont_inherit=True)


def _end_as_python_does() -> None:
    """Wait for threads and run what was registered for the end: some programs only print then."""
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()


def _module(name: str) -> dict[str, Any]:
    module = types.ModuleType(name)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up
    return module.__dict__


def _load(source: bytes, namespace: dict[str, Any]) -> dict[str, Any] | None:
    """Run the source; return None, or what went wrong."""
    try:
        exec(_compiled(source), namespace)
    except Exception as error:
        return _problem(error)
    except BaseException as error:
        return {"exit": type(error).__name__}
    return None


def _answer(request: Any, namespace: dict[str, Any]) -> bytes:
    """Call what the tests ask for. Arguments that the call changed in place go back with the result."""
    nonce, name, positional, named = request
    before = codec.dumps((positional, named))
    try:
        result = _function(namespace, name)(*positional, **named)
    except Exception as error:
        return codec.dumps({"nonce": nonce, **_problem(error)})
    except BaseException as error:
        return codec.dumps({"nonce": nonce, "exit": type(error).__name__})
    try:
        after = codec.dumps((positional, named))
        changed = (positional, named) if after != before else None
        return codec.dumps({"nonce": nonce, "result": result, "changed": changed})
    except codec.Unsupported as error:
        return codec.dumps({"nonce": nonce, "unsupported": str(error)[:200]})
    except Exception as error:  # a property or iterator of the result that fails
        return codec.dumps({"nonce": nonce, **_problem(error)})


def _function(namespace: dict[str, Any], name: str) -> Callable[..., Any]:
    if name not in namespace:
        raise NameError(f"name {name!r} is not defined")
    function: Callable[..., Any] = namespace[name]
    return function


def _problem(error: BaseException) -> dict[str, Any]:
    """The name of the error, that of the builtin error it is a kind of, and its message."""
    known = next(base for base in type(error).__mro__ if vars(builtins).get(base.__name__) is base)
    try:
        message = str(error)[:_LONGEST_MESSAGE] + ""
    except Exception:
        message = ""
    try:
        codec.dumps(arguments := tuple(error.args))
    except Exception:
        arguments = (message,)
    return {"error": type(error).__name__, "kind": known.__name__, "message": message, "line": _line(error),
            "arguments": arguments}  # fmt: skip


def _line(error: BaseException) -> int:
    """Where in the program the error came from; 0 if nowhere."""
    place, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "program.py":
            place = step.tb_lineno
        step = step.tb_next
    return 0 if isinstance(error, SyntaxError) else place


def _flush() -> None:
    """Hand on what was printed; what does not fit any more is lost, and the judge sees that."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
