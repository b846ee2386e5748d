"""docs/algorithms/ says what the code does: every option with its default, every diagnostic, every figure."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest
import torch
import yaml

from rlbench.algorithms.options import Adam, Online, Options, PolicyGradient, Preference
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import InputError
from rlbench.functional.advantages import group_advantages
from rlbench.functional.losses import bradley_terry
from rlbench.policies.tiny import build_tiny
from rlbench.records import Rewards, Sample
from rlbench.registry import load, names
from rlbench.rollouts.collect import Sampling
from rlbench.spec import Sft
from rlbench.trainers.offline import OfflineLoop
from rlbench.trainers.online import OnlineLoop
from rlbench.trainers.trainer import Job

torch.set_num_threads(1)

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = DOCS / "algorithms"
BUILT_IN = sorted(
    name for name in names("algorithms") if load("algorithms", name).__module__.startswith("rlbench.algorithms.")
)
EVERY = pytest.mark.parametrize("name", BUILT_IN)


def rows(text, heading, columns):
    """The cells of the first table after a heading, header and rule left out."""
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"no heading {heading!r}"
    table = re.search(r"(?:^\|.*\|\n)+", rest, re.MULTILINE).group().splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert {len(row) for row in cells} == {columns}
    return cells


def value(cell):
    """What a default in backticks stands for in YAML; 3e-4 is a number here."""
    text = re.fullmatch(r"`(.*)`", cell).group(1)
    try:
        return float(text)
    except ValueError:
        return yaml.safe_load(text)


def page(name):
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def documented(name, columns=4):
    found = {}
    for option, default, meaning, *_ in rows(page(name), "## Options", columns):
        assert meaning
        assert option not in found
        found[option.strip("`")] = value(default)
    return found


@EVERY
def test_a_page_names_every_option_with_its_real_default_and_a_source(name):
    options = load("algorithms", name)().options
    assert documented(name) == options.model_dump()
    assert all(source for *_, source in rows(page(name), "## Options", 4))


def test_the_pages_of_sft_and_reward_model_name_the_real_defaults():
    assert documented("sft") == Sft().model_dump()
    given = bradley_terry.__defaults__
    assert documented("reward_model") == dict(zip(("margin", "centring"), given, strict=True))


def overview():
    return (PAGES / "README.md").read_text(encoding="utf-8")


def test_the_overview_has_a_row_for_every_algorithm_with_its_own_facts():
    found = rows("\n" + overview(), "# Algorithms", 6)
    told = {}
    for name, file, paper, data, needs, difference in found:
        plain = re.match(r"\[`(\w+)`\]\((\w+)\.md\)", name)
        assert plain.group(1) == plain.group(2)
        assert difference
        told[plain.group(1)] = (file, paper, data, needs)
    assert sorted(told) == BUILT_IN
    for name in BUILT_IN:
        algorithm = load("algorithms", name)()
        number = algorithm.paper.removeprefix("arXiv:")
        module = load("algorithms", name).__module__.rsplit(".", 1)[1]
        assert told[name] == (
            f"[{module}.py](../../rlbench/algorithms/{module}.py)",
            f"[{algorithm.paper}](https://arxiv.org/abs/{number})",
            algorithm.data,
            ", ".join(algorithm.needs),
        )
        assert f"https://arxiv.org/abs/{number}" in page(name)


def test_the_overview_lists_the_fields_of_every_class_of_options():
    told = {
        row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in rows(overview(), "## Fields that many share", 3)
    }
    for model, parents in (
        (Options, ()),
        (Adam, (Options,)),
        (Online, (Options,)),
        (PolicyGradient, (Online, Adam)),
        (Preference, (Adam,)),
    ):
        inherited = {field for parent in parents for field in parent.model_fields}
        assert told[model.__name__] == [field for field in model.model_fields if field not in inherited]


def entries(column_of):
    return [yaml.safe_load(row[0].strip("`")) for row in column_of]


def make(entry):
    """The algorithm of an entry of `algorithms` in an experiment file."""
    entry = {"name": entry} if isinstance(entry, str) else entry
    options = {key: setting for key, setting in entry.items() if key not in ("name", "label", "budget")}
    return load("algorithms", entry["name"])(**options)


@pytest.mark.parametrize("entry", entries(rows(overview(), "## What is refused, and why", 2)), ids=str)
def test_what_is_said_to_be_refused_is_refused_for_one_reason(entry):
    with pytest.raises(InputError) as caught:
        make(entry)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_said_to_be_suspicious_warns_and_the_defaults_do_not():
    told = rows(overview(), "Allowed, but told before the run starts and in the report:", 2)
    for entry in entries(told):
        assert make(entry).options.suspicions()
    assert [name for name in BUILT_IN if make(name).options.suspicions()] == []


@EVERY
def test_the_example_of_a_page_is_accepted_with_different_labels(name):
    blocks = re.findall(r"```yaml\n(.*?)```", page(name), re.DOTALL)
    assert len(blocks) == 1
    listed = yaml.safe_load(blocks[0])["algorithms"]
    labels = [entry if isinstance(entry, str) else entry.get("label", entry["name"]) for entry in listed]
    assert labels[0] == name
    assert len(set(labels)) == len(labels)
    for entry in listed:
        make(entry)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The keys of every curve of a tiny run, by algorithm; every optional part that logs is switched on."""

    def policy():
        return build_tiny(["abcd"], hidden_size=16, layers=1, heads=2, max_positions=16, seed=0)

    def run(name):
        algorithm = load("algorithms", name)(**({"target_kl": 1.0} if name == "ppo" else {}))
        work = tmp_path_factory.mktemp(name)
        job = Job(
            policy=policy(),
            reference=policy(),
            prompts=[Sample(str(n), "ab") for n in range(12)],
            prompts_per_batch=4,
            sampling=Sampling(4, 4, 1.0),
            reward=lambda ones: Rewards(
                [one.completion.count("a") / 4 for one in ones], {"length": [1.0 for _ in ones]}
            ),
            seed=0,
            task="letters",
            dev=[Sample("d", "a")],
            dev_every=1,
            checkpoint_every=100,
            checkpoints=Checkpoints(work),
            preferences=Checkpoints(work, "preferences"),
            gold=lambda ones: Rewards([0.5 for _ in ones]),
        )
        loop = OfflineLoop if algorithm.data == "preferences" else OnlineLoop
        curve = loop(algorithm, job).run().curve
        return {re.sub(r"^reward_part_.*", "reward_part_NAME", key) for row in curve for key in row}

    return {name: run(name) for name in BUILT_IN}


def test_every_logged_diagnostic_is_in_the_overview_and_nothing_else(logged):
    told = [key for row in rows(overview(), "## Logged every step", 3) for key in re.findall(r"`(\w+)`", row[0])]
    assert len(set(told)) == len(told)
    assert set(told) == set().union(*logged.values())


def test_a_page_names_what_only_some_algorithms_log(logged):
    common = set.intersection(*logged.values())
    known = set().union(*logged.values())
    almost_all = {"learning_rate", "kl_nats", "kl_k3_nats", "entropy", "approx_kl", "kl_loss"}
    for name in BUILT_IN:
        _, _, rest = page(name).partition("\n## Logged\n")
        section, told = rest.split("\n## ")[0], set(re.findall(r"`(\w+)`", rest.split("\n## ")[0]))
        wrong = {key for key in told & known - logged[name] if f"no `{key}`" not in section}
        assert wrong == set(), name
        assert logged[name] - common - almost_all - told == set(), name


def test_every_finding_is_in_the_overview():
    source = "".join(
        (CHECKOUT / "rlbench" / name).read_text()
        for name in (
            "stages/checks.py",
            "stages/reward_checks.py",
            "stages/findings.py",
            "stages/compare.py",
            "comparison/compare.py",
        )
    )
    made = set(re.findall(r"\b(?:Sighting|finding)\(\s*\"(\w+)\"", source))
    told = {
        name
        for row in rows(overview(), "* **Findings** name what went wrong without an error, from these rows:", 2)
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert len(made) >= 10
    assert told == made


def test_the_published_advantages_are_those_of_the_function():
    text = (PAGES / "advantages.md").read_text(encoding="utf-8")
    rewards = torch.tensor([1.0] + [0.0] * 7, dtype=torch.float64)
    for kind, _, right, wrong in rows(text, "## Group advantages", 4):
        found = group_advantages(rewards, 8, kind.strip("`"), 1e-6)
        assert (f"{found[0]:.3f}", f"{found[1]:.3f}") == (right, wrong)


def test_the_aggregation_of_every_algorithm_is_in_its_table():
    text = (PAGES / "advantages.md").read_text(encoding="utf-8")
    title = {name: re.match("# ([^:\n]+)", page(name)).group(1) for name in BUILT_IN}
    for kind, _, who in rows(text, "## Aggregation", 3):
        uses = [name for name in BUILT_IN if getattr(make(name).options, "aggregation", None) == kind.strip("`")]
        assert sorted(who.split(", ")) == sorted(title[name] for name in uses)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_figures", PAGES / "draw_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_kl_gradients_is_what_enumeration_gives(script):
    logits = torch.tensor([0.9, -0.3, 0.1, -1.2, 0.4], dtype=torch.float64)
    reference = torch.tensor([-0.2, 0.8, 0.3, 0.0, -0.9], dtype=torch.float64)
    policy, plain = torch.softmax(logits, -1), torch.softmax(reference, -1)
    apart = (policy / plain).log()
    within = policy * (apart - (policy * apart).sum())  # closed form of the gradient of KL(π ‖ SFT) on the logits
    covering = policy - plain  # and of KL(SFT ‖ π)
    places = ("loss", "loss_times_ratio", "reward")
    for kind, *cells in rows((PAGES / "kl.md").read_text(encoding="utf-8"), "## Expected gradients", 4):
        for place, cell in zip(places, cells, strict=True):
            wanted = {"beta": 1.0, "kl_estimator": kind, "kl_placement": place}
            axes = PolicyGradient.model_construct(**PolicyGradient().model_dump() | wanted)
            found = script.expected_kl_gradient(logits, reference, axes)
            same = [
                name
                for name, gradient in (("0", 0 * within), ("∇KL(π ‖ SFT)", within), ("∇KL(SFT ‖ π)", covering))
                if torch.allclose(found, gradient, atol=1e-9)
            ]
            verdict, _, refused = cell.partition(", ")
            assert same == ([] if verdict == "neither" else [verdict]), (kind, place)
            if refused:
                with pytest.raises(InputError, match="expected gradient"):
                    load("algorithms", "grpo")(**wanted)
            else:
                load("algorithms", "grpo")(**wanted)


def pinned(package):
    text = (CHECKOUT / "constraints.txt").read_text()
    return re.search(rf"^{package}==(\S+)$", text, re.MULTILINE).group(1)


@pytest.mark.slow
def test_the_figures_are_what_the_script_draws_now(script, tmp_path):
    for package in ("matplotlib", "contourpy", "numpy"):
        if importlib.metadata.version(package) != pinned(package):
            pytest.skip(f"figures are drawn with {package} {pinned(package)}, the version in constraints.txt")
    drawn = {file.name: file.read_bytes() for file in script.draw(tmp_path)}
    committed = {file.name: file.read_bytes() for file in (PAGES / "figures").iterdir()}
    assert sorted(drawn) == sorted(committed)
    assert [name for name in drawn if drawn[name] != committed[name]] == []


def test_every_figure_is_shown_somewhere():
    shown = {name for file in PAGES.glob("*.md") for name in re.findall(r"\(figures/([\w.]+)\)", file.read_text())}
    assert shown == {file.name for file in (PAGES / "figures").iterdir()}


def anchors(text):
    """The anchors that headings get on GitHub."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_in_the_documentation_leads_somewhere():
    broken = []
    for file in [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "CHANGELOG.md", *DOCS.rglob("*.md")]:
        text = file.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = file if not path else (file.parent / path)
            if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
                broken.append((file.name, link))
    assert broken == []
