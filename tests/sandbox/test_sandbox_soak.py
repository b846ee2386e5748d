"""Many programs in one judge: memory and open files stay flat, and nothing is left.

`RLBENCH_SOAK_PROGRAMS` says how many (2,000 unless set).
"""

import gc
import os
from pathlib import Path

import pytest

from rlbench.sandbox import Limits, open_judge

PROGRAMS = int(os.environ.get("RLBENCH_SOAK_PROGRAMS", "2000"))
BATCH = 100
MEMORY_SLACK_BYTES = 8 << 20
KINDS = [
    ("passed", "def solve(x):\n    return 2 * x + {n} - {n} + 1\n"),
    ("passed", "import math\ndef solve(x):\n    return [2 * x + 1 for _ in range({n} % 7 + 1)][0]\n"),
    ("failed", "def solve(x):\n    return {n} + 100\n"),
    ("error", "def solve(x):\n    raise ValueError({n})\n"),
    ("load_error", "def solve(x:\n    {n}\n"),
    ("candidate_exit", "import os\ndef solve(x):\n    os._exit({n} % 200)\n"),
    ("crashed", "import os\nx = {n}\ndef solve(x):\n    os.abort()\n"),
    ("protocol_violation", "import os\ndef solve(x):\n    os.write(3, b'{n}' * 9)\n    return 7\n"),
    ("passed", "print('x' * ({n} % 5000))\ndef solve(x):\n    return 2 * x + 1\n"),
    ("passed", "def solve(x):\n    {n}\n    held = [0] * 1_000_000\n    return 2 * x + 1\n"),
]


def resident(pid):
    """Bytes of memory that a process alone holds."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return 1024 * (int(fields["Private_Dirty"].split()[0]) + int(fields["Private_Clean"].split()[0]))


def files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 (a count)


def measure(pids):
    gc.collect()
    return {pid: (resident(pid), files(pid)) for pid in pids if Path(f"/proc/{pid}/fd").exists()}


def programs(start, count):
    asked = []
    for number in range(start, start + count):
        status, text = KINDS[number % len(KINDS)]
        tests = f"assert solve({number}) == {2 * number + 1}"
        asked.append((status, {"source": text.replace("{n}", str(number)), "tests": tests}))
    return asked


@pytest.mark.slow
def test_memory_and_open_files_stay_flat(descendants):
    before = descendants(os.getpid())
    with open_judge(lanes=2, limits=Limits(cpu_seconds=2, wall_seconds=20)) as judge:
        lanes = descendants(os.getpid()) - before
        warm = min(4 * BATCH, PROGRAMS // 2)
        levels = []
        for start in range(0, PROGRAMS, BATCH):
            asked = programs(start, min(BATCH, PROGRAMS - start))
            verdicts = judge.run_many([program for _, program in asked])
            wrong = [
                (status, verdict)
                for (status, _), verdict in zip(asked, verdicts, strict=True)
                if verdict.status != status
            ]
            assert not wrong
            if start >= warm:
                levels.append(measure([os.getpid(), *lanes]))
        assert descendants(os.getpid()) - before == lanes  # no program left, no zombie, no fork server replaced
    first, last = levels[0], levels[-1]
    assert first.keys() == last.keys() >= {os.getpid()}
    grown = {pid: last[pid][0] - first[pid][0] for pid in first}
    assert max(grown.values()) < MEMORY_SLACK_BYTES, grown
    assert {pid: count for pid, (_, count) in last.items()} == {pid: count for pid, (_, count) in first.items()}
