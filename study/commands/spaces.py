"""A search space with the changes that a command line makes to it."""

import hashlib
import json
from dataclasses import replace

from study.errors import SpaceError
from study.spaces import load_space
from study.spec import Study, override
from study.words.checks import LONGEST_NAME


def study_from(space: str, settings: list[str], name: str | None) -> Study:
    """Return the study of a search space with ``NAME=VALUE`` settings put in.

    With settings it is another study, so it gets a name of its own: the file's, and a short hash
    of the settings, so that the same command finds its results again.

    Raises
    ------
    UserError
        If the file or a setting is wrong.
    """
    study = load_space(space)
    changes = dict(parse_pair(text) for text in settings)
    changed = override(study, changes) if changes else study
    if name is not None:
        return replace(changed, name=name)
    if not changes:
        return study
    digest = hashlib.blake2b(json.dumps(changes, sort_keys=True).encode(), digest_size=3).hexdigest()
    return replace(changed, name=f"{study.name[: LONGEST_NAME - len(digest) - 1]}-{digest}")


def parse_pair(text: str) -> tuple[str, str]:
    """Return name and value of a ``--set NAME=VALUE``.

    Raises
    ------
    SpaceError
        If there is no ``=``, or no name before it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SpaceError(f"--set {text}: write NAME=VALUE, such as --set model.lc_depth=0,2,4")
    return name.strip(), value.strip()
