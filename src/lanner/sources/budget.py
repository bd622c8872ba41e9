"""A bound that several paths share, so that none of them can take what another one needs.

Each path has a guaranteed share of the limit, and one overdraft (the limit without one share) is for all of them:

- What stays within the share of its path is never refused, whatever the other paths hold.
- A path whose neighbours borrow nothing can hold the whole limit.
- All paths together hold at most `most`, less than twice the limit as long as the least share does not exceed an equal
  one.
"""

from __future__ import annotations

from collections.abc import Hashable


class Share:
    """What one path holds."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.used = 0

    def take(self, amount: int) -> bool:
        """False, and nothing is taken, if it is too much."""
        used = self.used + amount
        if used > self._budget.share_size and not self._budget.lends(self, used):
            return False
        self.used = used
        return True

    def give_back(self, amount: int) -> None:
        self.used -= amount


class Budget:
    """`limit`: what one path can hold while the others borrow nothing. `least_share`: guaranteed to each path, however
    many there are; the limit where that is less."""

    def __init__(self, limit: int, least_share: int = 1) -> None:
        self.limit = limit
        self._least_share = least_share
        self._shares: dict[Hashable, Share] = {}

    @classmethod
    def within(cls, most: int, paths: int) -> Budget:
        """The largest for so many paths with which all of them together hold no more than `most`."""
        return cls(max(1, most * paths // (2 * paths - 1)))

    @property
    def used(self) -> int:
        return sum(share.used for share in self._shares.values())

    @property
    def share_size(self) -> int:
        """What each path is guaranteed."""
        return min(self.limit, max(self._least_share, self.limit // max(1, len(self._shares))))

    @property
    def most(self) -> int:
        """What all paths together can hold."""
        return self.share_size * len(self._shares) + self.limit - self.share_size

    def share(self, path: Hashable) -> Share:
        """The share of a path, always the same one. A new path makes the guaranteed shares smaller."""
        if path not in self._shares:
            self._shares[path] = Share(self)
        return self._shares[path]

    def lends(self, share: Share, wanted: int) -> bool:
        """Whether a path may hold `wanted`, more than its share."""
        size = self.share_size
        borrowed = sum(other.used - size for other in self._shares.values() if other is not share and other.used > size)
        return borrowed + wanted - size <= self.limit - size
