"""Whether prompts carry a chat template: by its special tokens, or by what it writes around a message."""

import pytest

from rlbench.errors import InputError
from rlbench.policies.chat_template import template_use
from rlbench.policies.tiny import build_tiny, character_tokenizer
from rlbench.records import Chat, Message

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PLAIN = "{{ bos_token }}{% for m in messages %}### Question: {{ m.content }}\n### Answer:{% endfor %}"
ANY = "".join(map(chr, range(32, 127))) + "\n"


@pytest.fixture
def tokenizer():
    return character_tokenizer([ANY])


def with_template(tokenizer, template, *marks):
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    tokenizer.split_special_tokens = False
    tokenizer.chat_template = template
    return tokenizer


def use(tokenizer, *prompts):
    return template_use(tokenizer, [tokenizer(prompt)["input_ids"] for prompt in prompts])


def test_without_a_template_there_is_nothing_to_use(tokenizer):
    assert use(tokenizer, "<|im_start|>2+2=") == "none"


@pytest.mark.parametrize("several", [False, True])
def test_special_tokens_of_the_template_show_its_use(tokenizer, several):
    template = {"default": CHATML, "tool_use": "tools " + CHATML} if several else CHATML
    chat = with_template(tokenizer, template, "<|im_start|>", "<|im_end|>", "<|fim|>")
    assert use(chat, "2+2=", "3+3=") == "unused"
    assert use(chat, "2+2=", "<|im_start|>user\n3+3=<|im_end|>\n") == "used"
    assert use(chat, "<|fim|>2+2=") == "unused", "a special token that the template does not name"


def test_the_beginning_token_is_no_mark(tokenizer):
    start = tokenizer.bos_token
    chat = with_template(tokenizer, start + CHATML, "<|im_start|>", "<|im_end|>")
    assert use(chat, start + "2+2=") == "unused"


def test_a_template_of_plain_text_is_known_by_what_stands_around_a_message(tokenizer):
    chat = with_template(tokenizer, PLAIN)
    assert use(chat, "2+2=") == "unused"
    assert use(chat, "### Question: 2+2=\n### Answer:") == "used"


@pytest.mark.parametrize(
    "template", ["{{ messages[0].content }}", "{{ raise_exception('no system prompt') }}", "{% if"]
)
def test_a_template_without_marks_cannot_be_looked_for(tokenizer, template):
    assert use(with_template(tokenizer, template), "2+2=") == "unknown"


QUESTION = Chat([Message("system", "Be brief."), Message("user", "2+2=")])
GENERATE = CHATML + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


@pytest.fixture
def policy():
    made = build_tiny([ANY], hidden_size=16, layers=1, heads=2, max_positions=200, seed=0)
    with_template(made.tokenizer, GENERATE, "<|im_start|>", "<|im_end|>")
    return made


def test_messages_are_written_with_the_template_and_nothing_else(policy):
    ids = policy.encode_prompt(QUESTION)
    assert policy.tokenizer.decode(ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2=<|im_end|>\n<|im_start|>assistant\n"
    )
    assert policy.tokenizer.bos_token_id not in ids, "the template writes special tokens itself"
    assert template_use(policy.tokenizer, [ids]) == "used"
    assert policy.encode_prompt(str(QUESTION)) != ids, "the text for people is a prompt of its own"


def test_an_answer_continues_the_template(policy):
    ids = policy.encode_completion(QUESTION, "4")
    assert policy.decode(ids) == "4"
    assert ids[-1] == policy.stop_token_id


def test_messages_without_a_template_or_against_it_are_refused(policy):
    policy.tokenizer.chat_template = "{{ raise_exception('only one system message') }}"
    with pytest.raises(InputError, match=r"system, user.*only one system message.*change the roles"):
        policy.encode_prompt(QUESTION)
    policy.tokenizer.chat_template = None
    with pytest.raises(InputError, match=r"no chat template; take a policy that is tuned for chat"):
        policy.encode_prompt(QUESTION)
