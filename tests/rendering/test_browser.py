"""The page in a real browser: the script runs under its own policy, sorts and filters, and hostile text stays text."""

import re
import shutil
import subprocess

import pytest

from rlbench.rendering.figures import drawings
from rlbench.rendering.page import content_policy, render_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

PROBE = """
window.addEventListener("load", () => {
  const table = document.querySelector("#table table");
  const button = table.tHead.rows[0].cells[1].querySelector("button");
  const first = () => Array.from(table.tBodies[0].rows, (row) => row.cells[0].textContent.trim()).join(" ");
  const seen = [first()];
  button.click(); seen.push(first()); button.click(); seen.push(first());
  const filter = document.querySelector("#differences input.filter");
  filter.value = "perplexity"; filter.dispatchEvent(new Event("input"));
  const rows = Array.from(filter.parentElement.querySelectorAll("tbody tr"));
  seen.push(rows.filter((row) => !row.hidden).length + " of " + rows.length);
  seen.push(JSON.parse(document.getElementById("data").textContent).comparison.name);
  seen.push(performance.getEntriesByType("resource").length + " requests");
  seen.push(document.documentElement.scrollWidth <= window.innerWidth ? "fits" : "overflows");
  document.title = "PROBE " + seen.join("; ");
});
"""


def visit(page, folder, width=1200):
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", f"--window-size={width},1000"]
    flags += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000"]
    command = [CHROMIUM, *flags, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probed(page):
    """The page with a probe behind its own script; the policy names the probe as well."""
    both = re.search(r"script-src ('sha256-[^']*')", page).group(1)
    extra = re.search(r"script-src ('sha256-[^']*')", content_policy(PROBE)).group(1)
    return page.replace(both, f"{both} {extra}").replace("</body>", f"<script>{PROBE}</script></body>")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])
def test_sorting_and_filtering_work_and_nothing_is_requested(proxied, tmp_path, width):
    dom, console = visit(probed(render_html(proxied, drawings(proxied))), tmp_path, width)
    assert console == []
    title = re.search(r"<title>PROBE (.*?)</title>", dom).group(1)
    assert title.split("; ") == [
        "SFT PPO GRPO GSPO DPO",
        "GRPO GSPO PPO DPO SFT",
        "SFT DPO PPO GSPO GRPO",
        "10 of 40",
        "quickstart",
        "0 requests",
        "fits",
    ]


@pytest.mark.slow
def test_hostile_text_runs_nothing(hostile, tmp_path):
    dom, console = visit(render_html(hostile, drawings(hostile)), tmp_path)
    assert console == []
    assert "&lt;script&gt;alert" in dom
    assert dom.count("<script") == 2


@pytest.mark.slow
def test_the_policy_stops_a_script_that_it_does_not_name(report, tmp_path):
    page = render_html(report, []).replace("</body>", "<script>document.title = 'owned'</script></body>")
    dom, console = visit(page, tmp_path)
    assert "<title>owned" not in dom
    assert any("Content Security Policy" in line for line in console)
