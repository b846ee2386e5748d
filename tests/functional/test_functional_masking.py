import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.functional.masking import (
    aggregation_weights,
    constant_weights,
    last_token,
    masked_mean,
    sequence_mean_weights,
    token_mean_weights,
    whiten,
)

repeatable = settings(derandomize=True, deadline=None)


def mask_of(lengths, columns=None):
    columns = columns or max(max(lengths), 1)
    return torch.arange(columns) < torch.tensor(lengths).unsqueeze(-1)


some_lengths = st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any)


@repeatable
@given(some_lengths)
def test_weights_sum_to_one_and_are_zero_where_nothing_counts(lengths):
    mask = mask_of(lengths)
    for weights in (sequence_mean_weights(mask), token_mean_weights(mask)):
        assert float(weights.sum()) == pytest.approx(1.0, abs=1e-6)
        assert bool((weights[~mask] == 0).all())
        assert bool((weights[mask] > 0).all())


@repeatable
@given(some_lengths)
def test_sequences_share_equally_or_in_proportion_to_their_length(lengths):
    mask = mask_of(lengths)
    by_sequence = sequence_mean_weights(mask).sum(-1)
    present = by_sequence[torch.tensor(lengths) > 0]
    torch.testing.assert_close(present, torch.full_like(present, 1 / len(present)))
    by_token = token_mean_weights(mask).sum(-1)
    torch.testing.assert_close(by_token, torch.tensor(lengths) / sum(lengths))


def test_published_weights_of_lengths_10_and_1000():
    # design/algorithms.md, axis 4: a token mean gives them 0.0099 and 0.9901, a sequence mean 0.5 each
    mask = mask_of([10, 1000])
    torch.testing.assert_close(token_mean_weights(mask).sum(-1), torch.tensor([0.0099, 0.9901]), atol=5e-5, rtol=0)
    torch.testing.assert_close(sequence_mean_weights(mask).sum(-1), torch.tensor([0.5, 0.5]))


@repeatable
@given(some_lengths, st.integers(9, 40))
def test_a_constant_denominator_weighs_every_token_by_completions_and_limit(lengths, limit):
    mask = mask_of(lengths)
    weights = constant_weights(mask, limit)
    torch.testing.assert_close(weights.sum(), torch.tensor(sum(lengths) / (len(lengths) * limit)))
    assert bool((weights[~mask] == 0).all())
    assert len(set(weights[mask].tolist())) == 1
    wider = constant_weights(mask_of(lengths, 50), limit)
    assert torch.equal(wider[:, : mask.shape[1]], weights)  # the limit counts, not the columns


def test_all_aggregations_agree_where_all_completions_reach_the_limit():
    mask = mask_of([6, 6, 6])
    found = [aggregation_weights(mask, 6, kind) for kind in ("sequence_mean", "token_mean", "constant")]
    for weights in found:
        torch.testing.assert_close(weights, torch.full((3, 6), 1 / 18))


def test_aggregations_are_told_apart_by_lengths():
    # one token in the first completion, three in the second, a limit of four
    mask = mask_of([1, 3])
    for kind, expected in (("sequence_mean", [3, 1]), ("token_mean", [1, 1]), ("constant", [1, 1])):
        weights = aggregation_weights(mask, 4, kind)
        assert float(weights[0, 0] / weights[1, 0]) == pytest.approx(expected[0] / expected[1])
    sums = [float(aggregation_weights(mask, 4, kind).sum()) for kind in ("sequence_mean", "token_mean", "constant")]
    assert sums == pytest.approx([1, 1, 0.5])


def test_a_batch_without_counted_tokens_has_no_weight():
    mask = torch.zeros((3, 4), dtype=torch.bool)
    assert float(constant_weights(mask, 4).abs().sum()) == 0
    assert float(sequence_mean_weights(mask).abs().sum()) == 0
    assert float(token_mean_weights(mask).abs().sum()) == 0
    assert float(masked_mean(torch.ones(3, 4), mask)) == 0


@repeatable
@given(some_lengths, st.integers(0, 5))
def test_a_masked_batch_is_the_batch_of_its_parts(lengths, extra):
    mask = mask_of(lengths, max(lengths) + extra)
    values = torch.rand(mask.shape, generator=torch.Generator().manual_seed(sum(lengths)), dtype=torch.float64)
    parts = [values[row, :length] for row, length in enumerate(lengths) if length]
    garbage = torch.where(mask, values, 1e6)
    torch.testing.assert_close(masked_mean(garbage, mask), torch.cat(parts).mean())
    torch.testing.assert_close((values * token_mean_weights(mask)).sum(), torch.cat(parts).mean(), atol=1e-6, rtol=0)
    expected = torch.stack([part.mean() for part in parts]).mean()
    torch.testing.assert_close((values * sequence_mean_weights(mask)).sum(), expected, atol=1e-6, rtol=0)


@repeatable
@given(some_lengths.filter(lambda lengths: sum(lengths) > 1), st.floats(-50, 50), st.floats(0.1, 50))
def test_whitened_values_have_mean_zero_variance_one_and_forget_shift_and_scale(lengths, shift, scale):
    mask = mask_of(lengths, max(lengths) + 2)
    values = torch.rand(mask.shape, generator=torch.Generator().manual_seed(sum(lengths)), dtype=torch.float64)
    white = whiten(torch.where(mask, values, 1e4), mask)
    assert bool((white[~mask] == 0).all())
    assert float(white[mask].mean()) == pytest.approx(0, abs=1e-9)
    if float(values[mask].var(correction=0)) > 1e-3:
        assert float(white[mask].var(correction=0)) == pytest.approx(1, abs=1e-4)
        torch.testing.assert_close(whiten(values * scale + shift, mask), white, atol=1e-2, rtol=0)


@repeatable
@given(some_lengths.filter(lambda lengths: sum(lengths) > 1))
def test_without_a_shift_whitening_keeps_the_mean(lengths):
    mask = mask_of(lengths, max(lengths) + 2)
    values = 3 + torch.rand(mask.shape, generator=torch.Generator().manual_seed(sum(lengths)), dtype=torch.float64)
    white = whiten(torch.where(mask, values, 1e4), mask, shift=False)
    assert bool((white[~mask] == 0).all())
    assert float(white[mask].mean()) == pytest.approx(float(values[mask].mean()))
    torch.testing.assert_close(white - values[mask].mean() * mask, whiten(values, mask))


def test_whitening_equal_values_gives_zero():
    mask = mask_of([3, 2])
    assert float(whiten(torch.full((2, 3), 4.0), mask).abs().max()) == 0


@repeatable
@given(some_lengths)
def test_the_last_token_is_the_last_one_that_counts(lengths):
    marked = last_token(mask_of(lengths, 12)).nonzero().tolist()
    assert marked == [[row, length - 1] for row, length in enumerate(lengths) if length]
