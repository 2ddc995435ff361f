"""The words for which combinations of a study are trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from usplit_core.errors import ConfigError, nearest
from usplit_core.settings import Setting

Sampler = Literal["tpe", "cma-es", "gp", "nsga-ii", "random"]


@dataclass(frozen=True)
class _Design:
    """What every design can say of itself."""

    def describe(self) -> dict[str, Any]:
        """Return the design as JSON-able data."""
        return {"kind": type(self).__name__, **vars(self)}


@dataclass(frozen=True)
class FullFactorial(_Design):
    """Every combination of the levels of all grids."""


@dataclass(frozen=True)
class Fractional(_Design):
    """A balanced fraction of all combinations: main effects at less cost, at the price of confounding.

    Where every grid has two levels, and the fraction is 1/2, 1/4, 1/8, …, the design is regular:
    main effects are never confounded with one another. How far interactions are kept apart depends
    on how many factors share how many trainings. In the best case (half of n factors, resolution n)
    a main effect is confounded with the interaction of all other factors; at resolution III main
    effects are confounded with interactions of two factors, so that those must be small; at
    resolution IV interactions of two factors are confounded with one another; from resolution V on
    neither. Generators are chosen for the highest resolution.

    Otherwise it is a generalised subset design (Surowiec et al., Anal. Chem. 2017), about balanced,
    in which main effects are partly confounded with interactions of two factors.

    Attributes
    ----------
    fraction
        The part that is trained: 1/2, 1/3, 1/4, ….
    """

    fraction: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 0.5 or abs(1 / self.fraction - self.reduction) > 1e-3:
            raise ConfigError(f"Fractional(fraction={self.fraction}): use 1/2, 1/3, 1/4 and so on, or FullFactorial()")

    @property
    def reduction(self) -> int:
        """One combination in so many is trained."""
        return round(1 / self.fraction)


@dataclass(frozen=True)
class OneFactor(_Design):
    """A base point, and every other level of each factor alone beside it: no interactions can be seen.

    Attributes
    ----------
    around
        Levels of the base point by factor; of a factor that is not named, the first level of its grid.
    """

    around: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "around", MappingProxyType(dict(self.around)))

    def describe(self) -> dict[str, Any]:
        """Return the design as JSON-able data."""
        return {"kind": "OneFactor", "around": dict(self.around)}


@dataclass(frozen=True)
class _Draws(_Design):
    """So many points, drawn.

    Attributes
    ----------
    trials
        How many combinations.
    seed
        Decides which; of a search, only the first ones.
    """

    trials: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count(self, "trials", 1)
        _check_seed(self, self.seed)


@dataclass(frozen=True)
class LatinHypercube(_Draws):
    """Points spread over the space: of n trials, one in each n-th of the range of every factor.

    A draw that a rule forbids is replaced by one of a further hypercube, so rules thin the strata out.
    """


@dataclass(frozen=True)
class Random(_Draws):
    """Points drawn at random, each independent of the others."""


@dataclass(frozen=True)
class Search(_Draws):
    """Points that a sampler draws one after another, learning from the values of those before.

    Attributes
    ----------
    sampler
        ``tpe`` for any space and one or more objectives; ``gp`` for few, costly trials; ``cma-es``
        for numbers and one objective; ``nsga-ii`` for several objectives and many trials;
        ``random`` to compare with.
    """

    sampler: Sampler = "tpe"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler not in get_args(Sampler):
            raise ConfigError(f"Search(sampler={self.sampler!r}): {nearest(str(self.sampler), get_args(Sampler))}")


@dataclass(frozen=True)
class Population(_Design):
    """Population based training (Jaderberg et al., arXiv:1711.09846): settings change while networks are trained.

    A first generation of members is drawn at random. After each generation, the worst members are
    replaced by copies of good ones, weights and settings, and the settings of a copy are changed; all
    others go on as they are. A generation trains for ``train.epochs`` epochs, and every member of every
    generation is a training of its own, so nothing is lost and nothing is computed twice. The last
    generation is evaluated.

    Attributes
    ----------
    members
        Networks that are trained side by side.
    generations
        How often they are compared.
    change
        Factors that a copy may change; None = all that shape no weights, which is what training and
        objective are made of. All other factors come with the weights.
    replaced
        Part of the members that is replaced after a generation, by copies of as many of the best.
    seed
        Decides the first draws, who is copied, and the changes.
    """

    members: int
    generations: int
    change: tuple[str, ...] | None = None
    replaced: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count(self, "members", 2)
        _check_count(self, "generations", 2)
        _check_seed(self, self.seed)
        if not 0 < self.replaced <= 0.5:
            raise ConfigError(f"Population(replaced={self.replaced}): give a part above 0, at most 0.5, such as 0.25")

    @property
    def trials(self) -> int:
        """How many combinations are trained, over all generations."""
        return self.members * self.generations

    def generation(self, number: int) -> int:
        """Return the generation, counted from 0, of a point by its number."""
        return number // self.members

    def may_change(self, name: str) -> bool:
        """Return whether a copy may change the factor `name`."""
        return name.partition(".")[0] in _WITHOUT_WEIGHTS if self.change is None else name in self.change


#: Sections whose settings shape no weights.
_WITHOUT_WEIGHTS = ("train", "objective")

Crossed = FullFactorial | Fractional | OneFactor
#: Each point is drawn when the values of earlier ones are known.
Adaptive = Search | Population
Sampled = LatinHypercube | Random | Adaptive
Design = Crossed | Sampled


def _check_count(design: _Design, name: str, least: int) -> None:
    value: object = vars(design)[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{type(design).__name__}({name}={value!r}): give a whole number of {name}, at least {least}")


def _check_seed(design: _Design, seed: object) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise ConfigError(f"{type(design).__name__}(seed={seed!r}): give a whole number from 0 to 2**31 - 1")
