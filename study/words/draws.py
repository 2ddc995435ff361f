"""The points of the designs that draw, and what is drawn of a search before it begins."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from study.words.designs import LatinHypercube, Population, Random, Sampled
from study.words.factors import IntRange, levels_of
from study.words.layouts import Layout, counted
from study.words.rules import LeftOut, shown
from study.words.runs import Ways, evaluations_of, run_of
from study.words.walk import Draw, Space, drawn_at, taken_from, walk
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting

#: Draws that show whether the rules of a space are complete.
DRAWS = 200
#: Draws for each point that is asked for, and at least, before a space counts as exhausted.
_DRAWS_PER_TRIAL = 200
_LEAST_DRAWS = 5000
#: Spaces of up to so many combinations are counted.
_COUNTED = 5000


def sample(space: Space, design: LatinHypercube | Random, ways: Ways) -> Layout:
    """Return the points of a sampled design, drawing again what a rule or the schema forbids, or what was drawn before.

    Raises
    ------
    ConfigError
        If the space has fewer points than the design asks for.
    """
    points: dict[tuple[tuple[str, Setting], ...], dict[str, Setting]] = {}
    left_out = Counter[str]()
    draws = _hypercube_draws(space, design) if isinstance(design, LatinHypercube) else random_draws(space, design.seed)
    for draw in itertools.islice(draws, max(_LEAST_DRAWS, _DRAWS_PER_TRIAL * design.trials)):
        try:
            point = walk(space, draw)
        except LeftOut as error:
            left_out[str(error)] += 1
            continue
        if not is_legal(space, point, ways):
            left_out["no legal run"] += 1
            continue
        points.setdefault(tuple(point.items()), point)
        if len(points) == design.trials:
            return Layout(tuple(points.values()), left_out)
    raise too_few(len(points), design, left_out)


def too_few(found: int, design: Sampled, left_out: Mapping[str, int]) -> ConfigError:
    """Return the error for a space that has fewer points than its design asks for."""
    what, asked = _asked(design)
    said = f"{type(design).__name__}({what}={asked})"
    rules = f" (draws left out: {counted(left_out)})" if left_out else ""
    if not found:
        return ConfigError(f"{said}: the rules leave nothing to train{rules}; loosen one of them")
    return ConfigError(
        f"{said}: the space has only {found} different points{rules}; set {what} to at most {found}, or add levels"
    )


def _asked(design: Sampled) -> tuple[str, int]:
    """Return how many different points a design asks for, and what it calls them."""
    return ("members", design.members) if isinstance(design, Population) else ("trials", design.trials)


def random_draws(space: Space, seed: int) -> Iterator[Draw]:
    """Yield draws at random positions, without end."""
    generator = np.random.default_rng(seed)
    while True:
        yield drawn_at(dict(zip(space.order, generator.random(len(space.order)).tolist(), strict=True)))


def _hypercube_draws(space: Space, design: LatinHypercube) -> Iterator[Draw]:
    """Yield the draws of one Latin hypercube after another."""
    from scipy.stats import qmc  # takes a second

    hypercube = qmc.LatinHypercube(d=len(space.order), rng=np.random.default_rng(design.seed))
    while True:
        for row in hypercube.random(design.trials).tolist():
            yield drawn_at(dict(zip(space.order, row, strict=True)))


def check_draws(space: Space, design: Sampled, ways: Ways) -> None:
    """Refuse a space that has draws which no rule forbids and which are no legal run, or fewer points than asked for.

    Raises
    ------
    ConfigError
        Names the draw and what would leave it out.
    """
    left_out = Counter[str]()
    drawn = 0
    for draw in itertools.islice(random_draws(space, design.seed), _LEAST_DRAWS):
        try:
            point = walk(space, draw)
        except LeftOut as error:
            left_out[str(error)] += 1
        else:
            drawn += 1
            _check_legal(space, point, design, ways)
        if drawn and drawn + left_out.total() >= DRAWS:
            break
    if not drawn:
        raise too_few(0, design, left_out)
    _check_size(space, design)


def is_legal(space: Space, point: Mapping[str, Setting], ways: Ways) -> bool:
    """Say whether a point can be trained and evaluated."""
    try:
        _resolve(space, point, ways)
    except ConfigError:
        return False
    return True


def legal_points(space: Space, design: Sampled, ways: Ways) -> Iterator[dict[str, Setting]]:
    """Yield points at random, as many as are legal among some thousand draws."""
    for draw in itertools.islice(random_draws(space, design.seed), _LEAST_DRAWS):
        try:
            point = walk(space, draw)
        except LeftOut:
            continue
        if is_legal(space, point, ways):
            yield point


def _check_legal(space: Space, point: Mapping[str, Setting], design: Sampled, ways: Ways) -> None:
    try:
        _resolve(space, point, ways)
    except ConfigError as error:
        if next(legal_points(space, design, ways), None) is None:
            remedy = "Nor is any other draw of this space: look at base"
        else:
            remedy = (
                f"No rule forbids this draw ({shown(point)}): add a condition (AtMost, Only) or a Constraint "
                "that does, or narrow a factor"
            )
        raise ConfigError(f"{error}\n{remedy}") from None


def _resolve(space: Space, point: Mapping[str, Setting], ways: Ways) -> None:
    # The images are often named on the command line only.
    run = run_of({"data.path": "images", **space.base}, point, ways)
    for _ in evaluations_of(run, ways):
        pass


def _check_size(space: Space, design: Sampled) -> None:
    """Refuse more trials than there are points, where these can be counted."""
    levels = {
        name: tuple(factor.values) if isinstance(factor, IntRange) else levels_of(factor)
        for name, factor in space.factors.items()
    }
    if not 0 < math.prod(map(len, levels.values())) <= _COUNTED:
        return
    found, left_out = set(), Counter[str]()
    for combination in itertools.product(*levels.values()):
        try:
            found.add(tuple(walk(space, taken_from(dict(zip(levels, combination, strict=True)), space)).items()))
        except LeftOut as error:
            left_out[str(error)] += 1
    if len(found) < _asked(design)[1]:
        raise too_few(len(found), design, left_out)
