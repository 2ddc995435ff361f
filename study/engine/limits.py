"""What ends a study before all is computed: its budget, or a request to stop."""

import time

from study.engine.ledger import Ledger
from study.spec import Study
from study.store import Store
from study.words.budget import exhausted

#: Why a study stopped, where the user asked for it.
BY_REQUEST = "usplit stop"

_BETWEEN_LOOKS_S = 1.0


class Limits:
    """Watches over one launch of a study."""

    def __init__(self, study: Study, ledger: Ledger, store: Store) -> None:
        self._study = study
        self._ledger = ledger
        self._request = store.stop_request(study.name)
        self._started = self._last_look = time.monotonic()

    def used_up(self, *, trainings: bool = True) -> str:
        """Return which limit of the budget is reached, in words; empty if none is.

        Parameters
        ----------
        trainings
            Whether what is to be begun is a training, so that their number counts.
        """
        spent = self._ledger.spent(self._study.name)
        spent = spent._replace(wall_hours=(time.monotonic() - self._started) / 3600)
        return exhausted(self._study.budget, spent if trainings else spent._replace(trainings=0))

    def must_end(self) -> str:
        """Return why running trials are to be ended now, or nothing; looks once a second."""
        if time.monotonic() - self._last_look < _BETWEEN_LOOKS_S:
            return ""
        self._last_look = time.monotonic()
        if self._request.exists():
            return BY_REQUEST
        # Trials that run use no further training: they may finish.
        return self.used_up(trainings=False)
