"""The public tasks: what they hold on the real files, where those are, and that the others read the hub's columns."""

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

import rlbench
from rlbench.graders.roles import load_grader
from rlbench.records import Candidate, Chat, Scored
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

CHECKOUT = Path(rlbench.__file__).parents[1]
DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or CHECKOUT.parent / "shared" / "data")
SIZES = {
    "math500": {"test": 500},
    "hh_rlhf": {"train": 1806, "dev": 247, "test": 250},
    "pandalm": {"train": 581, "dev": 87, "test": 168},
    "summeval": {"test": 100},
    "wmt22_en_de": {"test": 2037},
    "wmt22_cs_en": {"test": 1448},
    "wmt22_en_ja": {"test": 2037},
    "wikitext2": {"test": 1564},
}
FROM_THE_HUB = ["cnn_dailymail", "countdown", "imdb", "squad", "tldr", "ultrafeedback"]
# The last line of the first test prompt, and how the first reference begins.
EXAMPLES = {
    "math500": ("Solution:\n", "We have that $r = \\sqrt{0^2 + 3^2} = 3.$"),
    "hh_rlhf": ("\n\nAssistant:", " I am sorry but I do not have enough information"),
    "pandalm": (
        "- Start with a thematic tie-in to Halloween\n\n### Response:\n",
        "Happy Halloween! Applications for summer internships are now",
    ),
    "summeval": ("\n\nSummarise the article in a few sentences.\n\nSummary:\n", "Andros Townsend an 83rd minute sub"),
    "wmt22_en_de": (
        "English: You can come back any time as our chat service window is open 24/7\nGerman:",
        "Sie können jederzeit wiederkommen, da unser Chat-Service-Fenster",
    ),
    "wmt22_cs_en": (
        "Translate from Czech to English.\nCzech: Blíží se velký návrat českého smolaře.\nEnglish:",
        "The big comeback of the Czech underdog is coming.",
    ),
    "wmt22_en_ja": (
        "Translate from English to Japanese.\nEnglish: I'm sorry that your order is running late.\nJapanese:",
        "お客様のご注文が遅れており、申し訳ございません。",
    ),
    "wikitext2": (
        "Homarus gammarus , known as the European lobster or common lobster , is a species of",
        " <unk> lobster",
    ),
}


def public(name):
    """Load a task on its real files, of which it says which they are."""
    task = load_task(name, DATA if DATA.is_dir() else None)
    folder = DATA / description(name)["source"]["data_dir"]
    if not folder.is_dir():
        pytest.skip(f"needs the public data set {folder.relative_to(DATA)} in {DATA}")
    return task


def description(name):
    return yaml.safe_load((load_task(name).folder / "task.yaml").read_text())


def pinned_files(name):
    """Every file that the task names, with the hash that it pins."""
    for split in description(name)["source"]["splits"].values():
        for file in (split, *split.get("beside", {}).values()):
            yield file.get("path"), file.get("sha256")


def judged(task, completions, every=1):
    """The reward of a completion for every so many of the test samples; what is no number fails the test."""
    grader, column = task.reward
    candidates = [Candidate(*pair) for pair in zip(task.samples("test")[::every], completions, strict=True)]
    judgements = load_grader(grader, task.graders.get(grader, {})).grade(candidates)
    assert all(isinstance(judgement, Scored) for judgement in judgements)
    return [judgement.values[column] for judgement in judgements]


@pytest.mark.parametrize("name", [*SIZES, *FROM_THE_HUB])
def test_every_task_says_where_it_comes_from(name):
    task, given = load_task(name), description(name)
    assert task.name == name
    readme = (task.folder / "README.md").read_text()
    assert readme.startswith(f"# {name}\n")
    assert f"DIR/{given['source']['data_dir']}" in readme
    assert "* **Contamination**: " in readme
    assert "\nLicence: " in readme
    assert len(given["contamination"]) > 50
    hub = given["source"]["hub"]
    assert hub is None or hub["revision"] is None
    assert given["source"]["homepage"].startswith("https://") if hub is None else hub["id"] in readme


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files_are_those_that_are_pinned(name):
    task = public(name)
    for path, sha256 in pinned_files(name):
        content = (DATA / description(name)["source"]["data_dir"] / path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    assert {split: len(task.samples(split)) for split in task.splits} == SIZES[name]
    check_leaks(task)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_first_test_sample(name):
    sample = public(name).samples("test")[0]
    ending, beginning = EXAMPLES[name]
    assert sample.prompt.endswith(ending)
    assert sample.references[0].startswith(beginning)


def test_math500_asks_for_the_answers_that_tests_of_the_grader_find_correct():
    """test_maths_public.py judges the file's 500 answers and solutions; here the task must hold the same ones."""
    pytest.importorskip("math_verify")
    task = public("math500")
    samples = task.samples("test")
    rows = map(json.loads, (DATA / "math" / "math500_test.jsonl").read_text(encoding="utf-8").splitlines())
    assert [(sample.answer, sample.references) for sample in samples] == [
        (row["answer"], (row["solution"],)) for row in rows
    ]
    assert (task.reward, dict(task.graders)) == (("maths", "correct"), {})
    assert set(judged(task, [sample.references[0] for sample in samples[::10]], every=10)) == {1}
    assert sum(judged(task, [f"\\boxed{{{sample.answer}}}" for sample in samples[1::10]], every=10)) < 5


def test_hh_rlhf_pairs_are_the_dialogues_of_the_file():
    task = public("hh_rlhf")
    lines = (DATA / "hh_rlhf" / "harmless-base-test.jsonl").read_text().splitlines()
    left_out = {86, 516, 925, 1103, 1254, 1688, 1950, 1952, 2036}
    rows = [row for number, row in enumerate(map(json.loads, lines)) if number not in left_out]
    pairs = task.preferences()
    assert [(each.prompt + each.chosen, each.prompt + each.rejected) for each in pairs] == [
        (row["chosen"], row["rejected"]) for row in rows[:1806]
    ]
    assert all(each.prompt.startswith("\n\nHuman:") and each.prompt.endswith("\n\nAssistant:") for each in pairs)
    assert not any("\n\nAssistant:" in each.chosen + each.rejected for each in pairs)
    assert list(task.demonstrations()) == [(each.prompt, each.chosen) for each in pairs]
    held_out = [*task.samples("dev"), *task.samples("test")]
    assert [sample.prompt + sample.references[0] for sample in held_out] == [row["chosen"] for row in rows[1806:]]


def test_pandalm_prefers_what_most_annotators_prefer():
    task = public("pandalm")
    rows = json.loads((DATA / "pandalm" / "testset-v1.json").read_text())
    expected = []
    for row in rows[:703]:
        votes = Counter(row[f"annotator{number}"] for number in (1, 2, 3))
        (winner, count), *_ = votes.most_common()
        responses = {1: row["response1"], 2: row["response2"]}
        usable = all(isinstance(text, str) and text.strip() for text in responses.values())
        if winner != 0 and count > 1 and usable:
            expected.append((responses[winner], responses[3 - winner], row["instruction"], row["input"]))
    pairs = task.preferences()
    assert [(each.chosen, each.rejected) for each in pairs] == [each[:2] for each in expected]
    for pair, (_, _, instruction, given) in zip(pairs, expected, strict=True):
        assert pair.prompt.split() == f"### Instruction: {instruction} {given} ### Response:".split()


def test_summeval_has_eleven_references_which_score_higher_than_those_of_another_article():
    task = public("summeval")
    references = [sample.references for sample in task.samples("test")]
    assert {len(each) for each in references} == {11}
    own = judged(task, [each[0] for each in references[::5]], every=5)
    other = judged(task, [each[0] for each in references[1::5]], every=5)
    assert min(own) > max(other)


@pytest.mark.parametrize(
    ("name", "system", "bleu"),
    [
        ("wmt22_en_de", "Online-B.de", 52.315299704513926),
        ("wmt22_cs_en", "Online-B.en", 60.60009271644303),
        ("wmt22_en_ja", "Online-B.ja", 41.16595931964286),
    ],
)
def test_wmt22_references_give_the_published_bleu(name, system, bleu):
    from sacrebleu.metrics.bleu import BLEU

    task = public(name)
    folder = DATA / description(name)["source"]["data_dir"]
    (file,) = folder.glob(f"*.hyp.{system}")
    outputs = file.read_text().split("\n")[:-1]
    references = [list(each) for each in zip(*(sample.references for sample in task.samples("test")), strict=True)]
    score = BLEU(**task.graders.get("bleu", {})).corpus_score(outputs, references)
    assert score.score == pytest.approx(bleu, abs=1e-6)


def test_wikitext2_is_the_beginnings_of_paragraphs():
    task = public("wikitext2")
    lines = (DATA / "wikitext2" / "valid.txt").read_text().split("\n")
    paragraphs = [line.strip() for line in lines if len(line.split()) >= 32 and not line.startswith(" =")]
    samples = task.samples("test")
    assert len(samples) == len(paragraphs)
    for sample, paragraph in zip(samples, paragraphs, strict=True):
        text = sample.prompt + sample.references[0]
        assert paragraph.startswith(text)
        assert len(sample.prompt.split()) == 16
        assert len(text.split()) == min(144, len(paragraph.split()))


@pytest.mark.parametrize("name", ["summeval", "wmt22_en_de", "wmt22_en_ja", "wikitext2"])
def test_references_have_the_highest_reward(name):
    task = public(name)
    every = len(task.samples("test")) // 20
    references = [sample.references[-1] for sample in task.samples("test")[::every]]
    other = ["xylophone quartz 123"] * len(references)
    pairs = zip(judged(task, references, every), judged(task, other, every), strict=True)
    assert all(right > wrong for right, wrong in pairs)


HUB = {
    "squad": {
        "train": [
            {"context": "Ana has a dog.", "question": "Who?", "answers": {"text": ["Ana"], "answer_start": [0]}},
            {"context": "It is 5 km.", "question": "How far?", "answers": {"text": ["5 km"], "answer_start": [6]}},
        ],
        "validation": [
            {
                "context": "It is 5 km.",
                "question": "How far?",
                "answers": {"text": ["5 km", "It is 5 km"], "answer_start": [6, 0]},
            }
        ],
    },
    "cnn_dailymail": {
        "train": [{"article": f"Article {n}.", "highlights": f"First {n} .\nSecond .", "id": str(n)} for n in range(4)],
        "validation": [{"article": "Article 0.", "highlights": "First 0 .", "id": "v"}] * 2
        + [{"article": "Article 9.", "highlights": "First 9 .", "id": "w"}],
        "test": [{"article": "Article 9.", "highlights": "First 9 .\nLast .", "id": "t"}],
    },
    "tldr": {
        split: [{"prompt": f"POST: {split} {n}\n\nTL;DR:", "completion": f" short {n}"} for n in range(2)]
        for split in ("train", "validation", "test")
    },
    "imdb": {
        "train": [
            {"text": "One two three four five six seven eight nine. Good!", "label": 1},
            {"text": "Too short.", "label": 0},
            {"text": "This opening has exactly the words of test, and then differs.", "label": 0},
        ],
        "test": [{"text": "This opening has exactly the words of test,  but\nis good.<br />", "label": 1}],
    },
    "ultrafeedback": {
        split: [
            {
                "prompt": f"{split}: {n}",
                "chosen": [{"role": "user", "content": f"{split}: {n}"}, {"role": "assistant", "content": chosen}],
                "rejected": [{"role": "user", "content": f"{split}: {n}"}, {"role": "assistant", "content": rejected}],
                "score_chosen": 8.0,
            }
            for n, (chosen, rejected) in enumerate(
                [("Yes.\nBecause.", "No."), ("", "x"), ("x", ""), ("x", "x"), ("x", "xy")]
            )
        ]
        for split in ("train_prefs", "test_prefs")
    },
}


@pytest.fixture
def from_the_hub(tmp_path, monkeypatch):
    """Write small data with the hub's columns and file names; return the task that reads it."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()

    def load(name, splits):
        for split, columns in splits.items():
            make = datasets.Dataset.from_dict if isinstance(columns, dict) else datasets.Dataset.from_list
            config = description(name)["source"]["hub"].get("config")
            folder = tmp_path / "data" / name / (config or "data")
            folder.mkdir(parents=True, exist_ok=True)
            make(columns).to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return load_task(name, tmp_path / "data")

    return load


def test_squad_takes_all_answers(from_the_hub):
    task = from_the_hub("squad", HUB["squad"])
    (sample,) = task.samples("test")
    assert sample.prompt == (
        "Paragraph: It is 5 km.\n\nQuestion: How far?\nAnswer with a span of the paragraph.\n\nAnswer:\n"
    )
    assert (sample.references, sample.answer) == (("5 km", "It is 5 km"), "5 km")
    assert [each.references for each in task.samples("train")] == [("Ana",)]  # the other one stands in test
    assert [completion for _, completion in task.demonstrations()] == ["Ana"]
    for completion, value in [("5 km", 1), ("It is 5 km.", 1), ("5 miles", 0.5), ("Ana", 0), ("", 0)]:
        assert judged(task, [completion]) == [value]


def test_cnn_dailymail_drops_from_a_split_what_stands_in_a_later_one(from_the_hub):
    task = from_the_hub("cnn_dailymail", HUB["cnn_dailymail"])
    assert {split: len(task.samples(split)) for split in task.splits} == {"train": 3, "dev": 2, "test": 1}
    (sample,) = task.samples("test")
    assert sample.prompt == "Article: Article 9.\n\nSummarise the article in a few sentences.\n\nSummary:\n"
    assert sample.references == ("First 9 .\nLast .",)
    assert judged(task, ["First 9 .\nLast ."]) == [1]
    check_leaks(task)


def test_tldr_keeps_the_prompt_of_the_data(from_the_hub):
    task = from_the_hub("tldr", HUB["tldr"])
    assert {split: len(task.samples(split)) for split in task.splits} == {"train": 2, "dev": 2, "test": 2}
    assert task.samples("dev")[1].prompt == "POST: validation 1\n\nTL;DR:"
    assert task.demonstrations()[1] == ("POST: train 1\n\nTL;DR:", " short 1")
    assert judged(task, [" short 0", " short 1"]) == [1, 1]


def test_imdb_prompts_are_openings(from_the_hub):
    task = from_the_hub("imdb", HUB["imdb"])
    assert [sample.prompt for sample in task.samples("test")] == ["This opening has exactly the words of test,"]
    assert task.demonstrations() == (("One two three four five six seven eight", " nine. Good!"),)
    assert task.reward == ("reward_model", "reward")
    assert task.graders["reward_model"] == {"hub": "siebert/sentiment-roberta-large-english", "label": "POSITIVE"}


def test_ultrafeedback_pairs_are_two_different_answers_to_a_chat(from_the_hub):
    task = from_the_hub("ultrafeedback", HUB["ultrafeedback"])
    assert {split: len(task.samples(split)) for split in task.splits} == {"train": 2, "test": 2}
    prompt = task.samples("train")[0].prompt
    assert isinstance(prompt, Chat)
    assert [(message.role, message.content) for message in prompt.messages] == [("user", "train_prefs: 0")]
    pairs = [(each.chosen, each.rejected) for each in task.preferences()]
    assert pairs == [("Yes.\nBecause.", "No."), ("x", "xy")]
    assert [completion for _, completion in task.demonstrations()] == ["Yes.\nBecause.", "x"]


def test_countdown_has_the_splits_of_tinyzero(from_the_hub):
    numbers = [[n % 97 + 1, n // 97 % 89 + 1, n // 8633 + 1] for n in range(330_000)]
    task = from_the_hub("countdown", {"train": {"target": [sum(each) for each in numbers], "nums": numbers}})
    samples = {split: task.samples(split) for split in ("dev", "test")}
    assert {split: len(each) for split, each in samples.items()} == {"dev": 1024, "test": 1024}
    for split, first in {"test": 327_680, "dev": 328_704}.items():
        given = numbers[first]
        assert samples[split][0].answer.split() == [str(sum(given)), *map(str, given)]
    first, *_ = tested = numbers[327_680:328_704]
    beginning = "Numbers:\n{}\n{}\n{}\nTarget: {}\n\n".format(*first, sum(first))
    assert samples["test"][0].prompt.startswith(beginning)
    assert sum(judged(task, ["<answer>{} + {} + {}</answer>".format(*each) for each in tested])) == 1024
    assert sum(judged(task, ["<answer>1 + 1</answer>"] * 1024)) == 0


def test_readmes_count_right():
    rows = json.loads((DATA / "pandalm" / "testset-v1.json").read_text()) if (DATA / "pandalm").is_dir() else []
    if not rows:
        pytest.skip(f"needs the public data set pandalm in {DATA}")
    task = public("pandalm")
    prompts = {sample.prompt for split in task.splits for sample in task.samples(split)}
    readme = (task.folder / "README.md").read_text()
    found = re.search(r"(\d+) pairs over (\d+) prompts remain", readme)
    assert tuple(map(int, found.groups())) == (sum(SIZES["pandalm"].values()), len(prompts))
