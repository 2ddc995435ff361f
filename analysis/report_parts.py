"""Parts of the report that are tables of numbers: effects of factors, cost, and what it takes to do it again."""

from collections.abc import Sequence

from analysis.comparison import effects, effects_table
from analysis.html import Safe, tag
from analysis.intervals import format_interval
from analysis.records import MissingRuns, StudyRecord, Trial
from analysis.selection import describe, evaluation_factors, format_value, headline, label, metric_label, train_factors
from analysis.statistics import best_group, group
from analysis.tables import to_html
from analysis.tasks import network_factors, task_factors
from analysis.verdict import Verdict

_ENERGY = "cost/energy_joules"
_CHECKPOINTS = "cost/checkpoint_seconds"
#: Share of the training time from which writing checkpoints is worth a remark.
_MUCH = 0.02
_WORDS = {
    "version": "version of this program",
    "torch": "PyTorch",
    "python": "Python",
    "commit": "git commit",
    "git_dirty": "uncommitted changes",
    "data": "content of the images (hash)",
    "device": "device",
    "host": "host",
    "energy": "energy was counted of",
}


def section(title: str, *children: str | None) -> Safe:
    """Return a part of the page with its heading."""
    return tag("section", tag("h2", title), *children)


def table(headings: Sequence[str], rows: Sequence[Safe], *, right_from: int | None = None) -> Safe:
    """Return a table in a box that scrolls; columns from `right_from` on stand to the right."""
    first = len(headings) if right_from is None else right_from
    heads = (tag("th", text, scope="col", class_="right" if i >= first else None) for i, text in enumerate(headings))
    return tag("div", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)), class_="scroll")


def effects_section(record: StudyRecord) -> Safe | None:
    """Return the effect of every level of every factor; None where there is nothing to compare."""
    try:
        found = effects_table(effects(record), headline(record))
    except MissingRuns:
        return None
    note = tag("p", found.note, class_="note")
    return section("Effects of the factors", tag("div", to_html(found), class_="scroll"), note)


def cost_section(record: StudyRecord) -> Safe:
    """Return training time, device-hours, energy where it was measured, and size by combination of train factors."""
    names = train_factors(record)
    seconds = group(record, "cost/train_seconds", names)
    if not seconds:
        return section("Cost", tag("p", "No finished trial has recorded its training time.", class_="missing"))
    parameters = {tuple(item.levels.values()): item for item in group(record, "cost/parameters", names)}
    rows = []
    for item in seconds:
        size = parameters.get(tuple(item.levels.values()))
        cells = (
            describe(item.levels) or "all trials",
            duration(item.summary.mean),
            duration(item.summary.mean * item.summary.n),
            f"{size.summary.mean / 1e6:.2f} million" if size else "–",
            str(item.summary.n),
        )
        rows.append(tag("tr", *(tag("td", text, class_="right" if i else None) for i, text in enumerate(cells))))
    headings = ("cell", "training time, mean", "training time, all seeds", "parameters", "n")
    spent = sum(train_seconds(trial) for trial in record.trials)
    words = f"In all {spent / 3600:.2f} device-hours of training, unfinished trials included{_energy(record)}."
    words += _checkpoints(record)
    return section("Cost", table(headings, rows, right_from=1), tag("p", words, class_="note"))


def reproduction_section(record: StudyRecord) -> Safe:
    """Return what the results depend on beside the settings, and the command that runs the study again."""
    rows = []
    for key, words in _WORDS.items():
        values = sorted({trial.tags[key] for trial in record.trials if trial.tags.get(key)})
        if values:
            rows.append(tag("tr", tag("td", words), tag("td", ", ".join(values))))
    seeds = ", ".join(str(seed) for seed in record.replicates)
    rows.append(tag("tr", tag("td", "seeds"), tag("td", seeds or "those of the trials")))
    again = (
        "The settings below and these are all that the results depend on. `usplit run` with the same search space, "
        "images and version trains the same networks; on the same device and software, to the same numbers."
    )
    return section("How to reproduce", table(("what", "value"), rows), tag("p", again, class_="note"))


def best_section(record: StudyRecord, found: Verdict) -> Safe:
    """Return the settings of the best cell that vary in the study, and its score; and the best of all tilings."""
    settings = {**found.best.levels, **found.tiling}
    rows = [tag("tr", tag("td", label(name)), tag("td", tag("code", name)), tag("td", format_value(name, value)))
            for name, value in settings.items()]  # fmt: skip
    summary = found.best.summary
    score = format_interval(summary.mean, summary.interval)
    words = f"{metric_label(found.metric)}: {score}, n = {summary.n} seed{'' if summary.n == 1 else 's'}."
    note = tag("p", _best_of_all_tilings(record, found), class_="note")
    return section("Best configuration", tag("p", words), table(("setting", "name", "value"), rows), note)


def _best_of_all_tilings(record: StudyRecord, found: Verdict) -> str | None:
    """Say which cell is the best where each may have the tiling that suits it: the marked row of the table."""
    factors = evaluation_factors(record)
    if not factors or task_factors(record):
        return None
    best = best_group(group(record, found.metric.key, (*network_factors(record), *factors)), found.metric.key)
    score = format_interval(best.summary.mean, best.summary.interval, unit=found.metric.unit)
    return (
        "Cells are compared at one tiling, the one of the study that most have and that is nearest to the usual. "
        f"The highest mean of all cells and tilings is that of {describe(best.levels)}: {score}."
    )


def _checkpoints(record: StudyRecord) -> str:
    """Say how long checkpoints took, and what to do where that is much."""
    measured = [trial for trial in record.trials if _CHECKPOINTS in trial.metrics]
    trained = sum(train_seconds(trial) for trial in measured)
    if not trained:
        return ""
    share = sum(trial.metrics[_CHECKPOINTS] for trial in measured) / trained
    remedy = "; a larger train.checkpoint_every_epochs writes fewer" if share > _MUCH else ""
    return f" Writing checkpoints took another {100 * share:.1f} % of that{remedy}."


def _energy(record: StudyRecord) -> str:
    measured = [trial for trial in record.trials if trial.metrics.get(_ENERGY, 0) > 0]
    if not measured:
        return "; the energy could not be read where they ran"
    meters = sorted({trial.tags["energy"] for trial in measured if trial.tags.get("energy")})
    joules = sum(trial.metrics[_ENERGY] for trial in measured)
    of = f" by {' or '.join(meters)}" if meters else ""
    return f"; {format_energy(joules)}{of}, n = {len(measured)} trials in which it could be read"


def format_energy(joules: float) -> str:
    """Return an energy in the unit that suits it."""
    wh = joules / 3600
    return f"{wh / 1000:.2f} kWh" if wh >= 1000 else f"{wh:.1f} Wh" if wh >= 1 else f"{joules:.0f} J"


def train_seconds(trial: Trial) -> float:
    """Return how long a trial has trained, in seconds; 0 where it is not known."""
    return trial.metrics.get("cost/train_seconds", 0.0)


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
