"""Each check of the doctor, in the state that it is there to find."""

import os

import pytest

import weft
from weft._core.look import try_directory
from weft.memory import _doctor, _logind, doctor

from ..helpers import run_program, start_program

ROOT = os.geteuid() == 0


def by_name(checks):
    found = {}
    for check in checks:
        found.setdefault(check.name, []).append(check)
    return found


def test_a_sound_machine(namespace):
    checks = doctor()
    names = [check.name for check in checks]
    for name in ("system", "memory", "filesystem", "open files", "address space", "file size", "locked memory",
                 "mappings", "logout", "containers", "own directory", "namespace"):  # fmt: skip
        assert name in names
    assert all(check.status in ("ok", "warning", "problem") for check in checks)
    assert all(check.advice for check in checks if check.status != "ok")
    found = by_name(checks)
    assert found["filesystem"][0].status == "ok"
    assert found["namespace"][0].data["path"] == str(namespace)
    (memory,) = found["memory"]
    assert memory.data["type"] == "tmpfs"
    assert memory.data["size"] == os.statvfs(namespace).f_blocks * os.statvfs(namespace).f_frsize
    assert os.listdir(namespace) == []


def test_it_makes_nothing(namespace):
    missing = namespace / "a" / "b"
    found = by_name(doctor(missing))
    assert "not there yet" in found["namespace"][0].finding
    assert found["memory"][0].data["directory"] == str(namespace)
    assert os.listdir(namespace) == []


def test_a_namespace_that_cant_be(monkeypatch):
    (check,) = doctor("nats://host")
    assert (check.name, check.status) == ("namespace", "problem")
    monkeypatch.setenv("WEFT_NAMESPACE", "a b")
    assert [check.status for check in doctor()] == ["problem"]


@pytest.mark.parametrize(
    ("limit", "value", "name", "status"),
    [
        ("RLIMIT_NOFILE", 24, "open files", "problem"),
        ("RLIMIT_NOFILE", 100, "open files", "warning"),
        ("RLIMIT_AS", 1 << 30, "address space", "warning"),
        ("RLIMIT_FSIZE", 1 << 20, "file size", "problem"),
        ("RLIMIT_FSIZE", 1 << 29, "file size", "warning"),
        ("RLIMIT_MEMLOCK", 0, "locked memory", "ok"),
    ],
)
def test_limits(limit, value, name, status):
    said = run_program(
        """
        import resource
        which = getattr(resource, sys.argv[1])
        resource.setrlimit(which, (int(sys.argv[2]), resource.getrlimit(which)[1]))
        for check in weft.memory.doctor():
            say(f"{check.name}|{check.status}")
        """,
        limit,
        value,
    )
    assert f"{name}|{status}" in said.splitlines()


def test_directory_that_lets_others_in(namespace):
    namespace.chmod(0o777)
    (check,) = by_name(doctor())["namespace"]
    assert check.status == "warning"
    assert "mode 0777" in check.finding
    assert "chmod 700" in check.advice
    namespace.chmod(0o700)


@pytest.mark.skipif(not ROOT, reason="needs root, to give a directory away")
def test_directory_of_another_user(spare):
    os.chown(spare, 65534, -1)
    (check,) = by_name(doctor(spare))["namespace"]
    assert check.status == "problem"
    assert "belongs to user 65534" in check.finding
    os.chown(spare, os.geteuid(), -1)


def test_file_in_the_directorys_place(namespace):
    (namespace / "file").touch()
    (check,) = by_name(doctor(namespace / "file"))["namespace"]
    assert check.status == "problem"
    (namespace / "file").unlink()


def test_leftovers_and_damage(namespace):
    with start_program("q = weft.Queue('left'); say('ready'); hear()") as program:
        program.expect("ready")
    with weft.Queue("bad", lifetime="kept"):
        pass
    os.truncate(namespace / "bad", 50_000)
    (namespace / "notes").touch()
    (check,) = (c for c in by_name(doctor())["objects"] if c.data["namespace"] == str(namespace))
    assert check.status == "warning"
    assert check.data["leftovers"] == ["left"]
    assert check.data["unsound"] == {"bad": "damaged"}
    assert "weft clean" in check.advice
    assert "weft inspect" in check.advice
    weft.memory.clean()
    weft.memory.clean(["bad"])
    (namespace / "notes").unlink()


def test_trial_of_a_directory(namespace, tmp_path):
    assert set(try_directory(os.fsencode(namespace)).values()) == {0}
    assert os.listdir(namespace) == []
    assert set(try_directory(b"/nowhere").values()) == {2}
    assert try_directory(b"/proc")["making"] != 0
    tried = try_directory(os.fsencode(tmp_path))
    assert {name: code for name, code in tried.items() if name != "unnamed_files"} == dict.fromkeys(
        ["making", "reserving", "mapping", "attaching", "byte_locks", "linking", "doorbells"], 0
    )
    assert os.listdir(tmp_path) == []


def test_what_the_file_system_cant_do_is_named(namespace, monkeypatch):
    sound = try_directory(os.fsencode(namespace))
    for changes, status, words in (
        ({"unnamed_files": 95}, "warning", "O_TMPFILE"),
        ({"byte_locks": 37}, "problem", "F_OFD_SETLK"),
        ({"attaching": 95, "doorbells": 1}, "problem", "flock"),
        ({"reserving": 28}, "problem", "fallocate"),
        (dict.fromkeys(sound, 13), "problem", "making a file"),
    ):
        monkeypatch.setattr(_doctor._native, "try_directory", lambda path, changes=changes: sound | changes)
        (check,) = by_name(doctor())["filesystem"]
        assert check.status == status
        assert words in check.finding
        assert check.advice


def test_a_check_that_fails_is_not_the_end(monkeypatch, namespace):
    def broken(place):
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(_doctor, "_CHECKS", (broken, _doctor._system))
    first, second = doctor()
    assert (first.name, first.status) == ("broken", "warning")
    assert second.status == "ok"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (84 << 10, "84 KiB"), (100 << 20, "100 MiB"),
     (5 << 30, "5 GiB"), (3 << 40, "3 TiB"), (5000 << 40, "5000 TiB")],
)  # fmt: skip
def test_size_text(count, text):
    assert _doctor.size_text(count) == text


# --- systemd-logind --------------------------------------------------------------------------------


SHM = _doctor.Path("/dev/shm/weft-4711/default")
USER = 4711


@pytest.fixture
def write(tmp_path):
    """Writes files below a root directory in which systemd-logind runs."""
    (tmp_path / "run/systemd/seats").mkdir(parents=True)

    def write_one(path, text=""):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write_one


@pytest.mark.parametrize(
    ("files", "removes"),
    [
        ({}, True),
        ({"etc/systemd/logind.conf": "[Login]\n#RemoveIPC=no\n"}, True),
        ({"etc/systemd/logind.conf": "[Login]\nRemoveIPC=no\n"}, False),
        ({"usr/lib/systemd/logind.conf": "[Login]\nRemoveIPC=no\n"}, False),
        ({"usr/lib/systemd/logind.conf": "[Login]\nRemoveIPC=no", "etc/systemd/logind.conf": "[Login]"}, True),
        (
            {
                "etc/systemd/logind.conf": "[Login]\nRemoveIPC=no",
                "etc/systemd/logind.conf.d/5.conf": "[Login]\nRemoveIPC=1",
            },
            True,
        ),
        (
            {
                "usr/lib/systemd/logind.conf.d/10-a.conf": "[Login]\nRemoveIPC=yes",
                "run/systemd/logind.conf.d/20-b.conf": "[Login]\nRemoveIPC=false",
            },
            False,
        ),
        (
            {
                "usr/lib/systemd/logind.conf.d/10-a.conf": "[Login]\nRemoveIPC=no",
                "etc/systemd/logind.conf.d/10-a.conf": "[Login]\nKillUserProcesses=no",
            },
            True,
        ),
        ({"etc/systemd/logind.conf": "not [ a file of that kind", "etc/systemd/logind.conf.d/1.conf": "\xff"}, True),
        ({"etc/systemd/logind.conf": "[Login]\nremoveipc = NO \nRemoveIPC=off\n"}, False),
    ],
)
def test_remove_ipc(tmp_path, write, files, removes):
    for path, text in files.items():
        write(path, text)
    assert _logind.remove_ipc(tmp_path)[0] is removes


def test_judgement(tmp_path, write):
    status, finding, advice, data = _logind.judge(USER, SHM, tmp_path)
    assert status == "warning"
    assert "RemoveIPC=yes (its default)" in finding
    assert "enable-linger 4711" in advice
    assert data == {"logind": True, "remove_ipc": True, "source": "its default", "system_user": False, "lingers": False}
    assert _logind.judge(USER, _doctor.Path("/mnt/shared"), tmp_path)[0] == "ok"
    assert _logind.judge(999, SHM, tmp_path)[0] == "ok"
    assert _logind.judge(0, SHM, tmp_path)[0] == "ok"
    write("var/lib/systemd/linger/4711")
    assert _logind.judge(USER, SHM, tmp_path)[0] == "ok"
    (tmp_path / "var/lib/systemd/linger/4711").unlink()
    write("etc/login.defs", "# SYS_UID_MAX 5000\nSYS_UID_MAX\t\t 4999\n")
    assert _logind.judge(USER, SHM, tmp_path)[0] == "ok"
    assert _logind.judge(5000, SHM, tmp_path)[0] == "warning"
    write("etc/systemd/logind.conf.d/keep.conf", "[Login]\nRemoveIPC=no")
    assert _logind.judge(5000, SHM, tmp_path)[0] == "ok"


def test_without_logind(tmp_path):
    status, finding, _, _ = _logind.judge(USER, SHM, tmp_path)
    assert status == "ok"
    assert "does not run here" in finding
