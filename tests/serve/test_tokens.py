"""A stream token works once, and not for long."""

from __future__ import annotations

from voicelat.serve.tokens import MAX_WAITING, StreamTokens


def test_a_token_works_once() -> None:
    tokens = StreamTokens(60)
    token = tokens.issue(0)
    assert tokens.redeem(token, 1)
    assert not tokens.redeem(token, 1)


def test_a_token_works_until_its_life_is_over() -> None:
    tokens = StreamTokens(60)
    in_time, too_late = tokens.issue(0), tokens.issue(0)
    assert tokens.redeem(in_time, 59.9)
    assert not tokens.redeem(too_late, 60)


def test_what_was_never_issued_does_not_work() -> None:
    tokens = StreamTokens(60)
    tokens.issue(0)
    assert not tokens.redeem("", 1)
    assert not tokens.redeem("guessed", 1)


def test_no_two_tokens_are_the_same() -> None:
    tokens = StreamTokens(60)
    assert len({tokens.issue(0) for _ in range(100)}) == 100


def test_beyond_the_limit_the_oldest_token_is_forgotten() -> None:
    tokens = StreamTokens(60)
    first, second = tokens.issue(0), tokens.issue(0)
    for _ in range(MAX_WAITING - 1):
        tokens.issue(0)
    assert not tokens.redeem(first, 1)
    assert tokens.redeem(second, 1)


def test_tokens_that_expired_make_room() -> None:
    tokens = StreamTokens(60)
    for _ in range(MAX_WAITING):
        tokens.issue(0)
    fresh = [tokens.issue(61) for _ in range(10)]
    assert all(tokens.redeem(token, 62) for token in fresh)
