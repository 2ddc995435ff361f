"""What is shown while a study runs: a line for what happens, and what goes wrong beside the trials."""

import io
import json
from pathlib import Path

from rich.console import Console

from study.engine.progress import Board, shown
from tests.study.tracking.trials import planned


def test_messages_are_printed_as_they_are_and_logged(tmp_path: Path) -> None:
    printed = io.StringIO()
    board = Board([planned(0)], [])
    with shown(board, Console(file=printed, width=300), tmp_path / "log.jsonl") as show:
        show("trial0", {"kind": "started", "host": "node1", "cpus": 2})
        show("trial0", {"kind": "failed", "reason": "user: cannot read [/data/a.tif] of [1, 2]"})
    lines = printed.getvalue().splitlines()
    assert lines[0].endswith("regular lc1 P16 seed0: started")
    assert lines[1].endswith("failed: user: cannot read [/data/a.tif] of [1, 2]")
    logged = [json.loads(line)["kind"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == ["started", "failed"]


def test_a_tracking_store_that_is_away_is_told_once(tmp_path: Path) -> None:
    printed, problems = io.StringIO(), iter(["", "the server is away", "the server is away", "", "", "away again"])
    board = Board([planned(0)], [], lambda: next(problems))
    with shown(board, Console(file=printed, width=300), tmp_path / "log.jsonl") as show:
        for _ in range(6):
            show("trial0", {"kind": "started", "host": "node1"})
    notes = [line for line in printed.getvalue().splitlines() if line.startswith("note: ")]
    assert notes == ["note: the server is away", "note: away again"]


def test_a_terminal_shows_the_problem_below_the_table(tmp_path: Path) -> None:
    printed = io.StringIO()
    board = Board([planned(0)], [], lambda: "the server [/a] is away")
    with shown(board, Console(file=printed, width=300, force_terminal=True), tmp_path / "log.jsonl"):
        pass
    assert "note: the server [/a] is away" in printed.getvalue()
