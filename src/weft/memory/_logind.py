"""Whether systemd-logind deletes a user's shared memory when the last session ends (its RemoveIPC)."""

from __future__ import annotations

import configparser
import pwd
import re
from pathlib import Path
from typing import Any

# In the order of precedence; of drop-ins with the same name the first counts (man logind.conf).
_FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib")


def remove_ipc(root: Path = Path("/")) -> tuple[bool, str]:
    """The setting of logind.conf and its drop-ins, and the file that says so."""
    value, source = True, "its default"
    for file in _files(root):
        parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        try:
            parser.read(file, encoding="utf-8")
            said = parser.get("Login", "RemoveIPC", fallback=None)
        except (configparser.Error, UnicodeDecodeError):
            continue
        if said is not None:
            value, source = said.strip().lower() in ("yes", "true", "on", "1", "y", "t", ""), str(file)
    return value, source


def _files(root: Path) -> list[Path]:
    """Those that count, the last one most."""
    main = [path for folder in _FOLDERS if (path := root / folder / "systemd/logind.conf").is_file()][:1]
    by_name: dict[str, Path] = {}
    for folder in _FOLDERS:
        for path in (root / folder / "systemd/logind.conf.d").glob("*.conf"):
            by_name.setdefault(path.name, path)
    return main + [by_name[name] for name in sorted(by_name)]


def is_system_user(uid: int, root: Path = Path("/")) -> bool:
    """Whether logind takes it for one of the system's: those keep what they have."""
    most = 999
    try:
        found = re.search(r"^\s*SYS_UID_MAX\s+(\d+)", (root / "etc/login.defs").read_text(errors="replace"), re.M)
        most = int(found[1]) if found else most
    except OSError:
        pass
    return uid <= most or uid in (65534, 65535)


def judge(uid: int, path: Path, root: Path = Path("/")) -> tuple[str, str, str | None, dict[str, Any]]:
    """Status, finding, advice and data about what logind does to files of ``uid`` at ``path``."""
    running = (root / "run/systemd/seats").is_dir()
    removes, source = remove_ipc(root)
    system_user = is_system_user(uid, root)
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    lingers = (root / "var/lib/systemd/linger" / user).exists()
    data = {"logind": running, "remove_ipc": removes, "source": source, "system_user": system_user, "lingers": lingers}
    if not path.is_relative_to("/dev/shm"):  # noqa: S108 - a comparison
        return "ok", f"{path} is not in /dev/shm, where systemd-logind deletes at logout", None, data
    if not running:
        return "ok", "systemd-logind does not run here: nobody deletes shared memory at logout", None, data
    if system_user:
        return "ok", f"user {user} is one of the system's: systemd-logind leaves its shared memory alone", None, data
    if not removes:
        return "ok", f"systemd-logind has RemoveIPC=no ({source})", None, data
    if lingers:
        return "ok", f"user {user} lingers: systemd-logind deletes no shared memory at logout", None, data
    return (
        "warning",
        f"systemd-logind has RemoveIPC=yes ({source}): it deletes the names of all objects of user {user} in /dev/shm "
        "when the last session ends, also of programs that run on under nohup, tmux or cron",
        f"loginctl enable-linger {user}; or RemoveIPC=no in /etc/systemd/logind.conf; or run as a system user",
        data,
    )
