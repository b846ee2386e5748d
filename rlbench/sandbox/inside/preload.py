"""The modules that programs may import everywhere. They are imported once, before anything is confined.

Where paths can be read at all, programs can import the rest of the standard library too.
"""

from __future__ import annotations

import contextlib
import importlib

MODULES = """
    abc array ast base64 binascii bisect builtins calendar cmath cmd codecs collections collections.abc colorsys
    contextlib copy csv ctypes dataclasses datetime decimal difflib dis enum errno fractions functools gc getpass glob
    graphlib hashlib heapq hmac html inspect io itertools json keyword linecache locale math numbers operator os
    os.path pathlib pickle platform pprint queue random re reprlib resource secrets select selectors shlex shutil
    signal socket sre_compile stat statistics string struct subprocess sys tempfile textwrap threading time timeit
    token tokenize traceback types typing unicodedata unittest uuid warnings weakref xml.etree.ElementTree zlib
    zoneinfo
""".split()
# Looked up on first use only, so they have to be there already.
CODECS = ("utf-8", "latin-1", "ascii", "utf-16", "utf-32", "cp1252", "idna", "unicode_escape", "raw_unicode_escape")


def preload() -> None:
    """Import what there is of the modules and codecs."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in CODECS:
        with contextlib.suppress(LookupError):
            "".encode(name)
    random = importlib.import_module("random")
    random.seed(0)  # the same program meets the same numbers every time
