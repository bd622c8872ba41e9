"""Has the store cleaned now and then, and raises alerts about what that took and about a clock that cannot be right.

In: the store and the limits of the configuration. Out: internal alerts. Removal by age is usual and only logged; what
goes because there is too much of it was sent by somebody, so it is told in alerts: at once, then at most once in an
hour, with all that has gone since, and at the end. A cleaning that fails says nothing about commits, so it is an alert
and no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lanner.alert import Alert
from lanner.config.service import ServiceConfig
from lanner.service.internal import InternalAlerts
from lanner.service.logs import logger
from lanner.store.errors import StoreError
from lanner.store.records import RemovedBySize, RetentionPolicy
from lanner.store.retention import MAX_AHEAD_NS
from lanner.store.store import Store

SECOND = 1_000_000_000
TOLD_NS = 3600 * SECOND
"""Between two alerts about removal by size."""

UNTRUSTED_CLEANINGS = 2
"""Cleanings that find the clock ahead until that is an alert: right after a long pause nothing may have come yet."""

log = logger(__name__)


class Housekeeping:
    """One thread may clean while another one ends it. `raised` takes the alerts."""

    def __init__(
        self,
        store: Store,
        settings: ServiceConfig,
        internal: InternalAlerts,
        raised: Callable[[Alert | None], None],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._internal = internal
        self._raised = raised
        self._now_ns = now_ns
        self._policy = RetentionPolicy(
            max_age_ns=int(settings.retention_age * SECOND) or None,
            max_bytes=settings.retention_size or None,
            hard_bytes=settings.retention_size * 2 or None,
        )
        self._untold: RemovedBySize | None = None
        self._told_ns = 0
        self._untrusted = 0
        self._failed = False
        self._stopping = threading.Event()
        self._cleaning = threading.Lock()

    def clean(self) -> None:
        """One cleaning; none after `stop`. What the store fails with is told once, until a cleaning works again."""
        with self._cleaning:
            if self._stopping.is_set():
                return
            now_ns = self._now_ns()
            try:
                self._clean(now_ns)
            except StoreError as error:
                log.error("old alerts cannot be removed", error=str(error))
                if not self._failed:
                    self._raised(self._internal.refused(now_ns, f"old alerts cannot be removed: {error}"))
                self._failed = True
            else:
                self._failed = False

    def stop(self) -> None:
        """No more cleanings; one that goes on ends at its next step, which this waits for."""
        self._stopping.set()
        with self._cleaning:
            pass

    def finish(self) -> None:
        """Tell at the end, after `stop`, what was still to be told."""
        self._tell(self._now_ns())

    def _clean(self, now_ns: int) -> None:
        trusted_ns = self._store.trusted_time(now_ns)
        self._judge_clock(now_ns, trusted_ns)
        result = self._store.retention(self._policy, trusted_ns, self._stopping.is_set)
        if result.removed:
            log.info("old alerts removed", removed=result.removed, bytes_left=result.bytes)
        if result.removed_unsent:
            self._raised(self._internal.removed(now_ns, result.removed_unsent))
        if result.by_size is not None:
            self._untold = result.by_size if self._untold is None else self._untold.with_more(result.by_size)
        if not 0 <= now_ns - self._told_ns < TOLD_NS:
            self._tell(now_ns)
        if result.failure is not None:
            raise result.failure

    def _tell(self, now_ns: int) -> None:
        untold, self._untold = self._untold, None
        if untold is not None:
            log.warning("alerts removed, since the store is too large", removed=untold.alerts)
            self._raised(self._internal.removed_by_size(now_ns, untold))
            self._told_ns = now_ns

    def _judge_clock(self, now_ns: int, trusted_ns: int) -> None:
        ahead_ns = now_ns - trusted_ns
        if ahead_ns <= MAX_AHEAD_NS:
            self._untrusted = 0
            return
        self._untrusted += 1
        hours = ahead_ns // (3600 * SECOND)
        if self._untrusted == 1:
            log.error("the clock is not trusted", hours_ahead=hours, next="alerts are removed by the time of the store")
        if self._untrusted == UNTRUSTED_CLEANINGS:
            self._raised(self._internal.untrusted_clock(now_ns, trusted_ns))
