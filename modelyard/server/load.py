"""How far apart trials are asked to post: at once while the server keeps up."""

from __future__ import annotations

from collections import deque

from modelyard.contract import LaunchKey

RATE_WINDOW_SECONDS = 1.0
POSTER_WINDOW_SECONDS = 10.0
"""Longer than any interval given here, or slowed posters would seem to have gone."""

POSTS_A_SECOND = 200.0
"""What a share of one core answers beside its other work; a post costs 1 to 2 ms."""

CALM_SHARE = 0.5
"""Intervals are dropped only below this share of the limit, so that they don't flutter."""


class Load:
    """Turns the rate of posts into the interval of the reply. Belongs to the event loop."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._posters: dict[LaunchKey, float] = {}
        self._slowed = False

    def posted(self, key: LaunchKey, now: float) -> float:
        """Count a post.

        Args:
            key: who posted.
            now: a monotonic clock in seconds.

        Returns:
            Shortest time to the poster's next post: 0 below ``POSTS_A_SECOND``, else such that
            all posters together keep to it.
        """
        self._recent.append(now)
        while self._recent[0] <= now - RATE_WINDOW_SECONDS:
            self._recent.popleft()
        self._posters[key] = now
        rate = len(self._recent) / RATE_WINDOW_SECONDS
        self._slowed = rate > POSTS_A_SECOND * (CALM_SHARE if self._slowed else 1.0)
        if not self._slowed:
            return 0.0
        active = now - POSTER_WINDOW_SECONDS
        self._posters = {one: at for one, at in self._posters.items() if at > active}
        return min(len(self._posters) / POSTS_A_SECOND, POSTER_WINDOW_SECONDS / 2)
