"""Which complaints are told."""

from __future__ import annotations

import pytest

from lanner.sources.complaints import FORGET, Complaints, shown_address, so_far


class Clock:
    """A clock that goes on when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_ever_fewer_are_told() -> None:
    """The 1st, 2nd, 4th, 8th: however many there are, the log stays short."""
    complaints = Complaints(Clock())
    told = [number for number in (complaints.count("tls", "no certificate") for _ in range(1000)) if number]
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_kinds_are_counted_apart() -> None:
    """Many of one kind do not hide the first of another."""
    complaints = Complaints(Clock())
    for _ in range(3):
        complaints.count("unauthorized", "/a")
    assert complaints.count("unauthorized", "/b") == 1
    assert complaints.count("forbidden", "/a") == 1
    assert complaints.count("unauthorized", "/a") == 4


@pytest.mark.parametrize(("pause", "told"), [(FORGET - 1, 0), (FORGET, 1)])
def test_after_a_long_silence_it_is_news_again(pause: float, told: int) -> None:
    """A mistake that comes back next week is told, whatever was before it."""
    clock = Clock()
    complaints = Complaints(clock)
    assert [complaints.count("tls") for _ in range(2)] == [1, 2]
    clock.now += pause
    assert complaints.count("tls") == told


@pytest.mark.parametrize(("number", "text"), [(1, ""), (2, " (2 so far)")])
def test_the_count_is_shown_from_the_second_on(number: int, text: str) -> None:
    """The first one needs none."""
    assert so_far(number) == text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("10.0.0.7", 41234), "10.0.0.7:41234"),
        (("fd00::7", 1, 0, 0), "[fd00::7]:1"),
        (None, "an unknown address"),
        ("", "an unknown address"),
    ],
)
def test_addresses(address: tuple[object, ...] | None, text: str) -> None:
    """Of both families, and none."""
    assert shown_address(address) == text
