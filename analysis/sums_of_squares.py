"""Sums of squares of type II of factors and their interactions, each with its F test: what an ANOVA is made of.

`statsmodels` takes seconds to load, so it is loaded when a function is called.
"""

import itertools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import f as f_distribution

from analysis.selection import label
from usplit_core.settings import Setting, format_setting

#: The levels of some factors, in their order.
Levels = tuple[Setting, ...]


class Square(NamedTuple):
    """A factor or an interaction of two, by its words; p is None where nothing is left to test against."""

    label: str
    square: float
    p: float | None


def sums_of_squares(
    names: Sequence[str],
    rows: Sequence[Levels],
    values: Any,
    *,
    blocks: Sequence[Setting] | None = None,
    trainings: Sequence[Levels] = (),
) -> list[Square]:
    """Return the squares of main effects and interactions; interactions that cannot be told are left out.

    Parameters
    ----------
    names
        Dotted names of the factors.
    rows
        The levels of every value, in the order of `names`.
    values
        What is to be explained.
    blocks
        What else tells the values apart, such as their seeds.
    trainings
        Where `values` are centred by training: the levels of the train factors, the first of `names`, of each.
    """
    crossed = [pair for pair in itertools.combinations(range(len(names)), 2) if _is_crossed(rows, pair)]
    for pairs in (crossed, []):
        table = _type_two(len(names), pairs, rows, values, blocks)
        residual, degrees = table["Residual"]
        degrees -= _degrees_of_centring(trainings, pairs)
        if degrees >= 1 or not pairs:
            break
    squares = []
    for key, name in _term_names(names, pairs).items():
        square, own = table[key]
        usable = degrees >= 1 and own >= 1 and residual > 0
        p = float(f_distribution.sf(square / own / (residual / degrees), own, degrees)) if usable else None
        squares.append(Square(name, float(square), p))
    return squares


def _degrees_of_centring(trainings: Sequence[Levels], pairs: Sequence[tuple[int, int]]) -> int:
    """Return the degrees of freedom that the means of trainings take, but those that train factors take already."""
    if not trainings:
        return 0
    factors = [(index,) for index in range(len(trainings[0]))]
    columns = [np.ones((len(trainings), 1))]
    for term in (*factors, *(pair for pair in pairs if max(pair) < len(factors))):
        known = {levels: place for place, levels in enumerate({_part(row, term): None for row in trainings})}
        columns.append(np.eye(len(known))[[known[_part(row, term)] for row in trainings]])
    design = np.concatenate(columns, axis=1)  # (trainings, levels of all terms)
    return len(trainings) - int(np.linalg.matrix_rank(design.T @ design))


def _part(row: Levels, indices: Sequence[int]) -> Levels:
    return tuple(row[index] for index in indices)


def _is_crossed(rows: Sequence[Levels], pair: tuple[int, int]) -> bool:
    found = {(row[pair[0]], row[pair[1]]) for row in rows}
    return len(found) == len({a for a, _ in found}) * len({b for _, b in found})


def _term_names(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> dict[str, str]:
    main = {f"C(f{index}, Sum)": label(name) for index, name in enumerate(names)}
    both = {f"C(f{a}, Sum):C(f{b}, Sum)": f"{label(names[a])} × {label(names[b])}" for a, b in pairs}
    return main | both


def _type_two(
    count: int, pairs: Sequence[tuple[int, int]], rows: Sequence[Levels], values: Any, blocks: Sequence[Setting] | None
) -> dict[str, tuple[float, float]]:
    """Return sum of squares and degrees of freedom of each term, by its formula."""
    import pandas as pd
    import statsmodels.formula.api as formula
    from statsmodels.stats.anova import anova_lm
    from statsmodels.tools.sm_exceptions import ModelWarning
    from threadpoolctl import threadpool_limits

    # Categories as such: the formula's reader would look at each text of thousands of rows.
    columns = {f"f{index}": pd.Categorical(_texts([row[index] for row in rows])) for index in range(count)}
    terms = list(_term_names([""] * count, pairs))
    if blocks is not None and len(set(blocks)) > 1:
        columns["block"] = pd.Categorical(_texts(blocks))
        terms.append("C(block, Sum)")
    # Matrices so narrow gain nothing by threads, which wait for each other where the cores are busy.
    with threadpool_limits(1), warnings.catch_warnings():
        # That factors are not told apart, or explain nothing, is seen by their shares.
        warnings.simplefilter("ignore", ModelWarning)
        model = formula.ols(f"y ~ {' + '.join(terms)}", data=pd.DataFrame({**columns, "y": values}))
        # Factors that are not told apart need the pseudoinverse, which takes seconds for ten thousand values.
        is_regular = np.linalg.matrix_rank(model.exog.T @ model.exog) == model.exog.shape[1]
        fitted = model.fit(method="qr" if is_regular else "pinv")
        if fitted.df_resid < 1:
            return {**dict.fromkeys(terms, (0.0, 0.0)), "Residual": (0.0, 0.0)}
        table = anova_lm(fitted, typ=2)
    return {str(key): (float(row["sum_sq"]), float(row["df"])) for key, row in table.iterrows()}


def _texts(values: Sequence[Setting]) -> list[str]:
    known = {value: format_setting(value) for value in dict.fromkeys(values)}
    return [known[value] for value in values]
