"""How a queue gets into other processes: by name, token, and pickling."""

import os
import pickle
import subprocess
import sys
import urllib.parse
from pathlib import Path

import msgspec
import pytest

import weft

from ..helpers import LIMIT, run_program


class Job(msgspec.Struct):
    number: int


class Shout:
    """A user's codec."""

    def encode(self, obj):
        return obj.upper().encode()

    def decode(self, data):
        return bytes(data).decode()


# --- pickling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["q", None])
def test_pickle_opens_the_same_queue(open_queue, name, protocol):
    queue = open_queue(name)
    with pickle.loads(pickle.dumps(queue, protocol)) as again:
        again.put("there")
        assert queue.get() == "there"
        assert again.path == queue.path
        assert again.name == queue.name
        assert repr(again) == repr(queue)


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "raw"},
        {"codec": "pickle"},
        {"codec": "json"},
        {"codec": Shout()},
        {"type": Job},
        {"views": True},
        {"maxsize": 3, "capacity": 1 << 20, "max_message": 1000, "max_deliveries": 3, "dead_letter": "dead"},
        {"wait": "power", "on_full": "drop-oldest", "lifetime": "kept"},
    ],
    ids=lambda options: " ".join(options),
)
def test_pickle_keeps_what_belongs_to_the_handle(open_queue, options):
    queue = open_queue("q", **options)
    with pickle.loads(pickle.dumps(queue)) as again:
        message = Job(5) if "type" in options else "MESSAGE" if options.get("codec") != "raw" else b"raw"
        again.put(message)
        assert queue.get() == message
        if "views" in options:
            queue.put(bytes(100_000))
            assert isinstance(again.get(), memoryview)
        if "on_full" in options:
            with open_queue("other", 1, on_full="drop-oldest") as other, pickle.loads(pickle.dumps(other)) as dropping:
                dropping.put_many([1, 2, 3])
                assert other.get() == 3


def test_pickle_of_a_closed_handle(open_queue):
    queue = open_queue("q")
    queue.close()
    with pytest.raises(weft.ClosedError):
        pickle.dumps(queue)


def test_unpickling_what_has_gone(open_queue):
    queue = open_queue("q")
    data = pickle.dumps(queue)
    queue.close()
    with pytest.raises(weft.NotFoundError, match="'q'"):
        pickle.loads(data)


def test_unpickling_never_opens_another_queue_of_that_name(open_queue):
    queue = open_queue("q")
    data, token = pickle.dumps(queue), queue.token
    queue.unlink()
    other = open_queue("q")
    other.put("secret")
    with pytest.raises(weft.NotFoundError):
        pickle.loads(data)
    with pytest.raises(weft.NotFoundError):
        weft.open(token)
    assert other.get() == "secret"


def test_unpickling_a_kind_of_another_version(open_queue):
    opener, (_, *rest) = open_queue("q").__reduce__()
    with pytest.raises(weft.MismatchError, match=r"'q'.*999.*version") as caught:
        opener(999, *rest)
    assert caught.value.found == 999


def test_through_another_queue(open_queue):
    letters, queue = open_queue("letters", codec="pickle"), open_queue()
    letters.put({"reply to": queue})
    run_program(
        """
        with weft.Queue("letters", codec="pickle") as letters:
            letters.get()["reply to"].put("answer")
        """
    )
    assert queue.get() == "answer"


TRAVELLERS = """\
import multiprocessing, sys
import weft

def work(jobs, results):
    for job in jobs:
        results.put(job)
    results.put("done")

def put_one(queue, number):
    queue.put(number)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with weft.Queue() as jobs, weft.Queue("results", maxsize=5) as results:
        workers = [context.Process(target=work, args=(jobs, results)) for _ in range(2)]
        for worker in workers:
            worker.start()
        jobs.put_many(range(100))
        jobs.shutdown()
        taken = []
        while taken.count("done") < 2:
            taken.append(results.get(timeout=30))
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert sorted(number for number in taken if number != "done") == list(range(100))
        with context.Pool(2) as pool:
            pool.starmap(put_one, [(results, i) for i in range(3)])
        assert sorted(results.get_many()) == [0, 1, 2]
    print("well")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_through_multiprocessing(tmp_path, method):
    script = tmp_path / "travellers.py"
    script.write_text(TRAVELLERS)
    done = subprocess.run(
        [sys.executable, script, method], stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True
    )
    assert done.stdout == "well\n"


# --- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q", None])
def test_token_opens_the_same_queue(open_queue, name):
    queue = open_queue(name)
    with weft.open(queue.token) as again:
        again.put("there")
        assert queue.get() == "there"


def test_token_works_in_any_program(open_queue):
    queue = open_queue()
    assert queue.token.isprintable()
    assert not set(queue.token) & set(" '\"\\$`")  # may stand on a command line as it is
    run_program("weft.open(sys.argv[1]).put('from there')", queue.token)
    assert queue.get() == "from there"


def test_token_works_in_any_namespace(open_queue, spare, monkeypatch):
    queue = open_queue("q")
    monkeypatch.setenv("WEFT_NAMESPACE", str(spare))
    with weft.open(queue.token) as again:
        again.put(1)
    assert queue.get() == 1


@pytest.mark.parametrize(
    "directory", ["with space", "per%20cent", "que?ry=1&x", "hash#", "ünï", "quo'te\"s", "new\nline"]
)
def test_token_works_whatever_the_directory_is_called(open_queue, spare, directory):
    queue = open_queue("a:name=with,all@signs+-.", namespace=spare / directory)
    with weft.open(queue.token) as again:
        assert again.path == queue.path


def test_token_of_a_directory_that_is_no_text(open_queue, spare):
    queue = open_queue("q", namespace=os.fsdecode(os.fsencode(spare) + b"/\xff\xfe"))
    with weft.open(queue.token) as again:
        assert again.path == queue.path


def test_token_keeps_what_text_can_say(open_queue):
    queue = open_queue("q", 1, codec="raw", on_full="drop-oldest", wait="power", views=True)
    with weft.open(queue.token) as again:
        again.put_many([b"x", b"y" * 100_000])
        assert isinstance(again.get(), memoryview)
        assert again.statistics().dropped == 1


def test_open_takes_what_text_cannot_say(open_queue):
    typed, shouted = open_queue("typed", type=Job), open_queue("shouted", codec=Shout())
    for token, options, message in ((typed.token, {"type": Job}, Job(1)), (shouted.token, {"codec": Shout()}, "A")):
        with pytest.raises(weft.MismatchError):
            weft.open(token)
        with weft.open(token, **options) as again:
            again.put(message)
            assert again.get() == message
    with weft.open(typed.token, type=Job, on_full="drop-newest") as again:
        assert "drop-newest" in again.token


def test_token_of_what_has_gone(open_queue):
    queue = open_queue("q")
    token = queue.token
    queue.close()
    with pytest.raises(weft.NotFoundError, match="'q'"):
        weft.open(token)


def test_token_never_creates(open_queue, spare):
    token = open_queue("q").token
    with pytest.raises(weft.NotFoundError):
        weft.open(token.replace("/q?", "/other?"))
    nowhere = spare / "nowhere"
    with pytest.raises(weft.NotFoundError):
        weft.open(f"weft:Queue:{nowhere}/q")
    assert not nowhere.exists()


@pytest.mark.parametrize(
    "text",
    [
        "", "weft", "weft:", "weft:Queue", "weft:Queue:", "weft:Queue:relative/q", "weft:Topic:/tmp/q", "weft:Queue:/",
        "weft:Queue:/dev/shm/x/q?unknown=1", "weft:Queue:/dev/shm/x/q?=&", "weft:Queue:/dev/shm/x/q?on_full",
        "weft:Queue:/dev/shm/x/..", "weft:Queue:/dev/shm/x/%00", "https://example.org", "weft:Queue:/a%0/q%zz",
        "weft:Queue:/dev/shm/x/q?on_full=never", "weft:Queue:/dev/shm/x/q?codec=nonsense",
    ],
)  # fmt: skip
def test_what_is_no_token(text):
    with pytest.raises((ValueError, weft.NotFoundError)) as caught:
        weft.open(text)
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("token", [None, 5, b"weft:Queue:/x/q", Path("/x/q")])
def test_token_of_a_wrong_type(token):
    with pytest.raises((TypeError, ValueError), match="token"):
        weft.open(token)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another user's directory")
@pytest.mark.parametrize("mode", [0o700, 0o770, 0o777])
def test_token_does_not_lead_into_another_users_directory(open_queue, spare, mode):
    queue = open_queue("q", namespace=spare)
    token = queue.token
    spare.chmod(mode)
    os.chown(spare, 65534, 65534)
    try:
        with pytest.raises(weft.AccessError, match="65534"):
            weft.open(token)
    finally:
        os.chown(spare, 0, 0)
        spare.chmod(0o700)


# --- names -----------------------------------------------------------------------------------------


def test_unrelated_programs_talk_by_name(open_queue):
    questions, answers = open_queue("questions"), open_queue("answers")
    questions.put_many(range(100))
    questions.shutdown()
    run_program(
        """
        import os
        answers = weft.Queue("answers")
        for question in weft.Queue("questions"):
            answers.put((os.getpid(), question, question ** 2))
        """
    )
    replies = [answers.get(timeout=0) for _ in range(100)]
    assert [(question, answer) for _, question, answer in replies] == [(i, i * i) for i in range(100)]
    assert {pid for pid, _, _ in replies} != {os.getpid()}


def test_names_of_two_namespaces_are_kept_apart(open_queue, spare):
    here, there = open_queue("q"), open_queue("q", namespace=weft.Namespace(spare))
    here.put("here")
    assert there.empty()
    there.put("there")
    assert (here.get(), there.get()) == ("here", "there")
    assert urllib.parse.quote(str(spare)) in there.token
