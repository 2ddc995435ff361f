"""Whether a study may go on under the name of an earlier one."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from study.errors import StoreError
from study.spec import Study

Description = Mapping[str, Any]


def check_extends(study: Study, known: Description | None) -> None:
    """Refuse a name that another question has: its figures would mix what cannot be compared.

    Levels, seeds and tilings may be added or left out, and a search may go further; what the levels are
    combined with, and how, must stay.

    Parameters
    ----------
    study
        What is asked now.
    known
        What `Study.describe` gave when a study of that name was last run; None where there is none.

    Raises
    ------
    StoreError
        If anything else differs.
    """
    if known is None:
        return
    asked = json.loads(json.dumps(study.describe()))  # lists for tuples, as the ledger has them
    differing = [what for what, part in _PARTS.items() if part(asked) != part(known)]
    base = sorted({name for name, _ in _base(asked).items() ^ _base(known).items()})
    if differing or base:
        names = ", ".join([*differing, *base])
        raise StoreError(
            f"the store has another study {study.name!r}, which differs in {names}: "
            "give this one a name of its own with --name, or use another --store"
        )


def _base(description: Description) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in description["base"].items()}


#: What of a design only says how far it goes.
_GROWING = ("trials", "generations")

#: What must stay, by its name in messages.
_PARTS: dict[str, Callable[[Description], Any]] = {
    "its train factors": lambda description: sorted(description["train"]),
    "its ranges": lambda description: description["ranges"],
    "its design": lambda description: {k: v for k, v in description["design"].items() if k not in _GROWING},
    "its conditions": lambda description: description["conditions"],
    "its objective": lambda description: description["objectives"],
}
