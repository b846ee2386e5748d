"""The experiment file: what is accepted, and that everything else is refused with its line."""

from pathlib import Path

import pytest

from rlbench.errors import InputError
from rlbench.spec import check_name, dump_experiment, read_experiment

REPORTS = sorted((Path(__file__).resolve().parents[1] / "reports").glob("*/experiment.yaml"))
MINIMAL = """\
name: small
base_policy: {builder: tiny}
tasks: [arithmetic]
algorithms: [grpo]
seeds: [0]
budget: {completions: 128}
"""


@pytest.fixture
def read(tmp_path):
    def read(text, changes=None):
        path = tmp_path / "e.yaml"
        path.write_text(text)
        return read_experiment(path, changes)[0]

    return read


def changed(line, old=None):
    """The minimal file with a line added, or put in place of the line that starts with `old`."""
    lines = MINIMAL.splitlines()
    if old is None:
        return "\n".join([*lines, line])
    return "\n".join(line if each.startswith(old) else each for each in lines)


def test_defaults_are_spelled_out_and_read_back(read):
    experiment = read(MINIMAL)
    assert experiment.sft.source == "demonstrations"
    assert experiment.algorithms[0].label == "grpo"
    text = dump_experiment(experiment)
    assert "samples_per_prompt: 4" in text
    assert read(text) == experiment


@pytest.mark.parametrize("path", REPORTS, ids=[path.parent.name for path in REPORTS])
def test_published_experiments_are_valid(path, read):
    experiment, _ = read_experiment(path)
    assert read(dump_experiment(experiment)) == experiment
    assert len(experiment.seeds) >= (3 if path.parent.name == "suite" else 5)


def test_short_forms_mean_the_long_ones(read):
    short = read(changed("sft: demonstrations"))
    assert short == read(changed("sft: {source: demonstrations}"))
    assert read(changed("algorithms: [grpo, {name: dpo, beta: 0.2}]", "algorithms")).algorithms[1].options == {
        "beta": 0.2
    }


def test_numbers_in_scientific_notation_are_numbers(read):
    """PyYAML reads 3e-4 as text."""
    assert read(changed("sft: {learning_rate: 3e-4}")).sft.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (changed("buget: 1"), 7, "unknown key 'buget' (known: algorithms, base_policy, budget,"),
        (changed("sft: {epoch: 3}"), 7, "unknown key 'sft.epoch' (known: batch_size, epochs, learning_rate, source)"),
        (changed("evaluation:\n  samples: 3"), 8, "unknown key 'evaluation.samples'"),
        (changed("budget: {tokens: 5}", "budget"), 6, "unknown key 'budget.tokens'"),
        (changed("budget: {completions: many}", "budget"), 6, "budget.completions: Input should be a valid integer"),
        (changed("budget: {completions: 0}", "budget"), 6, "budget.completions: Input should be greater than or equal"),
        (changed("budget: {completions: 1.5}", "budget"), 6, "budget.completions: Input should be a valid integer"),
        (changed("budget: {completions: 100}", "budget"), None, "expected a multiple of the rollout batch of 128"),
        (changed("seeds: 3", "seeds"), 5, "seeds: Input should be a valid"),
        (changed("seeds: []", "seeds"), 5, "seeds: Tuple should have at least 1 item"),
        (changed("seeds: [0, 1, 0]", "seeds"), None, "seeds: given twice: 0"),
        (changed("seeds: [a]", "seeds"), 5, "seeds.0: Input should be a valid integer"),
        (changed("tasks: [arithmetic, arithmetic]", "tasks"), None, "tasks: given twice: arithmetic"),
        (
            changed("algorithms: [ppo, ppo]", "algorithms"),
            None,
            "algorithms (set label to tell them apart): given twice: ppo",
        ),
        (changed("algorithms: [{name: ppo, label: sft}]", "algorithms"), 4, "'sft' is the name of a shared policy"),
        (changed("algorithms: [{name: ppo, label: a/b}]", "algorithms"), 4, "expected a name of lower-case letters"),
        (changed("algorithms: [{label: a}]", "algorithms"), 4, "key 'algorithms.0.name' is missing"),
        (changed("algorithms: grpo", "algorithms"), 4, "algorithms: Input should be a valid tuple"),
        (changed("name: ../up", "name"), 1, "expected a name of lower-case letters"),
        (changed("name: 2026-01-01", "name"), 1, "name: Input should be a valid string"),
        (
            changed("base_policy: {builder: tiny, path: x}", "base_policy"),
            2,
            "expected exactly one of builder, path, data",
        ),
        (changed("base_policy: {}", "base_policy"), 2, "expected exactly one of builder, path, data and hub, got none"),
        (changed("base_policy: {builder: big}", "base_policy"), 2, "base_policy.builder: Input should be 'tiny'"),
        (changed("base_policy: {path: x, revision: y}", "base_policy"), 2, "revision belongs to a hub id"),
        (
            changed("base_policy: {builder: tiny, hidden_size: 18}", "base_policy"),
            2,
            "must be an even multiple of heads",
        ),
        (changed("base_policy: {path: x, stop_token_ids: []}", "base_policy"), 2, "base_policy.stop_token_ids"),
        (changed("sft: none"), None, "is untrained; it needs sft: demonstrations"),
        (changed("sft: maybe"), 7, "sft.source: Input should be 'demonstrations' or 'none'"),
        (changed("device: tpu"), 7, "device: Input should be 'auto', 'cpu' or 'cuda'"),
        (changed("rollout: {completions_per_prompt: 1}"), 7, "rollout.completions_per_prompt"),
        (changed("rollout: {temperature: 0}"), 7, "rollout.temperature: Input should be greater than 0"),
        (changed("sft: {learning_rate: 1e999}"), 7, "sft.learning_rate: Input should be a finite number"),
        (
            changed("comparison: {confidence: 95}"),
            7,
            "comparison.confidence: Input should be less than or equal to 0.999",
        ),
        (changed("comparison: {margin: {correctness: wide}}"), 7, "comparison.margin.correctness"),
        (changed("reward: {grader: pattern}"), 7, "key 'reward.column' is missing"),
        ("- a\n- b\n", 1, "expected a mapping of experiment keys, got list"),
        ("just text\n", 1, "expected a mapping of experiment keys, got str"),
    ],
)
def test_a_mistake_is_told_with_its_line(read, tmp_path, text, place, message):
    with pytest.raises(InputError) as caught:
        read(text)
    found = str(caught.value)
    assert message in found
    assert found.startswith(f"{tmp_path / 'e.yaml'}:{place or ''}"), found


def test_changes_from_the_command_line(read):
    experiment = read(
        changed("algorithms: [grpo, {name: dpo, beta: 0.1}]", "algorithms"),
        ["budget.completions=256", "seeds=[3, 4]", "algorithms.1.beta=0.3", "evaluation.split=dev", "sft.epochs=2"],
    )
    assert experiment.budget.completions == 256
    assert experiment.seeds == (3, 4)
    assert experiment.algorithms[1].options == {"beta": 0.3}
    assert experiment.evaluation.split == "dev"
    assert experiment.sft.epochs == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("budget", "--set budget: expected KEY=VALUE, for example budget.completions=1024"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("name.x=3", "--set name.x=3: 'name' holds a single value, so nothing can be set inside it"),
        ("algorithms.5=ppo", "--set algorithms.5=ppo: expected an index from 0 to 0, got '5'"),
        ("algorithms.ppo=1", "expected an index from 0 to 0, got 'ppo'"),
        ("seeds=[0", "--set seeds:1: not valid YAML"),
        ("nonsense=1", "unknown key 'nonsense'"),
        ("budget.completions=", "budget.completions: Input should be a valid integer"),
    ],
)
def test_wrong_changes_are_told(read, change, message):
    with pytest.raises(InputError) as caught:
        read(MINIMAL, [change])
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a", "0", "grpo-wide.v2_x", "a" * 64])
def test_names_that_can_be_folders(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "A", "ä", " a", "a\n", "-a", "a" * 65, "a\0"])
def test_names_that_cannot(name):
    with pytest.raises(ValueError, match="expected a name"):
        check_name(name)
