"""The doctor looks at a machine, a store and a cluster, and changes nothing."""

import http.server
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.cluster import connection, doctor
from study.cluster.doctor import examine_machine, examine_store, file_system
from study.cluster.findings import Finding
from study.commands.doctor import doctor_command
from study.engine.ledger_file import SCHEMA_VERSION, open_as_writer
from study.errors import ResourceError, StoreError
from study.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with an empty ledger."""
    root = tmp_path / "store"
    root.mkdir()
    with open_as_writer(root / "ledger.sqlite", "small"):
        pass
    return root


def of(findings: list[Finding], what: str) -> Finding:
    [finding] = [finding for finding in findings if finding.what == what]
    return finding


def test_every_finding_that_is_not_fine_has_a_remedy(store: Path) -> None:
    findings = [*examine_machine(), *examine_store(store)]
    assert [finding for finding in findings if (finding.level != "ok") != bool(finding.remedy)] == []


def test_a_store_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    [finding] = examine_store(tmp_path / "none")
    assert finding.level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_at_rest_is_fine(store: Path) -> None:
    assert of(examine_store(store), "ledger").seen == "readable, no study is running"


def test_a_running_study_is_named(store: Path) -> None:
    with open_as_writer(store / "ledger.sqlite", "small"):
        assert "study small is running" in of(examine_store(store), "ledger").seen


def test_trials_that_a_killed_driver_left_are_counted(store: Path) -> None:
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        connection.execute("INSERT INTO trials (fingerprint, cell, run, state) VALUES ('a', 'a', '{}', 'leased')")
    finding = of(examine_store(store), "ledger")
    assert (finding.level, "1 trials were running" in finding.seen) == ("warning", True)


def test_a_newer_ledger_is_a_problem(store: Path) -> None:
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    assert of(examine_store(store), "ledger").level == "problem"


def test_a_damaged_ledger_is_a_problem(store: Path) -> None:
    (store / "ledger.sqlite").write_bytes(b"no database" * 1000)
    assert "damaged" in of(examine_store(store), "ledger").seen


def test_little_is_said_of_a_store_that_others_share(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda / ext4 rw 0 0\nserver:/data /shared nfs4 rw 0 0\n/dev/sdb /shared/local xfs rw 0 0\n")
    assert file_system(Path("/shared/store"), mounts) == "nfs4"
    assert file_system(Path("/shared/local/store"), mounts) == "xfs"
    assert file_system(Path("/data/store"), mounts) == "ext4"
    assert file_system(Path("/data/store"), tmp_path / "none") == ""


def test_a_token_that_others_can_read_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir(mode=0o755)
    token.write_text("secret")
    token.chmod(0o644)
    assert doctor._token().level == "warning"
    token.chmod(0o600)
    assert doctor._token().level == "ok"
    assert "secret" not in doctor._token().seen


def test_a_port_open_to_the_network_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listening, socket.socket() as loopback:
        listening.bind(("0.0.0.0", 0))
        loopback.bind(("127.0.0.1", 0))
        listening.listen()
        loopback.listen()
        opened, closed = listening.getsockname()[1], loopback.getsockname()[1]
        monkeypatch.setattr(doctor, "_PORTS", {opened: "a test", closed: "another"})
        [finding] = doctor._ports()
    assert finding.what == f"port {opened}"


class _Server(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"3.17.2")

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    """Return the address of something that answers like a tracking server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_tracking_server_is_asked(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "MLflow 3.17.2" in doctor._tracking(Store(tmp_path, server)).seen
    monkeypatch.setattr(_Server, "status", 403)
    refused = doctor._tracking(Store(tmp_path, server))
    assert (refused.level, "--allowed-hosts" in refused.remedy) == ("warning", True)


def test_a_tracking_server_that_is_away_is_no_problem(tmp_path: Path) -> None:
    assert doctor._tracking(Store(tmp_path, "http://127.0.0.1:1")).level == "warning"


def test_the_command_ends_with_2_where_nothing_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        doctor_command(tmp_path, "127.0.0.1:1")
    assert ended.value.code == 2
    assert "nothing listens there" in capsys.readouterr().out


def test_the_command_refuses_an_object_store() -> None:
    with pytest.raises(StoreError, match="a store is a folder"):
        doctor_command(Path("s3://bucket"), None)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "host:port"])
def test_an_address_where_nothing_listens_is_refused_at_once(address: str) -> None:
    with pytest.raises(ResourceError, match="--address"), connection.connected(address, shared_bytes=0):
        pass


def test_a_token_is_used_only_where_the_user_has_not_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    connection._use_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    monkeypatch.delenv("RAY_AUTH_MODE")
    connection._use_token()
    assert "RAY_AUTH_MODE" not in os.environ
    assert connection.token_place() == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    assert connection.token_place() == str(tmp_path / ".ray" / "auth_token")
