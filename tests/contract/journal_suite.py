"""What every journal does, whatever its database. Subclass ``JournalSuite`` with a fixture ``url``.

The clock isn't waited for: a lease is made old by opening the second journal with a shorter
patience, of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from modelyard.api import (
    Desired,
    FailureView,
    Owner,
    StageState,
    SweepRequest,
    SweepState,
    TrialState,
)
from modelyard.contract import (
    Batch,
    Body,
    Checkpoint,
    Document,
    Event,
    Exit,
    Failure,
    LaunchKey,
    Log,
    Metrics,
    Phase,
    Stage,
    Stop,
    TrialResult,
    TrialSpec,
)
from modelyard.errors import Fenced, InputError, LeaseLost, ModelyardError
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.journal.rows import StageRow, TrialRow
from modelyard.journal.tables import lease

DOCUMENT = Document(experiment={"name": "churn"}, store="file:///s")
Opener = Callable[..., Journal]


def key(task: str = "0", number: int = 1, sweep: str = "aaaaaaaa") -> LaunchKey:
    return LaunchKey(sweep=sweep, task=task, number=number)


def spec(of: LaunchKey, **more: Any) -> TrialSpec:
    return TrialSpec(key=of, stage=Stage.TRIAL, document=DOCUMENT.digest, **more)


def batch(*bodies: Body, start: int = 1) -> Batch:
    events = (Event(sequence=start + n, at=0.0, body=body) for n, body in enumerate(bodies))
    return Batch(events=tuple(events))


def metrics(step: int, value: float = 0.5) -> Metrics:
    return Metrics(step=step, values={"validation_accuracy": value})


class JournalSuite:
    """Behaviour of a journal on an empty database."""

    @pytest.fixture
    def opened(self, url: str) -> Iterator[Opener]:
        """Opens journals on one database; each but those with ``held=False`` takes the lease."""
        migrate(url)
        journals: list[Journal] = []

        def opener(*, lease_seconds: float = 60.0, held: bool = True) -> Journal:
            journal = Journal.open(url, lease_seconds=lease_seconds)
            journals.append(journal)
            if held:
                journal.acquire("http://127.0.0.1:1")
            return journal

        yield opener
        for journal in journals:
            journal.close()

    @pytest.fixture
    def journal(self, opened: Opener) -> Journal:
        """A journal that holds the lease and one sweep."""
        journal = opened()
        journal.create_sweep("aaaaaaaa", SweepRequest(experiment={"name": "churn"}), DOCUMENT)
        return journal

    def test_migrating_again_changes_nothing(self, url: str) -> None:
        """The second migration finds nothing to do and names the same revision."""
        assert migrate(url) == migrate(url)

    def test_a_second_server_is_refused_and_told_who_holds_it(self, opened: Opener) -> None:
        """While the first lives, the second gets its process and address."""
        opened()
        with pytest.raises(ModelyardError, match=r"http://127\.0\.0\.1:1.*holds the journal"):
            opened()

    def test_writing_without_the_lease_is_refused(self, opened: Opener) -> None:
        """A journal that never acquired reads, but doesn't write."""
        reader = opened(held=False)
        assert reader.sweeps() == []
        with pytest.raises(LeaseLost):
            reader.set_cursor("recorder", 1)

    def test_a_lease_that_lapsed_is_taken_and_the_old_holder_finds_out(
        self, opened: Opener
    ) -> None:
        """The epoch grows; the first holder's next write lands nowhere."""
        first = opened()
        second = opened(lease_seconds=1e-9, held=False)
        assert second.acquire("http://127.0.0.1:2") == 2
        with pytest.raises(LeaseLost):
            first.create_sweep("aaaaaaaa", SweepRequest(experiment={"name": "x"}), DOCUMENT)
        with pytest.raises(LeaseLost):
            first.renew()
        second.renew()
        assert second.sweeps() == []

    def test_a_released_lease_is_taken_at_once(self, opened: Opener) -> None:
        """After release the next one acquires, and the first may not write."""
        first = opened()
        first.release()
        opened()
        with pytest.raises(LeaseLost):
            first.set_cursor("recorder", 1)

    def test_the_lease_of_a_dead_process_is_taken_at_once(self, opened: Opener) -> None:
        """A holder of this host whose pid belongs to a process of another start time is gone."""
        first = opened()
        with first._database.writing() as connection:
            connection.execute(update(lease).values(started=1.0))
        assert opened(held=False).acquire("http://127.0.0.1:2") == 2

    def test_the_clock_is_the_databases(self, opened: Opener) -> None:
        """Two journals of one database agree on the time, and it doesn't run backwards."""
        one, other = opened(), opened(held=False)
        times = [one.now(), other.now(), one.now()]
        assert times == sorted(times)
        assert times[2] - times[0] < 60

    def test_a_sweep_is_found_by_id_name_and_age(self, journal: Journal) -> None:
        """An id wins over a name; a name, and nothing, mean the newest."""
        again = SweepRequest(experiment={"name": "churn"}, flow_run="f")
        journal.create_sweep("bbbbbbbb", again, DOCUMENT)
        assert journal.sweep("aaaaaaaa").id == "aaaaaaaa"
        assert journal.sweep("churn").id == "bbbbbbbb"
        assert journal.sweep(None).id == "bbbbbbbb"
        assert journal.create_sweep("cccccccc", again, DOCUMENT).id == "bbbbbbbb"
        assert journal.document(DOCUMENT.digest) == DOCUMENT
        with pytest.raises(InputError, match="nosuch"):
            journal.sweep("nosuch")

    def test_a_wish_to_cancel_is_final(self, journal: Journal) -> None:
        """No later wish takes a cancel back, and a note is kept once."""
        journal.update_sweep("aaaaaaaa", desired=Desired.CANCELLED, note="one")
        row = journal.update_sweep("aaaaaaaa", desired=Desired.RUNNING, note="one")
        assert row.desired is Desired.CANCELLED
        assert row.notes == ("one",)
        ended = journal.update_sweep("aaaaaaaa", state=SweepState.CANCELLED)
        assert ended.ended_at is not None

    def test_an_owner_that_falls_silent_lapses(self, journal: Journal) -> None:
        """Only the owner renews; one silent for longer than asked about is listed."""
        owner = Owner(run="r", process=1, started=1.0)
        assert journal.lapsed(0.0) == []
        journal.set_owner("aaaaaaaa", owner)
        assert journal.renew_owner("aaaaaaaa", owner)
        assert not journal.renew_owner("aaaaaaaa", Owner(run="s", process=2, started=1.0))
        assert journal.lapsed(3600.0) == []
        assert [row.id for row in journal.lapsed(-1.0)] == ["aaaaaaaa"]
        journal.set_owner("aaaaaaaa", None)
        assert journal.lapsed(-1.0) == []

    def test_a_token_opens_one_sweep_until_it_is_replaced(self, journal: Journal) -> None:
        """A hash leads to its sweep; a newer one of the same sweep makes it void."""
        again = SweepRequest(experiment={"name": "churn"})
        journal.create_sweep("bbbbbbbb", again, DOCUMENT)
        journal.set_token("aaaaaaaa", "h1")
        journal.set_token("bbbbbbbb", "h2")
        assert journal.sweep_of_token("h1") == "aaaaaaaa"
        journal.set_token("aaaaaaaa", "h3")
        found = [journal.sweep_of_token(hashed) for hashed in ("h1", "h2", "h3")]
        assert found == [None, "bbbbbbbb", "aaaaaaaa"]

    def test_each_end_of_a_sweep_is_retired_once(self, journal: Journal) -> None:
        """A sweep is listed from its end until it is retired, and again after its next end."""
        journal.set_retired("aaaaaaaa")
        assert journal.unretired() == []
        journal.update_sweep("aaaaaaaa", state=SweepState.INTERRUPTED)
        assert journal.unretired() == ["aaaaaaaa"]
        journal.set_retired("aaaaaaaa")
        assert journal.unretired() == []
        journal.update_sweep("aaaaaaaa", state=SweepState.RUNNING)
        journal.update_sweep("aaaaaaaa", state=SweepState.FAILED)
        assert journal.unretired() == ["aaaaaaaa"]

    def test_a_stage_keeps_its_first_end_until_it_is_restarted(self, journal: Journal) -> None:
        """Begun twice it is one stage; ended twice the first end stays; a failed one restarts."""
        begun = journal.begin_stage("aaaaaaaa", "train")
        failure = FailureView(category="bug", summary="it broke")
        common: Any = {"sweep": "aaaaaaaa", "stage": "train", "started_at": begun.started_at}
        journal.end_stage(StageRow(**common, state=StageState.FAILED, failure=failure))
        journal.end_stage(StageRow(**common, state=StageState.COMPLETE))
        recorded = journal.begin_stage("aaaaaaaa", "train")
        assert (recorded.state, recorded.failure) == (StageState.FAILED, failure)
        journal.restart_stage("aaaaaaaa", "train")
        outcome = {"metrics": {"accuracy": 1.0}}
        journal.end_stage(StageRow(**common, state=StageState.COMPLETE, outcome=outcome))
        assert journal.restart_stage("aaaaaaaa", "train").outcome == outcome
        assert [row.state for row in journal.stages("aaaaaaaa")] == [StageState.COMPLETE]

    def test_a_trial_keeps_its_end_and_the_recorders_marks(self, journal: Journal) -> None:
        """Once ended a trial changes no more; run and recorded are the recorder's alone."""
        waiting = TrialRow(
            sweep="aaaaaaaa", number=0, state=TrialState.WAITING, parameters={"x": 0.5}
        )
        journal.put_trial(waiting)
        journal.set_run("aaaaaaaa", 0, "run")
        ended = TrialRow(
            sweep="aaaaaaaa",
            number=0,
            state=TrialState.COMPLETE,
            parameters={"x": 0.5},
            values=(0.9,),
            metrics={"accuracy": 0.9},
            health={"stability": 0.5, "health": 0.5},
            total=0.78,
            numbers="file:///numbers",
        )
        journal.put_trial(ended)
        journal.put_trial(waiting)
        (row,) = journal.unrecorded()
        assert row == replace(ended, run="run")
        journal.set_recorded("aaaaaaaa", 0)
        assert journal.unrecorded() == []
        assert journal.trials("aaaaaaaa")[0].recorded

    def test_a_launch_is_committed_once(self, journal: Journal) -> None:
        """The same spec again is the same row; another spec under its key is an error."""
        first = journal.commit_launches([spec(key())])
        assert journal.commit_launches([spec(key())]) == first
        with pytest.raises(ModelyardError, match="another spec"):
            journal.commit_launches([spec(key(), seed=1)])

    def test_the_first_stop_and_the_first_end_stay(self, journal: Journal) -> None:
        """A later reason changes neither why a launch was stopped nor how it ended."""
        journal.commit_launches([spec(key())])
        journal.stop_launch(key(), Stop.PRUNED)
        journal.stop_launch(key(), Stop.CANCELLED)
        assert [row.key for row in journal.news("aaaaaaaa", 0).launches] == [key()]
        journal.end_launch(key(), FailureView(category="pruned", summary="one"))
        journal.end_launch(key(), FailureView(category="bug", summary="two"))
        (row,) = journal.launches("aaaaaaaa")
        assert row.stop is Stop.PRUNED
        assert row.failure is not None
        assert row.failure.summary == "one"
        assert journal.news("aaaaaaaa", 0).launches == ()

    def test_an_event_sent_twice_is_stored_once(self, journal: Journal) -> None:
        """A repeated batch, and one that overlaps, add only what is new."""
        journal.commit_launches([spec(key())])
        assert journal.append([(key(), batch(metrics(1), metrics(2)))]) == [2]
        assert journal.append([(key(), batch(metrics(1), metrics(2)))]) == [2]
        assert journal.append([(key(), batch(metrics(2), metrics(3), start=2))]) == [3]
        assert journal.append([(key(), Batch(events=()))]) == [3]
        assert [event.sequence for event in journal.events(0)] == [1, 2, 3]

    def test_events_of_many_launches_are_read_by_cursor(self, journal: Journal) -> None:
        """Ids grow with commits over all launches; a reader goes on from where it was."""
        for task in ("0", "1"):
            journal.commit_launches([spec(key(task))])
        journal.append([(key("0"), batch(metrics(1))), (key("1"), batch(metrics(1), metrics(2)))])
        journal.append([(key("0"), batch(metrics(2), start=2))])
        every = journal.events(0, sweep="aaaaaaaa")
        assert [event.id for event in every] == sorted(event.id for event in every)
        assert journal.events(every[0].id, limit=2) == every[1:3]
        assert len(journal.events(0, task="1")) == 2
        assert journal.cursor() == every[-1].id
        assert journal.news("aaaaaaaa", every[1].id).events == tuple(every[2:])
        journal.set_cursor("recorder", every[-1].id)
        journal.set_cursor("recorder", every[-1].id)
        assert journal.get_cursor("recorder") == every[-1].id
        assert journal.get_cursor("nobody") == 0

    def test_batches_of_one_call_are_stored_in_their_order(self, journal: Journal) -> None:
        """Several of one task in a group: what an earlier one brought decides about the later."""
        for number in (1, 2):
            journal.commit_launches([spec(key(number=number))])
        journal.commit_launches([spec(key("7"))])
        journal.commit_launches([spec(key("train"))])
        answers = journal.append(
            [
                (key(number=2), batch(metrics(1), Checkpoint(epoch=1, uri="file:///1"))),
                (key("7"), batch(metrics(1))),
                (key(number=1), batch(metrics(1))),
                (key(number=2), batch(metrics(1))),
                (key("train"), batch(TrialResult())),
                (key(number=2), batch(metrics(2), TrialResult(), start=3)),
                (key("nosuch"), batch(metrics(1))),
            ]
        )
        refused = [isinstance(answer, Fenced) for answer in answers]
        assert refused == [False, False, True, False, False, False, True]
        assert [answer for answer in answers if isinstance(answer, int)] == [2, 1, 2, 1, 4]
        events = journal.events(0, task="0")
        assert [event.sequence for event in events] == [1, 2, 3, 4]
        rows = {row.key: row for row in journal.launches("aaaaaaaa")}
        assert rows[key(number=2)].result is not None
        assert rows[key(number=2)].checkpoint == 1
        assert rows[key(number=1)].beat_at is None
        assert rows[key("train")].result is not None

    def test_a_launch_learns_from_its_events(self, journal: Journal) -> None:
        """Phase, newest checkpoint, what it said of its failure, and its result are on its row."""
        journal.commit_launches([spec(key())])
        result = TrialResult(metrics={"accuracy": float("nan")})
        bodies: list[Body] = [
            Phase(name="training", steps=True),
            Checkpoint(epoch=2, uri="file:///2"),
            Checkpoint(epoch=1, uri="file:///1"),
            Failure(exit=Exit.BUG, summary="it broke"),
            result,
        ]
        journal.append([(key(), batch(*bodies))])
        journal.append([(key(), batch(TrialResult(metrics={"accuracy": 1.0}), start=6))])
        (row,) = journal.launches("aaaaaaaa", "0")
        assert (row.phase, row.phase_steps, row.checkpoint) == ("training", True, 2)
        assert row.said is not None
        assert row.said.summary == "it broke"
        assert repr(row.result) == repr(result)
        assert row.beat_at is not None

    @pytest.mark.parametrize(
        "end", ["newer launch", "result elsewhere", "told", "ended", "unknown"]
    )
    def test_a_launch_without_a_say_is_fenced(self, journal: Journal, end: str) -> None:
        """Events of such a launch are refused whole; the other batches of the call are stored."""
        journal.commit_launches([spec(key("7"))])
        if end != "unknown":
            journal.commit_launches([spec(key())])
        if end in ("newer launch", "result elsewhere"):
            journal.commit_launches([spec(key(number=2))])
        if end == "result elsewhere":
            journal.append([(key(number=2), batch(TrialResult()))])
        if end == "told":
            row = TrialRow(sweep="aaaaaaaa", number=0, state=TrialState.PRUNED, parameters={})
            journal.put_trial(row)
        if end == "ended":
            journal.end_launch(key())
        refused, stored = journal.append(
            [(key(), batch(TrialResult())), (key("7"), batch(metrics(1)))]
        )
        assert isinstance(refused, Fenced)
        assert stored == 1
        assert journal.launches("aaaaaaaa", "7")[0].beat_at is not None
        assert all(row.result is None for row in journal.launches("aaaaaaaa") if row.key == key())

    def test_the_accepted_launch_may_repeat_itself(self, journal: Journal) -> None:
        """A result whose answer was lost is accepted again after the trial was told."""
        journal.commit_launches([spec(key())])
        journal.append([(key(), batch(TrialResult()))])
        journal.end_launch(key())
        row = TrialRow(sweep="aaaaaaaa", number=0, state=TrialState.COMPLETE, parameters={})
        journal.put_trial(row)
        assert journal.append([(key(), batch(TrialResult()))]) == [1]

    def test_a_transaction_that_fails_leaves_nothing(self, journal: Journal) -> None:
        """An exception in the midst of a write takes all of it back."""

        def torn() -> None:
            with journal._writing() as (connection, _):
                connection.execute(update(lease).values(epoch=99))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            torn()
        journal.renew()

    def test_threads_write_side_by_side(self, journal: Journal) -> None:
        """Writes from many threads are all stored, each event once."""
        for task in range(4):
            journal.commit_launches([spec(key(str(task)))])

        def post(task: int) -> list[int | Exception]:
            line = Log(lines=("x",))
            batches = [(key(str(task)), batch(line, start=first)) for first in range(1, 11)]
            return [answer for one in batches for answer in journal.append([one])]

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(post, range(4)))
        assert answers == [list(range(1, 11))] * 4
        assert len(journal.events(0)) == 40
