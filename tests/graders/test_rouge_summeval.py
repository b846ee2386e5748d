"""ROUGE of 16 summarisers against human judgements: the published correlations of SummEval (Fabbri et al., 2021)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from rouge_score import rouge_scorer
from rouge_score.scoring import Score
from scipy.stats import spearmanr

import rlbench
from rlbench.graders.overlap import rouge
from rlbench.records import Candidate, Sample

DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).parents[2] / "shared" / "data") / "summeval"
PUBLISHED = {
    "rouge1": {"coherence": 0.169, "consistency": 0.160, "fluency": 0.116, "relevance": 0.328},
    "rouge2": {"coherence": 0.184, "consistency": 0.187, "fluency": 0.159, "relevance": 0.290},
}


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the public data set summeval in {DATA}")
def test_correlations_with_human_judgements(monkeypatch):
    # The longest common subsequence takes most of the time, and ROUGE-L has no figure here.
    monkeypatch.setattr(rouge_scorer, "_score_lcs", lambda *_: Score(0.0, 0.0, 0.0))
    documents = [json.loads(line) for line in (DATA / "summeval.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(documents) == 100
    grade = rouge().grade
    correlations = {(column, aspect): [] for column, aspects in PUBLISHED.items() for aspect in aspects}
    for document in documents:
        sample = Sample(document["doc_id"], "", tuple(document["references"]))
        assert len(sample.references) == 11
        judged = grade([Candidate(sample, system["summary"]) for system in document["systems"]])
        assert len(judged) == 16
        for (column, aspect), found in correlations.items():
            human = [system["human"][aspect] for system in document["systems"]]
            if len(set(human)) > 1:
                found.append(spearmanr([j.values[column] for j in judged], human).statistic)
    for (column, aspect), found in correlations.items():
        assert round(float(np.mean(found)), 3) == PUBLISHED[column][aspect], (column, aspect)
