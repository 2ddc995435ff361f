"""What a command line changes of a study: ``--set NAME=VALUE``."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from study.words.designs import Design, LatinHypercube, Population, Random, Search
from study.words.factors import Choice, Factor, Grid, IntRange, Range
from study.words.rules import Condition, Only
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting, parse_setting


class Changeable(Protocol):
    """What of a study a command line can change."""

    @property
    def base(self) -> Mapping[str, Setting]: ...
    @property
    def train(self) -> Mapping[str, Factor]: ...
    @property
    def evaluate(self) -> Mapping[str, Grid]: ...
    @property
    def design(self) -> Design: ...
    @property
    def conditions(self) -> tuple[Condition, ...]: ...


def changed_fields(study: Changeable, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a study that differ once texts from a command line are put in.

    Parameters
    ----------
    study
        The study as its file says.
    settings
        Texts by name. A factor takes levels separated by commas, a range ``low..high`` or one value;
        ``replicates`` a number of seeds, ``trials`` a number of draws, ``members`` and ``generations``
        those of a population; anything else one value.

    Raises
    ------
    ConfigError
        If a name is unknown or a text is no value of that setting.
    """
    base, train, evaluate = dict(study.base), dict(study.train), dict(study.evaluate)
    fields: dict[str, Any] = {}
    for name, text in settings.items():
        if name == "replicates":
            fields[name] = _count(name, text)
        elif name == "trials" and isinstance(study.design, LatinHypercube | Random | Search):
            fields["design"] = replace(study.design, trials=_count(name, text))
        elif name in ("members", "generations") and isinstance(study.design, Population):
            fields["design"] = replace(fields.get("design", study.design), **{name: _count(name, text)})
        elif name in train:
            train[name] = _factor(name, train[name], text)
        elif name in evaluate:
            evaluate[name] = Grid(*_levels(name, text))
        else:
            base[name] = parse_setting(name, text)
    conditions = _fitting(study.conditions, train)
    return {**fields, "base": base, "train": train, "evaluate": evaluate, "conditions": conditions}


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        what = "seeds" if name == "replicates" else name
        raise ConfigError(f"{name} = {text!r}: give a whole number of {what}, at least 1")
    return int(text)


def _factor(name: str, factor: Factor, text: str) -> Factor:
    """Return the factor of a text, of the same kind; a value or a list instead of a range is drawn from."""
    if not isinstance(factor, Range):
        return type(factor)(*_levels(name, text))
    if ".." not in text:
        return Choice(*_levels(name, text))
    low, _, high = text.partition("..")
    try:
        if isinstance(factor, IntRange):
            return IntRange(int(low), int(high), factor.step)
        return type(factor)(float(low), float(high))
    except ConfigError:
        raise
    except ValueError:
        kind = "whole numbers" if isinstance(factor, IntRange) else "numbers"
        raise ConfigError(f"{name} = {text!r}: write a range as low..high in {kind}, such as 1..4") from None


def _levels(name: str, text: str) -> list[Setting]:
    # A comma within brackets belongs to a level that is a list itself.
    return [parse_setting(name, item.strip()) for item in re.split(r",(?![^\[]*\])", text)]


def _fitting(conditions: tuple[Condition, ...], train: dict[str, Factor]) -> tuple[Condition, ...]:
    """Return the conditions without levels that are gone; a factor that never varies any more leaves `train`."""
    while True:
        kept: list[Condition] = []
        varied = len(train)
        for rule in conditions:
            if not isinstance(rule, Only):
                kept.append(rule)
                continue
            where = {name: _remaining(wanted, train.get(name)) for name, wanted in rule.where.items()}
            if all(where.values()):
                kept.append(Only(rule.factor, where))
            else:
                train.pop(rule.factor, None)
        if len(train) == varied:  # or conditions on what has just left are looked at again, whatever their order
            return tuple(rule for rule in kept if rule.factor in train)


def _remaining(wanted: Setting, factor: Factor | None) -> tuple[Setting, ...]:
    if factor is None:
        return ()
    levels = wanted if isinstance(wanted, tuple) and wanted not in factor else (wanted,)
    return tuple(level for level in levels if level in factor)
