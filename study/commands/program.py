"""How the command is called, for messages that a user copies into a shell."""

import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return ``usplit`` where a shell finds this installation by that name, else its path, from here if it lies below.

    Who has activated no environment, as after ``make demo``, would be told a command that does not exist.
    """
    own = Path(sys.executable).with_name("usplit")
    found = shutil.which("usplit")
    if not own.exists() or (found is not None and Path(found).samefile(own)):
        return "usplit"
    here = Path.cwd()
    return str(own.relative_to(here)) if own.is_relative_to(here) else str(own)
