"""What a store shares through an object store: seen from the driver, and from every command that reads trials."""

import secrets
import sys
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from study.engine.outage import outlast
from study.engine.trial_folder import clear
from study.sharing.mirror import fetch
from study.sharing.objects import open_objects, try_out
from study.sharing.shared_trial import SharedTrial
from study.sharing.workplace import NOISE_MODELS
from study.store import Store

_AT_A_TIME = 8


def check_shared(store: Store) -> None:
    """Refuse an object store that cannot be used, before anything is computed.

    Raises
    ------
    StoreError
        With what it answers, and the remedy.
    """
    if store.shared is not None:
        try_out(open_objects(store.shared), f"check/{secrets.token_hex(8)}")


def fetched(store: Store, fingerprint: str) -> Path:
    """Return the folder of a trial, brought up to what its workers have shared.

    Raises
    ------
    StoreError
        If the object store fails.
    """
    folder = store.trial_folder(fingerprint)
    if store.shared is not None:
        fetch(SharedTrial(open_objects(store.shared), fingerprint), folder)
    return folder


def fetch_trials(store: Store, fingerprints: Collection[str]) -> None:
    """Bring the folders of several trials up to what their workers have shared; wait while the object store is away.

    Raises
    ------
    StoreError
        If the object store refuses, or is away for too long.
    """
    _for_each(store, fingerprints, lambda trial: fetch(trial, store.trial_folder(trial.fingerprint)))


def seal_trials(store: Store, fingerprints: Collection[str]) -> None:
    """End trials: workers that were given up can add nothing to them, and what those left is removed.

    Raises
    ------
    StoreError
        If the object store refuses, or is away for too long.
    """

    def seal(trial: SharedTrial) -> None:
        seen = trial.seen()
        if seen is not None and not seen.manifest.is_sealed:
            trial.seal()

    _for_each(store, fingerprints, seal)


def clear_trials(store: Store, fingerprints: Collection[str]) -> None:
    """Remove what has been computed of trials, so that they start anew.

    Raises
    ------
    StoreError
        If the object store refuses, or is away for too long.
    """

    def clear_shared(trial: SharedTrial) -> None:
        trial.clear()
        fetch(trial, store.trial_folder(trial.fingerprint))

    _for_each(store, fingerprints, clear_shared)
    for fingerprint in fingerprints:
        clear(store.trial_folder(fingerprint))


def _for_each(store: Store, fingerprints: Collection[str], work: Callable[[SharedTrial], object]) -> None:
    """Do some work with each trial, where the store shares them through an object store."""
    if store.shared is None or not fingerprints:
        return
    objects = open_objects(store.shared)

    def work_on_all() -> None:
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            # The results are asked for, so that a failure is raised here.
            list(pool.map(lambda fingerprint: work(SharedTrial(objects, fingerprint)), fingerprints))

    outlast(work_on_all, waiting=_say)


def _say(reason: str) -> None:
    sys.stderr.write(f"warning: {reason}: waiting until it answers\n")


def share_noise_model(store: Store, path: str | None) -> None:
    """Let workers find a noise model of the store; it is named by its content, so it is there or not.

    Raises
    ------
    StoreError
        If the object store refuses, or is away for too long.
    """
    if store.shared is None or path is None:
        return
    key, objects = f"{NOISE_MODELS}/{Path(path).name}", open_objects(store.shared)

    def share() -> None:
        if objects.read(key) is None:
            objects.write(key, Path(path).read_bytes())

    outlast(share, waiting=_say)
