"""DAPO's dynamic sampling: it refills its batches, every completion is charged, and the budget ends it."""

import itertools

import pytest

from rlbench.records import Sample

PROMPTS = [Sample(f"p{n}", "abcd"[n % 4]) for n in range(24)]
"""Six rollout batches of four prompts."""


def of_prompts(telling):
    """A reward that tells completions of these prompts apart and is the same for all others."""
    return lambda candidates: [
        float(candidate.completion_index % 2) if candidate.sample.prompt in telling else 1.0 for candidate in candidates
    ]


def run(lab, reward, **changes):
    loop = lab.loop("dapo", changes.pop("options", {}), reward=reward, prompts=PROMPTS, dev=[], **changes)
    return lab.finish(loop)


@pytest.mark.parametrize(
    ("telling", "batches", "kept"),
    [("abcd", [1] * 6, None), ("abc", [2, 2, 2], 0.75), ("ab", [2, 2, 2], 0.5), ("a", [4, 2], 0.25)],
)
def test_batches_are_refilled_until_they_are_full(lab, telling, batches, kept):
    finished = run(lab, of_prompts(telling))
    rows = finished.curve[:-1]
    steps = [row["step"] for row in finished.curve]
    assert [after - before for before, after in itertools.pairwise(steps)] == batches
    assert [row.get("kept_fraction") for row in rows] == [kept] * len(rows)
    assert {row["zero_variance_groups"] for row in rows} == {1 - len(telling) / 4}
    assert [row["completions"] for row in finished.curve] == [16 * step for step in steps], "all that is drawn counts"
    assert finished.totals["optimizer_steps"] == 2 * len(batches)
    assert finished.totals["completions"] == finished.totals["reward_calls"] == 24 * 4


def test_only_what_was_kept_is_trained_on(new_lab):
    everything = run(new_lab("all"), of_prompts("abcd"))
    half = run(new_lab("half"), of_prompts("ab"))
    assert everything.totals["trained_tokens"] == everything.totals["generated_tokens"]
    assert 0.3 < half.totals["trained_tokens"] / half.totals["generated_tokens"] < 0.7


def test_the_budget_ends_it_when_nothing_is_kept(lab):
    loop = lab.loop("dapo", reward=of_prompts(""), prompts=PROMPTS)
    finished = lab.finish(loop)
    assert finished.totals["completions"] == 24 * 4
    assert finished.totals["optimizer_steps"] == finished.totals["trained_tokens"] == 0
    assert [row["step"] for row in finished.curve] == [0, 6]
    assert finished.curve[0]["kept_fraction"] == 0
    assert finished.curve[0]["zero_variance_groups"] == 1
    assert finished.weights == lab.finish(lab.loop("dapo", prompts=[], reward=of_prompts(""))).weights


def test_without_dynamic_sampling_every_batch_is_trained_on(lab):
    finished = run(lab, of_prompts("a"), options={"dynamic_sampling": False})
    assert [row["step"] for row in finished.curve] == [*range(7)]
    assert all("kept_fraction" not in row for row in finished.curve)
    assert finished.totals["trained_tokens"] == finished.totals["generated_tokens"]


def test_no_other_algorithm_leaves_anything_out(lab, online):
    if online == "dapo":
        return
    finished = lab.finish(lab.loop(online, reward=of_prompts("a"), prompts=PROMPTS))
    assert [row["step"] for row in finished.curve] == [*range(7)]
    assert all("kept_fraction" not in row for row in finished.curve)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_checkpoints_are_written_when_their_number_is_crossed(lab, every, crash, crash_at_step):
    # updates end at steps 2, 4 and 6; the last is the run's end and needs none
    with crash_at_step(4, after=False), pytest.raises(crash):
        run(lab, of_prompts("ab"), checkpoint_every=every)
    found = sorted(int(path.name.rsplit("-")[-1]) for path in lab.folder.glob("checkpoint-*"))
    assert found == {1: [2, 4], 2: [2, 4], 3: [4], 5: []}[every]


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 3, 5])
@pytest.mark.parametrize("telling", ["ab", "a"])
def test_interrupted_between_the_batches_of_an_update(new_lab, crash, every, telling):
    expected = run(new_lab("whole"), of_prompts(telling), checkpoint_every=every)
    for at in range(6):
        calls, lab = [], new_lab(at)

        def torn(candidates, at=at, calls=calls):
            calls.append(1)
            if len(calls) - 1 == at:
                raise crash
            return of_prompts(telling)(candidates)

        with pytest.raises(crash):
            run(lab, torn, checkpoint_every=every)
        assert run(lab, of_prompts(telling), checkpoint_every=every) == expected
