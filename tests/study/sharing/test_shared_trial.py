"""Whoever begins a trial last is the only one that can add to it, at whatever request the others are disturbed."""

import itertools
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from study.engine.outage import is_outage
from study.engine.trial_folder import AttemptSuperseded
from study.errors import StoreError
from study.sharing.mirror import bring
from study.sharing.shared_trial import Attempt, SharedTrial
from tests.study.sharing.shared_folders import (
    FINGERPRINT,
    DisturbedObjects,
    Killed,
    at,
    go_away,
    kill,
    left_over,
    what_the_driver_sees,
    write,
)

FIRST = {"record": "1", "last": "epoch 1", "best": "epoch 1"}
SECOND = {"record": "1", "last": "epoch 2", "best": "epoch 1", "result": "done"}
#: Two files, the manifest, and the object that is needless then.
REQUESTS = 4
MOMENTS = list(itertools.product(range(REQUESTS), ["before", "after"]))


class Trial:
    """A trial with one commit of its first attempt, whose worker has written more since."""

    def __init__(self, folder: Path) -> None:
        self.objects = DisturbedObjects()
        self.trial = SharedTrial(self.objects, FINGERPRINT)
        self.folder = folder
        self.attempt = self.trial.begin(1)
        self.attempt.commit(write(folder / "worker", **FIRST))
        write(folder / "worker", last=SECOND["last"], result=SECOND["result"])

    def commit(self) -> None:
        self.attempt.commit(self.folder / "worker")

    def seen(self) -> dict[str, str]:
        return what_the_driver_sees(self.objects, self.folder / "driver")

    def begin_elsewhere(self, **files: str) -> Attempt:
        """Let another worker begin the trial, and share files of its own."""
        self.objects.calm()
        attempt, folder = self.trial.begin(1), self.folder / "elsewhere"
        assert bring(self.objects, attempt.manifest, folder)
        attempt.know(folder)
        attempt.commit(write(folder, **files))
        return attempt


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_what_has_been_shared_is_seen_and_nothing_else(trial: Trial) -> None:
    assert trial.seen() == FIRST
    trial.commit()
    assert trial.seen() == SECOND
    (trial.folder / "worker" / "best").unlink()
    trial.commit()
    assert trial.seen() == {name: text for name, text in SECOND.items() if name != "best"}
    assert left_over(trial.objects) == set()


def test_a_commit_uploads_what_has_changed_and_nothing_else(trial: Trial) -> None:
    requests: list[str] = []
    trial.objects.before = requests.append
    trial.commit()
    assert requests == ["write", "write", "exchange", "remove"]
    assert len(requests) == REQUESTS
    requests.clear()
    trial.commit()
    assert requests == []


def test_the_times_of_files_are_kept(trial: Trial) -> None:
    trial.commit()
    trial.seen()
    times = [(trial.folder / where / "last").stat().st_mtime for where in ("worker", "driver")]
    assert times[0] == pytest.approx(times[1], abs=1e-3)


@pytest.mark.parametrize(("number", "when"), MOMENTS)
def test_a_worker_killed_at_any_moment_leaves_one_whole_state(trial: Trial, number: int, when: str) -> None:
    setattr(trial.objects, when, at(number, kill))
    with pytest.raises(Killed):
        trial.commit()
    trial.objects.calm()
    seen = trial.seen()
    is_named = number > 2 or (number, when) == (2, "after")
    assert seen == (SECOND if is_named else FIRST)

    # Its successor goes on from there; what the dead one has left is removed.
    trial.begin_elsewhere(last="epoch 3")
    assert trial.seen() == {**seen, "last": "epoch 3"}
    assert left_over(trial.objects) == set()


@pytest.mark.parametrize(("number", "when"), MOMENTS)
def test_a_superseded_worker_changes_nothing_that_is_seen(trial: Trial, number: int, when: str) -> None:
    def take_over() -> None:
        trial.begin_elsewhere(last="another epoch 2")

    setattr(trial.objects, when, at(number, take_over))
    with suppress(AttemptSuperseded):
        trial.commit()
    before = trial.seen()
    assert before["last"] == "another epoch 2"
    for _ in range(2):
        write(trial.folder / "worker", last="epoch 3", late="written by nobody")
        with pytest.raises(AttemptSuperseded):
            trial.commit()
        assert trial.seen() == before
    trial.trial.seal()
    assert left_over(trial.objects) == set()
    # All that the manifest names is there, for who has fetched nothing yet.
    assert what_the_driver_sees(trial.objects, trial.folder / "another driver") == before


@pytest.mark.parametrize(("number", "when"), MOMENTS)
def test_a_request_that_fails_is_made_again_even_if_only_its_answer_was_lost(
    trial: Trial, number: int, when: str
) -> None:
    setattr(trial.objects, when, at(number, go_away))
    with suppress(StoreError):
        trial.commit()
    trial.commit()
    assert trial.seen() == SECOND
    write(trial.folder / "worker", last="epoch 3")
    trial.commit()
    assert trial.seen() == {**SECOND, "last": "epoch 3"}
    assert left_over(trial.objects) == set()


def test_files_that_a_successor_has_begun_with_are_not_removed_by_who_never_learned_that_they_were_shared(
    trial: Trial,
) -> None:
    def take_over_and_lose_the_answer() -> None:
        trial.begin_elsewhere(last="another epoch 3")
        go_away()

    trial.objects.after = at(2, take_over_and_lose_the_answer)
    with pytest.raises(StoreError):
        trial.commit()
    with pytest.raises(AttemptSuperseded):
        trial.commit()
    assert trial.seen() == {**SECOND, "last": "another epoch 3"}


def test_a_late_beginner_removes_nothing_that_its_successor_has_uploaded(trial: Trial) -> None:
    successors: list[Attempt] = []
    folder = trial.folder / "elsewhere"

    def be_overtaken() -> None:
        trial.objects.calm()
        attempt = trial.trial.begin(2)
        assert bring(trial.objects, attempt.manifest, folder)
        attempt.know(folder)
        trial.objects.before = at(1, go_away)
        with pytest.raises(StoreError):
            attempt.commit(write(folder, last="uploaded, not yet named"))
        trial.objects.calm()
        successors.append(attempt)

    trial.objects.before = at(2, be_overtaken)  # before it asks what there is to be removed
    late = trial.trial.begin(1)
    successors[0].commit(folder)
    assert trial.seen()["last"] == "uploaded, not yet named"
    with pytest.raises(AttemptSuperseded):
        late.commit(write(trial.folder / "late", last="late"))


@pytest.mark.parametrize("number", range(3))
def test_an_object_store_that_is_away_is_an_outage(trial: Trial, number: int) -> None:
    trial.objects.before = at(number, go_away)
    with pytest.raises(StoreError) as away:
        trial.commit()
    assert is_outage(away.value)


#: Of a beginning: read, replace, list.
_BEGINNINGS = list(itertools.product(range(3), ["before", "after"]))


@pytest.mark.parametrize(("number", "when"), _BEGINNINGS)
def test_a_beginning_that_is_disturbed_is_made_again(trial: Trial, number: int, when: str) -> None:
    setattr(trial.objects, when, at(number, go_away))
    with suppress(StoreError):
        trial.trial.begin(1)
    trial.objects.calm()
    later = trial.begin_elsewhere(last="epoch 2")
    assert later.manifest.generation in (2, 3)
    assert trial.seen() == {**FIRST, "last": "epoch 2"}


@pytest.mark.parametrize("number", range(2))
def test_of_two_that_begin_at_once_the_later_one_wins(trial: Trial, number: int) -> None:
    others: list[Attempt] = []
    trial.objects.before = at(number, lambda: others.append(trial.begin_elsewhere(last="theirs")))
    own = trial.trial.begin(1)
    folder = trial.folder / "own"
    assert bring(trial.objects, own.manifest, folder)
    own.commit(write(folder, last="own"))
    with pytest.raises(AttemptSuperseded):
        others[0].commit(write(trial.folder / "elsewhere", last="late"))
    assert trial.seen()["last"] == "own"


def test_of_many_that_begin_at_once_one_can_add(tmp_path: Path) -> None:
    objects, together = DisturbedObjects(), threading.Barrier(8, timeout=10)
    winners: list[str] = []

    def work(number: int) -> None:
        together.wait()
        attempt = SharedTrial(objects, FINGERPRINT).begin(number)
        together.wait()
        with suppress(AttemptSuperseded):
            attempt.commit(write(tmp_path / str(number), last=attempt.name))
            winners.append(attempt.name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert what_the_driver_sees(objects, tmp_path / "driver") == {"last": winners[0]}
    assert left_over(objects) == set()


def test_a_sealed_trial_takes_nothing_more_from_a_worker_that_was_given_up(trial: Trial) -> None:
    trial.objects.before = at(2, kill)
    with pytest.raises(Killed):
        trial.commit()
    trial.objects.calm()
    assert left_over(trial.objects)
    trial.trial.seal()
    assert left_over(trial.objects) == set()
    with pytest.raises(AttemptSuperseded):
        trial.commit()
    assert trial.seen() == FIRST


def test_a_cleared_trial_has_no_files_and_its_worker_cannot_bring_them_back(trial: Trial) -> None:
    trial.trial.clear()
    assert trial.seen() == {}
    with pytest.raises(AttemptSuperseded):
        trial.commit()
    assert [key.rpartition("/")[2] for key in trial.objects.keys("")] == ["current.json"]


def test_a_trial_that_nobody_has_begun_stays_so(tmp_path: Path) -> None:
    objects = DisturbedObjects()
    SharedTrial(objects, FINGERPRINT).clear()
    assert objects.keys("") == []


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"files": {"../outside": ["key", 1, 0.0]}}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    objects = DisturbedObjects()
    objects.write(f"trials/{FINGERPRINT}/current.json", text.encode())
    with pytest.raises(StoreError, match="is no manifest of a trial"):
        SharedTrial(objects, FINGERPRINT).seen()
