"""One bound for several paths: what each is guaranteed, what it can borrow, and what all of them hold at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.sources.budget import Budget


@pytest.mark.parametrize(
    ("limit", "least", "paths", "size", "most"),
    [
        (64, 4, 1, 64, 64),
        (64, 4, 2, 32, 96),
        (64, 4, 16, 4, 124),
        (64, 4, 100, 4, 460),  # the guarantee counts more than the limit
        (2, 4, 1, 2, 2),
        (2, 4, 5, 2, 10),
    ],
)
def test_shares(limit: int, least: int, paths: int, size: int, most: int) -> None:
    """An equal part of the limit, but no less than what a path needs."""
    budget = Budget(limit, least)
    shares = [budget.share(path) for path in range(paths)]
    assert (budget.share_size, budget.most) == (size, most)
    for share in shares:
        while share.take(1):
            pass
    assert budget.used == most


@pytest.mark.parametrize("paths", [1, 2, 3, 10])
def test_within_a_bound(paths: int) -> None:
    """As much as all paths together may hold."""
    budget = Budget.within(512, paths)
    for path in range(paths):
        budget.share(path)
    assert 512 - 2 * paths < budget.most <= 512


def test_a_path_alone_can_take_everything() -> None:
    """Also while the others hold their shares; nothing more, and nothing is taken by a refusal."""
    budget = Budget(100)
    big, *others = [budget.share(path) for path in range(4)]
    assert all(other.take(25) for other in others)
    assert big.take(100)
    assert not big.take(1)
    assert not others[0].take(1)
    assert big.used == 100


def test_what_one_borrows_costs_the_others_nothing_of_theirs() -> None:
    """Only what others would borrow as well."""
    budget = Budget(100)
    big, small, late = [budget.share(path) for path in range(3)]
    assert big.take(100)
    assert small.take(33)
    assert not small.take(1)
    big.give_back(10)
    assert small.take(10)
    assert not small.take(1)
    assert late.take(33)


def test_a_path_has_one_share() -> None:
    """A source that is started again goes on with what its requests from before still hold."""
    budget = Budget(10)
    assert budget.share(("webhook", "/a")).take(10)
    assert not budget.share(("webhook", "/a")).take(1)


@given(
    st.integers(1, 200),
    st.integers(1, 30),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 120)), max_size=60),
)
def test_whatever_is_taken(limit: int, least: int, paths: int, steps: list[tuple[int, int]]) -> None:
    """Within the share always, never more than all of them, and back to nothing."""
    budget = Budget(limit, least)
    shares = [budget.share(path) for path in range(paths)]
    for path, amount in steps:
        share = shares[path % paths]
        within = share.used + amount <= budget.share_size
        before = share.used
        taken = share.take(amount)
        assert taken or not within
        assert share.used == before + amount * taken <= limit
        assert budget.used <= budget.most
        if not taken:
            share.give_back(share.used)
    for share in shares:
        share.give_back(share.used)
    assert budget.used == 0
