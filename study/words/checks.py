"""What is refused when a study is made: each message names the value, the rule and the remedy."""

import inspect
import re
from collections.abc import Mapping, Sequence

from study.words.designs import Adaptive, Crossed, Design, OneFactor, Population, Search
from study.words.factors import Factor, Grid, LogUniform, Range, Uniform, is_number, levels_of
from study.words.rules import AtMost, Condition, Constraint, Only, is_evaluation_setting
from study.words.stopping import Stopping
from usplit_core.errors import ConfigError, nearest
from usplit_core.settings import Setting, check_setting, setting
from usplit_core.vocabulary import HEADLINE, METRICS, MONITOR

SEED = "train.seed"
LONGEST_NAME = 61


def check_name(name: str) -> None:
    """Refuse a study name that is no name of a folder on every system."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or len(name) > LONGEST_NAME:
        raise ConfigError(
            f"study name {name!r}: use lower-case letters, digits, - and _, at most {LONGEST_NAME} of them"
        )


def check_names(
    base: Mapping[str, Setting],
    train: Mapping[str, Factor],
    evaluate: Mapping[str, Factor],
    conditions: Sequence[Condition],
) -> None:
    """Refuse settings that do not exist, stand in the wrong place, or in two."""
    conditional = {rule.factor for rule in conditions if isinstance(rule, Only)}
    for name, value in base.items():
        check_setting(name, value)
        if name == SEED:
            raise ConfigError(f"{SEED} is what replicates vary: set replicates = ({value!r},) instead")
    for name, factor in train.items():
        setting(name)
        if is_evaluation_setting(name):
            raise ConfigError(f"{name} never needs a new training: name it under evaluate, not under train")
        if name == SEED:
            raise ConfigError(f"{SEED} is what replicates vary: set replicates = {levels_of(factor)!r} instead")
        if name in base and name not in conditional:
            raise ConfigError(f"{name} is both set in base and varied in train: remove one of them")
    for name in evaluate:
        setting(name)
        if not is_evaluation_setting(name):
            raise ConfigError(f"{name} needs a new training for each level: name it under train, not under evaluate")
        if name in base:
            raise ConfigError(f"{name} is both set in base and varied in evaluate: remove one of them")


def check_factors(train: Mapping[str, Factor], evaluate: Mapping[str, Factor], design: Design) -> None:
    """Refuse factors that the design cannot take, and values that their settings cannot have."""
    word = type(design).__name__
    for name, factor in {**train, **evaluate}.items():
        if not isinstance(factor, Factor):
            raise ConfigError(
                f"{name}: {factor!r} is no factor; use such as Grid(0, 2), Choice(0, 2) or IntRange(0, 4)"
            )
    for name, factor in train.items():
        if isinstance(design, Crossed) and not isinstance(factor, Grid):
            levels = ", ".join(map(repr, levels_of(factor))) or "…"
            raise ConfigError(
                f"{name}: {word} crosses the levels of grids and cannot draw from {factor_words(factor)}; "
                f"use Grid({levels}), or a design that draws, such as design=Random(trials=20)"
            )
        if not isinstance(design, Crossed) and isinstance(factor, Grid):
            raise ConfigError(
                f"{name}: {word} draws levels and cannot cross {factor_words(factor)}; "
                f"use Choice({', '.join(map(repr, factor))}), or design=FullFactorial()"
            )
        _check_values(name, factor)
    for name, factor in evaluate.items():
        if not isinstance(factor, Grid):
            raise ConfigError(
                f"{name}: {factor_words(factor)} under evaluate; every trial is scored under every level of a Grid, "
                "so use Grid"
            )
        _check_values(name, factor)
    if not train and not isinstance(design, Crossed):
        raise ConfigError(f"{word} has nothing to draw: name at least one factor under train, or use FullFactorial()")


def factor_words(factor: Factor) -> str:
    """Return a factor as it is written in a search space."""
    return f"{type(factor).__name__}({', '.join(map(repr, factor))})" if isinstance(factor, tuple) else repr(factor)


def _check_values(name: str, factor: Factor) -> None:
    if isinstance(factor, Range):
        _check_type_of_range(name, factor)
    for value in levels_of(factor) if not isinstance(factor, Range) else (factor.low, factor.high):
        check_setting(name, value)


def _check_type_of_range(name: str, factor: Range) -> None:
    """Refuse a range over a setting that has no such numbers."""
    schema = setting(name).type.json_schema()
    kinds = {part.get("type") for part in (schema, *schema.get("anyOf", ()))}
    if not kinds & {"integer", "number"}:
        raise ConfigError(f"{name}: {factor} is a range of numbers, and this setting takes none; use Choice or Grid")
    if isinstance(factor, Uniform | LogUniform) and "number" not in kinds:
        raise ConfigError(
            f"{name}: {factor} draws fractions, and this setting takes whole numbers; "
            f"use IntRange({int(factor.low)}, {int(factor.high)})"
        )


def check_conditions(train: Mapping[str, Factor], conditions: Sequence[Condition]) -> None:
    """Refuse conditions that contradict themselves or bind nothing."""
    for rule in conditions:
        if not isinstance(rule, Condition):
            raise ConfigError(f"{rule!r} is no condition: use AtMost or Only, or put a Constraint under constraints")
        if rule.factor not in train:
            setting(rule.factor)
            remedy = "use a Constraint" if is_evaluation_setting(rule.factor) else "name it under train, or remove it"
            raise ConfigError(f"a condition on {rule.factor}, which does not vary in training: {remedy}")
        if isinstance(rule, Only):
            _check_only(rule, train)
        else:
            _check_at_most(rule, train)


def _check_only(rule: Only, train: Mapping[str, Factor]) -> None:
    if not rule.where:
        raise ConfigError(
            f"Only({rule.factor!r}, where={{}}) says nowhere: name factors and their levels, or remove it"
        )
    for name, wanted in rule.where.items():
        if name == rule.factor:
            raise ConfigError(f"Only({name!r}) depends on itself: name another factor under where")
        if name not in train:
            setting(name)
            raise ConfigError(
                f"Only({rule.factor!r}) depends on {name}, which does not vary: "
                "name it under train, or remove the condition"
            )
        factor = train[name]
        if isinstance(factor, Uniform | LogUniform):
            raise ConfigError(
                f"Only({rule.factor!r}) asks for a value of {name}, a continuous range: use Choice for it"
            )
        for level in wanted_levels(wanted, factor):
            if level not in factor:
                raise ConfigError(
                    f"Only({rule.factor!r}) asks for {name} = {level!r}, which is not in {factor_words(factor)}: "
                    "use one of its levels"
                )


def wanted_levels(wanted: Setting, factor: Factor) -> tuple[Setting, ...]:
    """Return the levels of another factor that a condition asks for: one, or any of a tuple."""
    return wanted if isinstance(wanted, tuple) and wanted not in factor else (wanted,)


def _check_at_most(rule: AtMost, train: Mapping[str, Factor]) -> None:
    setting(rule.bound)
    if rule.factor == rule.bound:
        raise ConfigError(f"AtMost({rule.factor!r}, {rule.bound!r}) depends on itself: name another setting as bound")
    if is_evaluation_setting(rule.bound):
        raise ConfigError(f"AtMost: {rule.bound} is no setting of a training; use a Constraint with both names")
    if not is_number(rule.minus):
        raise ConfigError(f"AtMost(minus={rule.minus!r}): give a number")
    for name in (rule.factor, rule.bound):
        for level in levels_of(train[name]) if name in train else ():
            if not is_number(level):
                raise ConfigError(f"AtMost compares numbers, and {name} has the level {level!r}: use a Constraint")


def check_constraints(constraints: Sequence[Constraint]) -> None:
    """Refuse constraints on settings that do not exist, and functions that cannot take their values."""
    for rule in constraints:
        if not isinstance(rule, Constraint):
            raise ConfigError(f"{rule!r} is no Constraint: put AtMost and Only under conditions")
        for name in rule.names:
            setting(name)
        try:
            inspect.signature(rule.allows).bind(*rule.names)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"the constraint {rule.reason!r} names {len(rule.names)} settings, and its function does not take "
                f"so many ({error}): one argument a name, in their order"
            ) from None


def check_design(train: Mapping[str, Factor], design: Design) -> None:
    """Refuse a base point that the factors do not have, and a sampler that cannot draw them."""
    if isinstance(design, OneFactor):
        for name, level in design.around.items():
            if name not in train:
                raise ConfigError(f"OneFactor(around=…) names {name}, which does not vary; {nearest(name, train)}")
            if level not in train[name]:
                raise ConfigError(
                    f"OneFactor(around=…): {name} = {level!r} is not in {factor_words(train[name])}; "
                    "use one of its levels"
                )
    if isinstance(design, Search) and design.sampler == "cma-es":
        numeric = [name for name, factor in train.items() if isinstance(factor, Range)]
        if len(numeric) < 2:
            raise ConfigError(
                f"Search(sampler='cma-es') needs at least two factors that are Uniform, LogUniform or IntRange, and "
                f"this space has {len(numeric)}; use sampler='tpe'"
            )


def check_objectives(objective: object, design: Design) -> None:
    """Refuse what no trial reports, and what a search must not look at."""
    keys = objective if isinstance(objective, tuple) else (objective,)
    for key in keys:
        if key not in METRICS:
            raise ConfigError(f"objective = {key!r} is no metric that a trial reports; {nearest(str(key), METRICS)}")
        if METRICS[key].better == "neither":
            raise ConfigError(f"objective = {key!r}: neither more nor less of it is better; use such as {HEADLINE.key}")
        if isinstance(design, Adaptive) and key.startswith("test/"):
            raise ConfigError(
                f"objective = {key!r}: a search that sees test frames fits them, so its best score says nothing; "
                f"set objective to such as {MONITOR.key!r}"
            )
    if not keys or len(set(keys)) != len(keys):
        raise ConfigError(f"objective = {objective!r}: name at least one metric, and each once")
    if isinstance(objective, tuple) and not isinstance(design, Search):
        raise ConfigError(
            f"objective = {objective!r}: {type(design).__name__} compares by one metric; "
            "name one, or use design=Search(…)"
        )
    if len(keys) > 1 and isinstance(design, Search) and design.sampler == "cma-es":
        raise ConfigError("Search(sampler='cma-es') has one objective: name one, or use sampler='nsga-ii' or 'tpe'")


def check_population(
    train: Mapping[str, Factor], design: Population, seeds: Sequence[int], stopping: Stopping | None
) -> None:
    """Refuse a population that could not change, or whose members could not be copied."""
    for name in design.change or ():
        if name not in train:
            raise ConfigError(f"Population(change=…) names {name}, which does not vary; {nearest(name, train)}")
        if name.startswith("model."):
            raise ConfigError(
                f"Population(change=…) names {name}, which shapes the weights that a copy brings along: remove it; "
                "as a factor it stays with its weights"
            )
    if not any(map(design.may_change, train)):
        raise ConfigError(
            "Population: a copy can change none of the factors; vary one of training or objective, such as "
            "train.learning_rate, or use Random(trials=…)"
        )
    for name in ("train.epochs", "train.steps_per_epoch"):
        if name in train:
            raise ConfigError(
                f"Population: {name} says how long a generation is, so it is the same for all: set it in base"
            )
    if len(seeds) > 1:
        raise ConfigError(
            f"Population: {len(seeds)} replicates; a population has one seed, so set replicates to 1 or (SEED,), and "
            "repeat the study under another name with Population(seed=…)"
        )
    if stopping is not None:
        raise ConfigError(
            f"stopping = {stopping}: a population replaces its worst members by itself; set stopping to None"
        )


def check_seeds(replicates: object, seeds: Sequence[int]) -> None:
    """Refuse replicates that are none."""
    if not seeds:
        raise ConfigError(f"replicates = {replicates!r}: a study needs at least one seed")
    for seed in seeds:
        check_setting(SEED, seed)
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"replicates = {replicates!r}: every seed counts once; remove the repeated ones")
