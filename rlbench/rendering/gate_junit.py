"""The verdict of a regression gate as JUnit XML: one test case a quantity.

Regressed is a failure. What is not decided is an error and not a skipped test, because CI shows skipped tests as green.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from rlbench.rendering.gate_text import Line, gate_lines

_NOT_XML = re.compile("[\ufffe\uffff]")


def render_gate_junit(regression: Mapping[str, Any]) -> str:
    """One suite per task and arm, one case per metric."""
    lines = gate_lines(regression)
    root = ElementTree.Element("testsuites", {"name": "rlbench regress", **_counts(lines)})
    for task, arm in dict.fromkeys((line.task, line.arm) for line in lines):
        mine = [line for line in lines if (line.task, line.arm) == (task, arm)]
        name = _xml(f"{task}.{arm}")
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **_counts(mine)})
        for line in mine:
            case = ElementTree.SubElement(
                suite, "testcase", {"classname": name, "name": _xml(line.metric), "time": "0"}
            )
            words = _xml(f"{line.verdict}: {line.levels}, {line.difference}, margin {line.margin}")
            remarks = _xml("\n".join(line.remarks))
            if line.passed:
                ElementTree.SubElement(case, "system-out").text = "\n".join(word for word in (words, remarks) if word)
            else:
                kind = "failure" if line.verdict == "regressed" else "error"
                ElementTree.SubElement(case, kind, {"type": line.verdict, "message": words}).text = remarks
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counts(lines: list[Line]) -> dict[str, str]:
    failures = sum(line.verdict == "regressed" for line in lines)
    errors = sum(not line.passed for line in lines) - failures
    return {"tests": str(len(lines)), "failures": str(failures), "errors": str(errors), "time": "0"}


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write; control characters are spelled out already."""
    return _NOT_XML.sub("\ufffd", text)
