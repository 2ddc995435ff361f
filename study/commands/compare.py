"""`usplit compare`: studies, or the levels of factors, side by side, paired where they share seeds."""

from pathlib import Path

from rich.console import Console

from study import environment
from study.errors import StoreError
from usplit_core.errors import ConfigError, nearest
from usplit_core.settings import setting
from usplit_core.vocabulary import METRICS, Metric


def compare_command(
    studies: list[str], store: Path, *, factors: list[str], metric: str | None, out: Path | None
) -> None:
    """Print a table of differences, and write it where ``--out`` says, in the format of its ending.

    Raises
    ------
    UserError
        If a study, a factor or a metric is unknown, or runs are missing.
    """
    environment.set_defaults()
    from analysis.comparison import effects, effects_table, studies_table, study_scores
    from analysis.selection import headline
    from analysis.tables import to_csv, to_latex, to_markdown, to_text
    from study.commands.results import open_source

    for name in factors:
        setting(name)
    asked = _metric(metric)
    records = [open_source(study, store).record for study in studies]
    if len(records) > 1 and not factors:
        tables = [studies_table(study_scores(records, asked), asked or headline(records[0]))]
    else:
        tables = [effects_table(effects(record, factors, asked), asked or headline(record)) for record in records]
    console = Console()
    for record, table in zip(records, tables, strict=False):
        title = "" if len(tables) < 2 and len(records) > 1 else f"{record.name}: {record.question}\n\n"
        console.print(f"{title}{to_text(table)}", highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        renderers = {".md": to_markdown, ".tex": to_latex, ".csv": to_csv}
        if out.suffix not in renderers:
            raise StoreError(f"--out {out}: the ending must be one of {', '.join(renderers)}")
        _write(out, "\n".join(renderers[out.suffix](table) for table in tables))


def _metric(key: str | None) -> Metric | None:
    if key is not None and key not in METRICS:
        raise ConfigError(f"--metric {key}: there is no such metric; {nearest(key, METRICS)}")
    return None if key is None else METRICS[key]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--out {path} cannot be written ({error.strerror}); name another file") from error
