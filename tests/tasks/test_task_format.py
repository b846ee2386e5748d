"""What task.yaml can say beside plain templates over JSON Lines: nested fields, derived fields, chats, preferences."""

import copy
import json
import pickle

import pytest

from rlbench.errors import InputError
from rlbench.records import Chat, Message, Preference
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

YAML = """\
name: toy
description: A toy
licence: CC0-1.0
source:
  kind: file
  splits: {train: train.jsonl, test: test.jsonl}
prompt: "{question}"
references: ["{answers.text}"]
max_new_tokens: 8
reward: rouge.rougeL
metrics: [rougeL]
primary: rougeL
"""


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def make(tmp_path):
    """`make(old, new, ...)`: the task with replaced texts in its task.yaml; `rows` are those of both splits."""

    def make(*changes, rows=None):
        text = YAML
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "task.yaml").write_text(text)
        for split in ("train", "test"):
            made = [{"question": f"{split} {n}", "answers": {"text": ["a", "b"], "start": [0, 3]}} for n in range(3)]
            write(tmp_path / f"{split}.jsonl", made if rows is None else rows)
        return load_task(tmp_path)

    return make


def test_fields_of_fields(make):
    task = make('"{question}"', '"{question} {answers.start.1}"')
    sample = task.samples("test")[2]
    assert (sample.prompt, sample.references) == ("test 2 3", ("a", "b"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("answers.texts", "field 'answers.texts' is missing (there it has: text, start)"),
        ("answers.text.2", "field 'answers.text.2' is missing (there is a list of 2, counted from 0)"),
        ("question.x", "field 'question.x' is missing (there is str, which holds no fields)"),
        ("questions", "field 'questions' is missing (has: question, answers)"),
        ("answers", "field 'answers' is dict; expected text or a number"),
    ],
)
def test_a_field_that_is_not_there_names_file_and_line(make, tmp_path, path, message):
    with pytest.raises(InputError) as caught:
        make('"{question}"', f'"{{{path}}}"').samples("test")
    assert str(caught.value) == f"{tmp_path}/test.jsonl:1: {message}"


DERIVE = """\
derive:
  number: {from: '{question}!', pattern: '([0-9]+)!'}
  twice: {from: '{number}{number}', pattern: '(.*)'}
"""


def test_derived_fields_may_build_on_each_other(make):
    task = make('prompt: "{question}"', DERIVE + 'prompt: "{twice}"')
    assert [sample.prompt for sample in task.samples("test")] == ["00", "11", "22"]


def test_a_pattern_that_does_not_match(make, tmp_path):
    rows = [{"question": "one 1", "answers": {"text": "x"}}, {"question": "two", "answers": {"text": "x"}}]
    changes = ('prompt: "{question}"', DERIVE + 'prompt: "{number}"')
    with pytest.raises(InputError) as caught:
        make(*changes, rows=rows).samples("test")
    assert f"{tmp_path}/test.jsonl:2: field 'number' cannot be derived: its pattern does not match" in str(caught.value)
    drop = ("'([0-9]+)!'", "'([0-9]+)!', otherwise: drop")
    task = make(*changes, *drop, rows=[*rows, {"question": "3", "answers": {"text": "x"}}])
    assert [sample.prompt for sample in task.samples("test")] == ["1", "3"]
    assert task.where("test-00001") == f"{tmp_path}/test.jsonl:3"
    with pytest.raises(InputError, match="all rows of 'test' are dropped"):
        make(*changes, *drop, rows=rows[1:]).samples("test")


@pytest.mark.parametrize(
    ("derive", "message"),
    [
        ("{from: '{question}', pattern: '('}", "not a regular expression"),
        ("{from: '{question}', pattern: '(a{99999999999})'}", "not a regular expression"),
        ("{from: '{question}', pattern: '(" + "(?:" * 3000 + "x" + ")" * 3001 + "'}", "not a regular expression"),
        ("{from: '{question}', pattern: 'x'}", "has 0 groups; expected exactly one"),
        ("{from: 'question', pattern: '(x)'}", "names no field of the data"),
        ("{from: '{question}'}", "key 'derive.new.pattern' is missing"),
    ],
)
def test_derivations_that_cannot_work(make, derive, message):
    with pytest.raises(InputError) as caught:
        make('prompt: "{question}"', f'derive:\n  new: {derive}\nprompt: "{{new}}"')
    assert "task.yaml:8" in str(caught.value)
    assert message in str(caught.value)


def test_a_derived_field_may_not_hide_another(make):
    with pytest.raises(InputError, match=r"test\.jsonl:1: field 'question' is in the data"):
        make('prompt: "{q', "derive: {question: {from: '{question}', pattern: '(.)'}}\nprompt: \"{q").samples("test")


CHAT = ('"{question}"', "[{role: system, content: Be brief.}, {role: user, content: 'Q: {question}'}]")


def test_a_prompt_of_messages(make):
    plain, task = make(), make(*CHAT)
    prompt = task.samples("test")[0].prompt
    assert isinstance(prompt, Chat)
    assert prompt.messages == (Message("system", "Be brief."), Message("user", "Q: test 0"))
    assert prompt == "system: Be brief.\n\nuser: Q: test 0"
    for copied in (copy.deepcopy(prompt), pickle.loads(pickle.dumps(prompt))):
        assert copied == prompt
        assert copied.messages == prompt.messages
    assert task.fingerprint() != plain.fingerprint()


def test_a_chat_is_not_the_same_words_as_a_text(make):
    chat = make('"{question}"', "[{role: user, content: '{question}'}]")
    text = make('"{question}"', '"user: {question}"')
    assert chat.samples("test")[0].prompt == text.samples("test")[0].prompt
    assert chat.fingerprint("test") != text.fingerprint("test")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("[{role: tool, content: '{question}'}]", "message 1: role is 'tool'; expected one of system, user, assistant"),
        ("[{role: user, content: '{question}'}, {role: assistant, content: x}]", "the last message is the assistant's"),
        ("[{role: user, text: '{question}'}]", "message 1: expected {role: ..., content: ...}"),
        ("[{role: user, content: x}]", "names no field of the data"),
        ("[]", "expected a text or a list of chat messages"),
        ("5", "expected a text or a list of chat messages"),
    ],
)
def test_prompts_that_are_none(make, prompt, message):
    with pytest.raises(InputError) as caught:
        make('"{question}"', prompt)
    assert "task.yaml:7: prompt: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("change", [(), CHAT])
def test_an_empty_prompt_names_file_and_line(make, tmp_path, change):
    changes = (*change, "Q: ", "") if change else ()
    with pytest.raises(InputError) as caught:
        make(*changes, rows=[{"question": " ", "answers": {"text": "x"}}]).samples("train")
    assert f"{tmp_path}/train.jsonl:1: " in str(caught.value)
    assert "is empty; expected text" in str(caught.value)


def test_gold_is_the_reward_unless_it_is_named(make):
    plain, named = make(), make("reward: rouge.rougeL", "reward: rouge.rougeL\ngold: rouge.rouge1")
    assert plain.gold == plain.reward == ("rouge", "rougeL")
    assert named.gold == ("rouge", "rouge1")
    assert named.fingerprint() != plain.fingerprint()
    with pytest.raises(InputError, match=r"task\.yaml:11: gold: "):
        make("reward: rouge.rougeL", "reward: rouge.rougeL\ngold: rouge")


PREFERENCES = 'preferences: {file: pairs.jsonl, chosen: "{best}", rejected: "{worst}"}\nmax_new'


def test_preferences(make, tmp_path):
    pairs = [{"question": "pair", "best": "yes", "worst": "no"}]
    write(tmp_path / "pairs.jsonl", pairs)
    task = make("max_new", PREFERENCES)
    assert task.has_preferences
    assert task.preferences() == (Preference("pair", "yes", "no"),)
    assert task.fingerprint() != task.fingerprint("train", "test")
    assert task.fingerprint("preferences") != task.fingerprint("test")

    write(tmp_path / "pairs.jsonl", [*pairs, {"question": "pair", "best": "", "worst": "no"}])
    with pytest.raises(InputError, match=r"pairs\.jsonl:2: the chosen completion is empty"):
        make("max_new", PREFERENCES).preferences()
    write(tmp_path / "pairs.jsonl", [{"question": "TEST  1", "best": "yes", "worst": "no"}])
    with pytest.raises(InputError, match=r"also stand in preferences \(first: test-00001"):
        check_leaks(make("max_new", PREFERENCES))


def test_preferences_of_a_split_and_none(make):
    task = make("max_new", 'preferences: {split: train, chosen: "{answers.text.0}", rejected: "{question}"}\nmax_new')
    assert task.preferences()[1] == Preference("train 1", "a", "train 1")
    assert not make().has_preferences
    with pytest.raises(InputError, match="task 'toy' has no preferences"):
        make().preferences()
    with pytest.raises(InputError, match="preferences name split 'dev', which the source does not have"):
        make("max_new", 'preferences: {split: dev, chosen: "x", rejected: "y"}\nmax_new')
    with pytest.raises(InputError, match="a split cannot be called 'preferences'"):
        make("{train: train.jsonl", "{preferences: train.jsonl")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("primary: rougeL", "primary: rouge1", 12),
        ("metrics: [rougeL]", "metrics: [rougeL, rougeL]", 11),
        ("max_new_tokens: 8", "max_new_tokens: true", 9),
        ("max_new_tokens: 8", "max_new_tokens: '8'", 9),
        ("max_new_tokens: 8", "max_new_tokens: 8.0", 9),
        ("max_new", 'preferences: {split: dev, chosen: "x", rejected: "y"}\nmax_new', 9),
        ("{train: train.jsonl", "{preferences: train.jsonl", 4),
    ],
)
def test_a_wrong_key_names_its_line(make, tmp_path, old, new, line):
    with pytest.raises(InputError) as caught:
        make(old, new)
    assert str(caught.value).startswith(f"{tmp_path}/task.yaml:{line}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_where_a_sample_comes_from(make, tmp_path):
    task = make()
    assert task.where("train-00002") == f"{tmp_path}/train.jsonl:3"
    for missing in ("train-00003", "dev-00000", "train", "train-x"):
        with pytest.raises(InputError, match=f"sample '{missing}' not found"):
            task.where(missing)


def test_a_generated_source_names_sizes(make):
    source = "kind: reasoning_gym\n  dataset: lcm\n  splits: {test: 0}"
    with pytest.raises(InputError, match=r"task\.yaml:7: source\.splits\.test"):
        make("kind: file\n  splits: {train: train.jsonl, test: test.jsonl}", source)
