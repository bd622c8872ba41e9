"""The service: what is started in which order, what runs, and how it ends.

STEPS is that order. Each step needs those before it; at the end they are undone from the last to the first, so that
sources stop taking, then what they have accepted is committed, and only then the store is closed.

Nothing waits for the store: while it cannot be opened, the server tells so, and what comes is refused with the word to
come again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lanner.alert import Alert, AlertFormat
from lanner.config import Config
from lanner.engine.engine import Engine, Progress
from lanner.engine.field_limit import FieldLimit
from lanner.engine.loader import LoadResult
from lanner.engine.ruleset import Ruleset
from lanner.pipeline import Pipeline
from lanner.server.app import status_app
from lanner.server.facts import Facts, FileDigest
from lanner.server.metrics import Metrics
from lanner.server.server import NAME as SERVER
from lanner.server.server import StatusServer
from lanner.service.accounts import Accounts
from lanner.service.evaluation import Evaluator
from lanner.service.housekeeping import Housekeeping
from lanner.service.internal import InternalAlerts
from lanner.service.kept_event import KeptEvent
from lanner.service.log_output import LogOutput
from lanner.service.logs import logger
from lanner.service.moderation import Moderator
from lanner.service.opening import LateStore
from lanner.service.records import INTERNAL, Recorder
from lanner.service.redaction import Redactor
from lanner.service.refusals import RefusalWatch
from lanner.service.silence import SilenceWatch, Silent
from lanner.service.stdout import Cursor, Stdout, forget
from lanner.service.supervisor import State, Supervisor, Watched
from lanner.service.wiring import Wiring, path_settings
from lanner.sources.base import Unavailable
from lanner.store.committer import Committer
from lanner.store.errors import StoreError
from lanner.store.place import identity, place
from lanner.store.records import AlertRecord, Batch
from lanner.store.store import Store, make_store

SECOND = 1_000_000_000
LOOK = 1.0
"""Seconds between two looks at silence, refusals and the store."""

RETENTION = 300.0
"""Seconds between two cleanings; the first comes as soon as the store is open."""

PATIENCE = 2.0
"""Seconds that the sources are held back for a store that is being opened, so that usually no sender is refused."""

LONGEST_STORE_WAIT = 5.0
STDOUT_TIME = 3.0
LAST_LINE_SECONDS = 0.5
SWITCH = 0.001
"""Seconds a thread may go on while others wait: the event loop must not wait long for the one with odd bodies."""

MAX_OWED = 1000
"""Internal alerts that wait for a store that does not take them."""

NOT_YET = "the store is being opened"
OPENING = "opening the store"
SOURCES = "sources"

log = logger(__name__)


COLLECT = 20_000
"""New containers that are not freed, after which the collector looks for cycles: more than the events of a body make.
Events and alerts have none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds. `seconds`: how long to run, 0 for ever. `buffered`: standard output may wait. `log`:
    what writes to standard error."""

    rules_files: Sequence[Path]
    seconds: float = 0
    buffered: bool = False
    log: LogOutput | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What was read from the store when it was opened: who was heard before, and where standard output goes on."""

    heard: Sequence[tuple[str, str]]
    cursor: Cursor | None


class Service:
    """One run of the service."""

    def __init__(self, config: Config, loaded: LoadResult, wiring: Wiring, options: Options) -> None:
        self._config = config
        self._settings = config.service
        self._loaded = loaded
        self._options = options
        self._started_ns = time.time_ns()
        self._stop = asyncio.Event()
        self._accounts = Accounts()
        self._metrics = Metrics()
        self._store_failure = NOT_YET
        self._failing_since = time.monotonic()
        self._fatal: StoreError | None = None
        self._owed: list[tuple[str, AlertRecord]] = []
        self._unowed = 0  # dropped, since too many were owed
        self._heard_before = False
        self._first_event_told = False
        self._silence = SilenceWatch(self._settings.silence)
        self._moderator = Moderator()
        self._refusals = RefusalWatch()
        self._budget = wiring.budget
        self._status_connections = wiring.descriptors.status_connections
        self._watched = wiring.sources
        self._notes = wiring.notes
        # made by the steps
        self._store: Store
        self._late: LateStore
        self._tried = asyncio.Event()
        self._committer: Committer
        self._cursor: Cursor | None = None
        self._stdout: Stdout | None = None
        self._recorder: Recorder
        self._internal: InternalAlerts
        self._pipeline: Pipeline
        self._housekeeping: Housekeeping
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> int:
        """Runs until a signal, the end of all sources, or the time that was asked for; the exit code.

        Raises StoreError for a store that can never work, and for one that could not be opened until the end.
        """
        sys.setswitchinterval(SWITCH)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        if self._options.seconds:
            loop.call_later(self._options.seconds, self._stop.set)
        done: list[Step] = []
        try:
            for step in STEPS:
                if self._stop.is_set():
                    break
                done.append(step)
                await step.start(self)
            # What has been loaded stays: the collector need not look at it again and again, nor after every few events.
            gc.collect()
            gc.freeze()
            gc.set_threshold(COLLECT, *gc.get_threshold()[1:])
            await self._stop.wait()
        finally:
            accepted = SOURCES in self._tasks
            if accepted:
                log.info("stopping", reason="finishing what was accepted")
            for step in reversed(done):
                try:
                    await step.stop(self)
                except Exception as error:
                    log.error("a step of stopping failed", step=step.name, error=str(error))
            if accepted:
                log.info("stopped", **self._summary())
        if self._fatal is not None:
            raise self._fatal
        if OPENING in self._tasks and not self._late.is_open:
            raise StoreError(f"stopped before the store could be opened: {self._late.failure}", retryable=True)
        return 0

    def _signalled(self, number: int) -> None:
        if self._stop.is_set():
            log.error("stopped at once", reason="a second signal came while finishing")
            if self._options.log is not None:
                self._options.log.finish(LAST_LINE_SECONDS)
            os._exit(128 + number)
        log.info("signal received", signal=signal.Signals(number).name)
        self._stop.set()

    def _summary(self) -> dict[str, int]:
        accounts = self._accounts.sources.values()
        words = ("received", "evaluated", "duplicate", "malformed")
        return {word: sum(getattr(account, word) for account in accounts) for word in words}

    # the steps

    async def _make_store(self) -> None:
        self._store = make_store(self._settings.store)
        self._late = LateStore(self._store, NOT_YET)

    async def _close_store(self) -> None:
        if hasattr(self, "_store"):
            await _bounded(self._store.close, 5, "closing the store")

    async def _start_opening(self) -> None:
        self._tasks[OPENING] = asyncio.create_task(self._open_store(), name=OPENING)
        await _happens(self._tried, PATIENCE)
        if self._fatal is not None:
            raise self._fatal

    async def _open_store(self) -> None:
        """Tries until the store is open; one that can never work ends the run."""
        wait = 1.0
        while True:
            try:
                opened = await asyncio.to_thread(self._looked_into)
            except StoreError as error:
                if not error.retryable:
                    self._fatal = error
                    self._stop.set()
                    return
                self._late_still(str(error), wait)
            except Exception as error:  # a fault of ours: to end is better than to refuse for ever
                log.error("the store cannot be opened", error=repr(error), exc_info=error)
                self._fatal = StoreError(f"the store cannot be opened: {error!r}", retryable=False)
                self._stop.set()
                return
            else:
                self._begin(opened)
                return
            finally:
                self._tried.set()
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_STORE_WAIT)

    def _late_still(self, reason: str, wait: float) -> None:
        """The store could not be opened. Logged where that is news."""
        if reason != self._store_failure:
            log.error("the store cannot be opened; senders are told to come again", error=reason)
        if self._store_failure == NOT_YET:
            self._raise("", self._internal.refused(time.time_ns(), reason))
        log.debug("the store cannot be opened", error=reason, next_try=f"{wait:g}s")
        self._store_failure = self._late.failure = reason

    def _looked_into(self) -> Opened:
        """Opens the store, and reads what has to be known before the first commit. Raises StoreError."""
        self._store.connect()
        heard = [(c.source, c.cluster) for c in self._store.counters().sources if c.last_received_ns]
        # In a shared store each host has a standard output of its own.
        name = "stdout" if self._settings.store.startswith("sqlite") else f"stdout {self._config.hostname}"
        if self._settings.stdout:
            return Opened(heard, Cursor(self._store, name))
        forget(self._store, name)
        return Opened(heard, None)

    def _begin(self, opened: Opened) -> None:
        """The store is open: from here on it takes commits."""
        self._cursor = opened.cursor
        if self._cursor is not None:
            self._stdout = Stdout(
                sys.stdout.fileno(),
                self._config.json_output,
                self._options.buffered,
                self._store,
                self._cursor.start,
                self._cursor.end,
            )
            self._committer.subscribe(self._stdout.write)
            self._committer.when_in_doubt(self._stdout.doubt)
        names = {source.name for source in self._watched}
        known = [key for key in opened.heard if key[0] in names]
        self._heard_before = bool(known)
        self._silence.expect(known, time.time_ns())
        late = {} if self._store_failure == NOT_YET else {"after": _since(self._failing_since)}
        self._store_failure = ""
        self._late.open()
        log.info("store opened", store=place(self._settings.store), **late)

    async def _stop_opening(self) -> None:
        await self._end(OPENING)

    async def _start_committer(self) -> None:
        self._committer = Committer(self._late)

    async def _stop_committer(self) -> None:
        await _bounded(self._committer.close, self._settings.limits.stop, "the last commits")
        if self._stdout is not None:
            await _bounded(partial(self._stdout.close, STDOUT_TIME), STDOUT_TIME + 1, "standard output")
            await _bounded(self._save_cursor, STDOUT_TIME, "noting how far standard output has come")

    async def _make_pipeline(self) -> None:
        config, settings = self._config, self._settings
        form = AlertFormat.of(config)
        redactor = Redactor(settings.redact)
        limit = FieldLimit(settings.limits.field)
        self._internal = InternalAlerts(form, config.priority, limit)
        self._recorder = Recorder(redactor, KeptEvent(settings.limits.kept_event, limit), limit, form)

        progress = Progress()

        def evaluator(ruleset: Ruleset) -> Evaluator:
            engine = Engine(ruleset, config, progress)
            return Evaluator(engine, form, self._internal, self._recorder, redactor)

        ruleset = self._loaded.ruleset
        limits = {source.name: source.event_limit for source in self._watched if source.event_limit is not None}
        self._pipeline = Pipeline(
            evaluator(ruleset),
            lambda: evaluator(ruleset.copy()),
            self._recorder,
            self._internal,
            self._moderator,
            self._store,
            self._committer,
            self._accounts,
            self._refusals,
            lambda source: limits.get(source, settings.limits.event),
            max(1, round(settings.limits.retry_after)),
            self._store_refused,
            self._metrics.committed,
            self._secret_problem,
        )

    async def _close_pipeline(self) -> None:
        await _bounded(self._pipeline.close, self._settings.limits.stop, "large bodies")

    async def _start_sources(self) -> None:
        sources = Supervisor(self._watched, self._pipeline.sink)
        task = asyncio.create_task(sources.run(), name=SOURCES)
        task.add_done_callback(lambda _: self._stop.set())
        self._tasks[SOURCES] = task

    async def _stop_sources(self) -> None:
        if not await self._end(SOURCES, self._settings.limits.stop + 10):
            log.error("sources did not end in time")

    async def _end(self, name: str, seconds: float = 10) -> bool:
        """Cancel a task that was perhaps not started; whether it has ended within the time."""
        task = self._tasks.get(name)
        if task is None:
            return True
        task.cancel()
        _, late = await asyncio.wait([task], timeout=seconds)
        return not late

    async def _start_server(self) -> None:
        settings = self._settings.server
        if not settings.enabled:
            return
        facts = Facts(
            started_ns=self._started_ns,
            hostname=self._config.hostname,
            rules=self._loaded.rules,
            rules_files=_digests(self._options.rules_files),
            config_files=_digests(map(Path, self._config.files)),
            accounts=self._accounts,
            sources=self._watched,
            store=place(self._settings.store),
            store_identity=lambda: identity(self._settings.store),
            store_failure=lambda: self._store_failure,
            waiting=lambda: self._committer.waiting,
            in_flight=lambda: self._budget.used,
            silence=lambda: self._silence.seconds(time.time_ns()),
            silent=lambda: self._silence.silent,
            overloaded=lambda: self._refusals.overloaded(time.time_ns()),
            unwritten=lambda: 0 if self._stdout is None else self._stdout.unwritten,
            log_dropped=lambda: 0 if self._options.log is None else self._options.log.dropped,
        )
        self._metrics.tell_of(facts)

        def make() -> StatusServer:
            app = status_app(
                facts,
                self._metrics,
                settings.healthz,
                settings.metrics,
                path_settings(settings.access),
                partial(self._secret_problem, SERVER, ""),
            )
            return StatusServer(app, settings, self._status_connections)

        server = Supervisor([Watched(SERVER, "status server", make)], self._pipeline.sink)
        self._tasks[SERVER] = asyncio.create_task(server.run(), name=SERVER)

    async def _stop_server(self) -> None:
        await self._end(SERVER)

    async def _start_watching(self) -> None:
        self._housekeeping = Housekeeping(self._store, self._settings, self._internal, partial(self._raise, ""))
        for name, (work, seconds) in self._regular().items():
            self._tasks[name] = asyncio.create_task(_repeat(work, seconds), name=name)
        self._tell_where_everything_is()

    def _regular(self) -> dict[str, tuple[Callable[[], Awaitable[None]], float]]:
        """What is done again and again, and how many seconds are in between."""
        return {
            "look": (self._look, LOOK),
            "look at the store": (self._look_at_store, 2 * LOOK),
            "note standard output": (self._note_stdout, 2 * LOOK),
            "retention": (self._retain, RETENTION),
        }

    async def _stop_watching(self) -> None:
        """Runs before the sources stop; what they refuse from here on is counted at the very end."""
        await _bounded(self._housekeeping.stop, self._settings.limits.stop, "removing old alerts")
        for name in self._regular():
            await self._end(name)

    async def _nothing(self) -> None:
        """What has nothing to start."""

    async def _flush(self) -> None:
        if hasattr(self, "_housekeeping"):
            self._housekeeping.finish()
        if self._unowed:
            log.error("internal alerts were dropped", alerts=self._unowed)
        await asyncio.wait_for(self._look(last=True), self._settings.limits.stop)

    # what goes on while it runs

    async def _look(self, last: bool = False) -> None:
        """Once a second: refusals into the store, silence, the hint when nothing comes, alerts that wait."""
        now = time.time_ns()
        for (source, cluster), reasons in self._accounts.take_refusals().items():
            try:
                await self._pipeline.commit(Batch(source, cluster, now, refused=reasons))
            except Unavailable:
                self._accounts.give_back(source, cluster, reasons)
        for news in self._silence.look(self._accounts.sources, now):
            where = {"source": news.source, "cluster": news.cluster, "seconds": round(news.seconds)}
            if isinstance(news, Silent):
                log.warning("cluster went silent", **where)
                alert = self._internal.silent(now, news.source, news.cluster, news.seconds)
                self._raise(news.cluster, alert, news.source)
            else:
                log.info("cluster is heard again", **where)
        for one in self._moderator.sums(now, everything=last):
            alert = self._internal.left_out(now, *one)
            self._raise(one.cluster, alert, one.source)
        for refused in self._refusals.due(now, everything=last):
            alert = self._internal.not_taken(now, refused)
            self._raise(refused.last.cluster, alert, f"{refused.source} {refused.last.reason}")
        self._hint(now)
        while self._owed:
            cluster, record = self._owed[0]
            try:
                await self._pipeline.commit(Batch(INTERNAL, cluster, now, alerts=(record,)))
            except Unavailable:
                return
            del self._owed[0]

    async def _look_at_store(self) -> None:
        """Notice that the store has failed while nobody wrote, and that it works again."""
        await self._late.opened()
        healthy = await asyncio.to_thread(self._store.healthy)
        if not healthy:
            self._store_refused(str(self._store.failure or f"{self._store.name} does not answer"))
        elif self._store_failure:
            log.info("the store works again", after=_since(self._failing_since))
            self._store_failure = ""

    async def _note_stdout(self) -> None:
        await asyncio.to_thread(self._save_cursor)

    def _save_cursor(self) -> None:
        """Note in the store how far standard output has come, if the store works. Without, lines come again."""
        if self._cursor is None or self._stdout is None:
            return
        with suppress(StoreError):
            # In this order: what was committed before the look is told before nothing waits any more.
            end = self._store.last_seq()
            self._cursor.save(self._stdout.passed(0 if self._committer.waiting[0] else end))

    async def _retain(self) -> None:
        await self._late.opened()
        await asyncio.to_thread(self._housekeeping.clean)

    def _store_refused(self, reason: str) -> None:
        """Told once for each failure, until the store works again."""
        if not self._store_failure:
            self._failing_since = time.monotonic()
            log.error("the store refused; senders are told to come again", error=reason)
            self._raise("", self._internal.refused(time.time_ns(), reason))
        self._store_failure = reason

    def _secret_problem(self, source: str, cluster: str, problem: str) -> None:
        """Told once for each cause."""
        self._raise(cluster, self._internal.secret(time.time_ns(), source, cluster, problem), source)

    def _raise(self, cluster: str, alert: Alert | None, source: str = "") -> None:
        """Have an internal alert committed as soon as the store takes it. Of those that are too many, the first and the
        number at the end are logged."""
        if alert is None:
            return
        if len(self._owed) >= MAX_OWED:
            if not self._unowed:
                log.error("internal alerts are dropped: too many wait for the store", waiting=MAX_OWED)
            self._unowed += 1
            return
        alert.event.audit_id = f"{alert.rule} {source} {cluster} {alert.time}"
        self._owed += [(cluster, record) for record in self._recorder.records(alert.event, [alert], cluster, Counter())]

    def _hint(self, now_ns: int) -> None:
        """Say once that no event has come, and where to look. What stood in the store at the start has come."""
        limit = self._settings.silence.first_event
        if self._first_event_told or not limit or now_ns - self._started_ns < limit * SECOND or not self._late.is_open:
            return
        self._first_event_told = True
        accounts = self._accounts.sources.values()
        if self._heard_before or any(account.received for account in accounts):
            return
        webhooks = [source for source in self._watched if source.kind == "webhook"]
        down = {source.name: source.error or source.state.value for source in webhooks if not source.sound}
        refused = sum((account.refused for account in accounts), Counter[str]())
        found: dict[str, object] = {"refused": refused.total()}
        if refused:
            found["reasons"] = " ".join(f"{reason}:{count}" for reason, count in sorted(refused.items()))
        if down:
            found["not_listening"] = "; ".join(f"{name}: {reason}" for name, reason in down.items())
        log.warning(
            "no event has come yet",
            minutes=round(limit / 60, 1),
            listening=" ".join(source.place for source in webhooks if source.state is State.RUNNING) or "nowhere",
            **found,
            check="the API server's flags --audit-policy-file and --audit-webhook-config-file, the server URL in that "
            "kubeconfig as seen from the API server's host, and apiserver_audit_error_total in its /metrics",
        )

    def _tell_where_everything_is(self) -> None:
        rules = self._loaded.rules
        log.info(
            "rules loaded",
            enabled=sum(rule.enabled for rule in rules),
            all=len(rules),
            files=" ".join(str(path) for path in self._options.rules_files),
        )
        log.info("configuration read", files=" ".join(self._config.files) or "none: the defaults hold")
        for note in self._notes:
            log.info(note)
        for source in self._watched:
            if source.warning:
                log.warning(f"the source {source.warning}", source=source.name, place=source.place)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the service: how it starts and how it stops."""

    name: str
    start: Callable[[Service], Awaitable[None]]
    stop: Callable[[Service], Awaitable[None]]


STEPS: tuple[Step, ...] = (
    Step("store", Service._make_store, Service._close_store),
    Step("committer", Service._start_committer, Service._stop_committer),
    Step("pipeline", Service._make_pipeline, Service._close_pipeline),
    Step(OPENING, Service._start_opening, Service._stop_opening),
    # Undone when the sources have stopped: what they refused last, and alerts that still wait, are committed.
    Step("last words", Service._nothing, Service._flush),
    Step(SERVER, Service._start_server, Service._stop_server),
    Step(SOURCES, Service._start_sources, Service._stop_sources),
    Step("watch", Service._start_watching, Service._stop_watching),
)


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do it at once, then again and again; a failure is logged and does not end it."""
    while True:
        try:
            await work()
        except Exception as error:
            log.error("a regular task failed", task=getattr(work, "__name__", ""), error=str(error))
        await asyncio.sleep(seconds)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _since(monotonic: float) -> str:
    return f"{time.monotonic() - monotonic:.0f}s"


async def _bounded(work: Callable[[], None], seconds: float, what: str) -> None:
    """Do it in a thread that nobody waits for at the end of the process, for so long at most."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True).start()
    if not await _happens(done, seconds):
        log.error("not finished in time", what=what, seconds=seconds)


def _digests(paths: Sequence[Path] | map[Path]) -> list[FileDigest]:
    return [digest for digest in map(FileDigest.of, paths) if digest is not None]
