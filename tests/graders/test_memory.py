import pytest

from rlbench.graders.memory import Memory, key


class Asked(list):
    """Answers a question with its letter in capitals, and keeps what it was asked."""

    def of(self, questions):
        def ask(positions):
            self.append([questions[position] for position in positions])
            return [questions[position].upper() for position in positions]

        return ask


@pytest.fixture
def asked():
    return Asked()


def answers(memory, asked, questions):
    return memory.answers([key(question) for question in questions], asked.of(questions))


def test_each_question_is_asked_once_and_answered_in_order(asked):
    memory = Memory()
    assert answers(memory, asked, "abab") == ["A", "B", "A", "B"]
    assert answers(memory, asked, "bca") == ["B", "C", "A"]
    assert asked == [["a", "b"], ["c"]]


def test_the_longest_unused_is_forgotten_first(asked):
    memory = Memory(kept=2)
    answers(memory, asked, "ab")
    answers(memory, asked, "a")
    answers(memory, asked, "c")
    assert len(memory) == 2
    answers(memory, asked, "a")
    answers(memory, asked, "b")
    assert asked == [["a", "b"], ["c"], ["b"]]


def test_more_questions_at_once_than_are_kept(asked):
    assert answers(Memory(kept=1), asked, "abc") == ["A", "B", "C"]


def test_what_does_not_last_is_asked_again(asked):
    memory = Memory(lasting=lambda answer: answer != "B")
    answers(memory, asked, "ab")
    answers(memory, asked, "ab")
    assert asked == [["a", "b"], ["b"]]


def test_nothing_is_remembered_of_a_failure(asked):
    memory = Memory()

    def fail(_):
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 (any error is passed on)
        memory.answers([key("a")], fail)
    assert answers(memory, asked, "a") == ["A"]


def test_wrong_number_of_answers_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        Memory().answers([key("a"), key("b")], lambda positions: ["A"])


def test_keys_tell_parts_apart():
    assert key("ab", "c") != key("a", "bc")
    assert key("1") != key(1)
    assert key("\ud800") == key("\ud800")
