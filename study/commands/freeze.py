"""`usplit freeze`: all that the store holds of a study in one file."""

from pathlib import Path

from rich.console import Console

from study import environment
from study.commands.program import program
from usplit_core.errors import OutputError


def freeze_command(study: str, store: Path, out: Path | None) -> None:
    """Write a study into one Parquet file, without ``--out`` into the working directory.

    Raises
    ------
    UserError
        If there is no such store or study, or the file cannot be written.
    """
    environment.set_defaults()
    from analysis.freeze import write_frozen
    from analysis.frozen import is_frozen
    from study.commands.results import open_source

    source = open_source(study, store)
    path = Path(f"{source.record.name}.parquet") if out is None else out
    if not is_frozen(str(path)):
        raise OutputError(f"--out {path}: a frozen study is a .parquet file; name it {path.with_suffix('.parquet')}")
    write_frozen(source.record, path, source.overview)
    trials, evaluations = len(source.record.trials), len(source.record.evaluations)
    Console().print(
        f"{path}: {trials} trials, {evaluations} evaluations, {path.stat().st_size / 1e6:.1f} MB; "
        f"draw it with `{program()} figures {path}`",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
