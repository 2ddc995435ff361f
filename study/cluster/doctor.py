"""What is wrong with this machine and a store: looked at, never changed."""

import os
import shutil
import sqlite3
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from study.cluster.connection import token_place
from study.cluster.findings import Finding, free_space
from study.cluster.nodes import versions
from study.engine.ledger_file import REMEDY_OF_DAMAGE, check_version, connect_to_read, running_study
from study.errors import StoreError
from study.sharing.objects import check_address
from study.sharing.shared_store import check_shared
from study.store import Store, existing_store, without_password

_GIBIBYTE = 1024**3
_MUCH_LEFT_BYTES = 2 * _GIBIBYTE
_SERVER_ANSWER_S = 5.0
#: File systems that other machines share; SQLite's locks hold on few of them.
_NETWORK = ("nfs", "cifs", "smb", "lustre", "beegfs", "gpfs", "fuse.sshfs", "ceph", "glusterfs")
#: Ports that Ray and MLflow use unless told otherwise.
_PORTS = {6379: "Ray's head", 8265: "Ray's dashboard", 10001: "Ray's client server", 5000: "MLflow"}


def examine_machine() -> list[Finding]:
    """Return what was found of this machine: packages, GPU, leftovers, ports, Ray's token."""
    own = versions()
    packages = ", ".join(f"{name} {own[name]}" for name in ("python", "ray", "torch", "usplit"))
    return [Finding("ok", "packages", packages), _gpu(), _leftovers(Path("/tmp/ray")), *_ports(), _token()]


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return Finding("ok", "GPU", names)
    if shutil.which("nvidia-smi"):
        remedy = "install torch for CUDA, and check the driver with nvidia-smi"
        return Finding("warning", "GPU", f"there is one, but torch {torch.__version__} does not see it", remedy)
    return Finding("ok", "GPU", "none: trials train on the CPU")


def _leftovers(folder: Path) -> Finding:
    """Judge what Ray sessions have left behind; the running ones are counted too."""
    size = sum(_size(path) for path in folder.glob("session_*") if not path.is_symlink())
    seen = f"{size / _GIBIBYTE:.1f} GiB in {folder}"
    if size > _MUCH_LEFT_BYTES:
        return Finding("warning", "Ray sessions", seen, f"when no Ray runs here: rm -r {folder}/session_*")
    return Finding("ok", "Ray sessions", seen)


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).lstat().st_size
            except OSError:  # a running session removes files at any time
                continue
    return total


def _ports() -> Iterator[Finding]:
    for port in sorted(_open_ports() & _PORTS.keys()):
        yield Finding(
            "warning",
            f"port {port}",
            f"open to the network ({_PORTS[port]}, or what else uses it)",
            "whoever reaches an open Ray port can run code here: close it in the firewall, see docs/security.md",
        )


def _open_ports() -> set[int]:
    """Return the TCP ports on which something listens on all addresses of this machine."""
    ports = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            local, state = line.split()[1], line.split()[3]
            address, _, port = local.partition(":")
            if state == "0A" and not address.strip("0"):  # 0A: listening
                ports.add(int(port, 16))
    return ports


def _token() -> Finding:
    place = token_place()
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    if not place.startswith("/"):
        return Finding("ok", "Ray's token", f"{place or 'none yet'}, RAY_AUTH_MODE {mode}")
    if Path(place).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and Path(place).parent.stat().st_mode & 0o011:
        return Finding("warning", "Ray's token", f"{place} can be read by other users", f"chmod 600 {place}")
    return Finding("ok", "Ray's token", f"{place}, RAY_AUTH_MODE {mode}")


def examine_store(path: Path) -> list[Finding]:
    """Return what was found of the store at `path`."""
    root = path.expanduser().resolve()
    if not root.exists():
        return [Finding("ok", "store", f"{root} does not exist yet: `usplit run` makes it")]
    found = [_writable(root), free_space("store, space", shutil.disk_usage(root).free)]
    found += _file_system(root, Path("/proc/mounts"))
    try:
        store = existing_store(path)
    except StoreError:
        return [*found, Finding("ok", "ledger", "none yet: no study has been run here")]
    return [*found, _ledger(store.ledger), _tracking(store)]


def examine_objects(address: str) -> Finding:
    """Return what was found of the object store through which nodes share trials."""
    what = "shared storage"
    try:
        check_address(address)
        check_shared(Store(Path(), shared=address))
    except StoreError as error:
        return Finding("problem", what, str(error), "then call doctor again")
    return Finding("ok", what, f"{address}: written, read, replaced and removed, each with a condition")


def _writable(root: Path) -> Finding:
    if os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return Finding("ok", "store", str(root))
    return Finding("problem", "store", f"{root} cannot be written to", "change its owner, or name another --store")


def _file_system(root: Path, mounts: Path) -> Iterator[Finding]:
    kind = file_system(root, mounts)
    if kind.startswith(_NETWORK):
        yield Finding(
            "warning",
            "store, file system",
            f"{kind}: right for the trials of several nodes, but SQLite's locks hold on few of its kind",
            "start studies on this store from one machine only, and show results through a tracking server",
        )


def file_system(root: Path, mounts: Path) -> str:
    """Return the kind of file system that `root` lies on, empty if unknown; `mounts` is the kernel's table."""
    if not mounts.exists():
        return ""
    fields = [line.split() for line in mounts.read_text().splitlines()]
    around = [(len(at), kind) for _, at, kind, *_ in fields if root.is_relative_to(at)]
    # Of equally long ones the last was mounted over the others.
    return max(reversed(around), key=lambda mount: mount[0], default=(0, ""))[1]


def _ledger(path: Path) -> Finding:
    try:
        with connect_to_read(path) as connection:
            check_version(connection, path)
            broken = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            leased = connection.execute("SELECT count(*) FROM trials WHERE state = 'leased'").fetchone()[0]
    except StoreError as error:
        return Finding("problem", "ledger", str(error), "update usplit-study")
    except sqlite3.Error as error:
        broken = str(error)
    if broken != "ok":
        return Finding("problem", "ledger", f"{path.name} is damaged ({broken})", REMEDY_OF_DAMAGE)
    study = running_study(path)
    if study is not None:
        return Finding("ok", "ledger", f"study {study} is running, {leased} trials at a time")
    if leased:
        remedy = "run the same command again: they go on from their last checkpoint"
        return Finding("warning", "ledger", f"the last study was killed while {leased} trials were running", remedy)
    return Finding("ok", "ledger", "readable, no study is running")


def _tracking(store: Store) -> Finding:
    if store.server is None:
        return Finding("ok", "tracking", "mlflow.db in the store")
    place = without_password(store.server)
    if not store.server.startswith(("http://", "https://")):
        return Finding("ok", "tracking", f"{place} (not tried)")
    try:
        with urllib.request.urlopen(f"{store.server.rstrip('/')}/version", timeout=_SERVER_ANSWER_S) as answer:
            return Finding("ok", "tracking", f"{place} answers, MLflow {answer.read(40).decode(errors='replace')}")
    except urllib.error.HTTPError as error:
        remedy = "name this host in --allowed-hosts of the server" if error.code == 403 else "look at the server's log"
        return Finding("warning", "tracking", f"{place} answers {error.code}", f"{remedy}; studies run without it")
    except OSError as error:
        seen = f"{place} does not answer ({getattr(error, 'reason', error)})"
        return Finding("warning", "tracking", seen, "start it; studies run without it and send what it missed later")
