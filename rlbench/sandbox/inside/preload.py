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
    abc array bisect builtins cmath collections collections.abc copy datetime enum functools heapq io itertools json
    math operator os os.path random re string sys time types typing
""")
OTHERS = _words("""
    _strptime ast asyncio base64 binascii calendar cmd codecs colorsys concurrent.futures.thread contextlib csv
    ctypes dataclasses decimal difflib dis errno fractions gc getopt getpass glob graphlib gzip hashlib hmac
    html.parser inspect keyword linecache locale logging numbers pathlib pickle platform pprint queue reprlib
    resource secrets select selectors shlex shutil signal socket stat statistics struct subprocess tempfile textwrap
    threading timeit token tokenize traceback unicodedata unittest uuid warnings weakref xml.etree.ElementTree zlib
    zoneinfo
""")
# Looked up on first use only, so where programs cannot read the library they have to be there already.
CODECS = ("idna", "utf-8", "latin-1", "ascii", "utf-16", "utf-32", "cp1252", "unicode_escape", "raw_unicode_escape")


def preload(everything: bool) -> None:
    """Import what there is of the modules (those in common use, or `everything`) and codecs."""
    for name in [*COMMON, *(OTHERS if everything else ())]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in ("exit", "quit"):  # are there in every ordinary Python
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D"))
    for name in CODECS if everything else ():
        with contextlib.suppress(LookupError):
            "".encode(name)
