"""The modules that programs may import everywhere. They are imported once, before anything is confined.

Where programs can read the standard library, they can import all of it, and only what is common is imported ahead: what
a fork has to copy is most of what a program costs.
"""

from __future__ import annotations

import _sitebuiltins
import builtins
import contextlib
import importlib


def _words(text: str) -> list[str]:
    return text.split()


COMMON = _words("""
    abc array ast base64 bisect builtins calendar cmath codecs collections collections.abc contextlib copy dataclasses
    datetime decimal enum fractions functools hashlib heapq io itertools json math numbers operator os os.path queue
    random re statistics string struct sys textwrap threading time traceback types typing unicodedata warnings weakref
    zlib
""")
OTHERS = _words("""
    _strptime asyncio binascii cmd colorsys concurrent.futures csv ctypes difflib dis errno gc getpass glob graphlib hmac html inspect keyword linecache
    locale logging pathlib pickle platform pprint reprlib resource secrets select selectors shlex shutil signal socket stat
    subprocess tempfile timeit token tokenize unittest uuid xml.etree.ElementTree zoneinfo
""")
# Looked up on first use only, so they have to be there already.
CODECS = ("utf-8", "latin-1", "ascii", "utf-16", "utf-32", "cp1252", "idna", "unicode_escape", "raw_unicode_escape")


def preload(everything: bool) -> None:
    """Import what there is of the modules (those in common use, or `everything`) and codecs."""
    for name in [*COMMON, *(OTHERS if everything else ())]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in ("exit", "quit"):  # are there in every ordinary Python
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D"))
    for name in CODECS:
        with contextlib.suppress(LookupError):
            "".encode(name)
