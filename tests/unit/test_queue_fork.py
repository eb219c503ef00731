"""A queue on both sides of a fork. All of it in programs of their own: a fork of the tests' process, with its
threads, would test something else.
"""

import textwrap

import pytest

from ..helpers import run_program, start_program, until

FORK = """
import os

def fork(child):
    \"\"\"Runs child() in a forked process; its pid.\"\"\"
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def leave():
    # The interpreter's watchdog thread is the parent's: waiting for its end, as exit does, would never end.
    sys.stdout.flush()
    os._exit(0)

def join(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def run(code: str) -> str:
    return run_program(FORK + textwrap.dedent(code))


def test_child_goes_on_with_its_parents_handle():
    said = run(
        """
        queue = weft.Queue("q")
        def child():
            assert queue.get() == "question"
            queue.put("answer")
            assert queue.statistics().attached == 2
        queue.put("question")
        join(fork(child))
        say(queue.get(timeout=0), queue.statistics().attached)
        """
    )
    assert said == "answer 1\n"


@pytest.mark.parametrize("use", ["put(1)", "put(b'1')", "put_many([1])", "put(bytes(100_000))", "qsize()", "empty()"])
def test_first_use_in_the_child_may_be_any(use):
    said = run(
        f"""
        queue = weft.Queue("q")
        before = queue.qsize()
        join(fork(lambda: queue.{use}))
        say(queue.qsize() - before)
        queue.close() if queue.empty() else queue.get()
        """
    )
    assert said == ("1\n" if "put" in use else "0\n")


@pytest.mark.parametrize("use", ["get()", "get_many()", "lease().ack()", "lease_many().ack()", "__next__()"])
def test_first_take_in_the_child_may_be_any(use):
    said = run(
        f"""
        queue = weft.Queue("q")
        queue.put(1)
        join(fork(lambda: queue.{use}))
        say(queue.qsize(), queue.statistics().leased)
        """
    )
    assert said == "0 0\n"


def test_parent_dies_and_the_child_goes_on(open_queue):
    queue = open_queue("q")
    with start_program(
        FORK
        + """
queue = weft.Queue("q")
pid = os.fork()
if pid:
    say(pid)
    os.kill(os.getpid(), 9)
for job in queue:
    say(job)
leave()
"""
    ) as program:
        program.hear()
        program.process.wait()  # the parent: the child has its pipes still
        for i in range(3):
            queue.put(i)
            program.expect(str(i))
        assert queue.statistics().attached == 2
        queue.shutdown()
        assert program.process.stdout.read() == ""
    until(lambda: queue.statistics().attached == 1)


def test_what_the_parent_left_goes_with_the_child(namespace):
    with start_program(
        FORK
        + """
queue = weft.Queue("q")
queue.fileno()
if os.fork():
    os.kill(os.getpid(), 9)
say(sorted(os.listdir(os.environ["WEFT_NAMESPACE"]))[1:])
hear()
queue.put("x")
assert queue.get() == "x"
queue.close()
say(os.listdir(os.environ["WEFT_NAMESPACE"]))
leave()
"""
    ) as program:
        program.expect("['q']")
        program.process.wait()
        program.say()
        program.expect("[]")
        assert program.process.stdout.read() == ""


def test_parents_death_is_seen_though_its_child_lives(open_queue):
    queue = open_queue("q")
    queue.put("job")
    with start_program(
        FORK
        + """
queue = weft.Queue("q")
lease = queue.lease()
if os.fork():
    os.kill(os.getpid(), 9)
say("alive")
hear()
leave()
"""
    ) as program:
        program.expect("alive")
        program.process.wait()
        assert queue.get(timeout=30) == "job"
        program.say()
        assert program.process.stdout.read() == ""


def test_child_that_closes_its_handle_takes_nothing_from_the_parent():
    said = run(
        """
        queue = weft.Queue("q")
        queue.put_many([1, 2])
        join(fork(queue.close))
        say(queue.get_many(), os.path.exists(queue.path))
        """
    )
    assert said == "[1, 2] True\n"


@pytest.mark.parametrize("first", ["", "queue.put('c'); assert queue.get() == 'c'"])
@pytest.mark.parametrize("then", ["lease.ack()", "lease.release()", "del lease"])
def test_a_parents_lease_is_not_its_childs(first, then):
    said = run(
        f"""
        queue = weft.Queue("q")
        queue.put("job")
        lease = queue.lease()
        def child():
            global lease
            {first}
            {then}
            assert queue.empty()
            assert queue.statistics().leased == 1
        join(fork(child))
        say(queue.qsize(), queue.statistics().leased)
        lease.release()
        say(queue.get(timeout=0))
        """
    )
    assert said == "0 1\njob\n"


@pytest.mark.parametrize("kind", ["view", "array", "loan"])
def test_a_parents_memory_is_not_its_childs(kind):
    said = run(
        f"""
        import numpy
        queue = weft.Queue("q", capacity=1 << 20, views=True)
        if "{kind}" == "loan":
            loan = queue.loan(100_000)
            view = loan.__enter__()
            view[:] = b"x" * 100_000
        else:
            queue.put(b"x" * 100_000 if "{kind}" == "view" else numpy.full(100_000, 120, "u1"))
            view = queue.get()
        def child():
            global view, loan
            queue.put("joined")
            assert queue.get() == "joined"
            assert bytes(view[:3]) == b"xxx"
            loan = view = None
            for _ in range(50):
                queue.put(bytes(100_000))
                queue.get()
        join(fork(child))
        for _ in range(50):
            queue.put(bytes(100_000))
            queue.get()
        say(bytes(view) == b"x" * 100_000)
        """
    )
    assert said == "True\n"


def test_views_of_the_parent_stay_while_the_child_reads_them():
    said = run(
        """
        import numpy
        queue = weft.Queue("q", capacity=4 << 20)
        queue.put(numpy.arange(100_000))
        view = queue.get()
        def child():
            assert (view == numpy.arange(100_000)).all()
        join(fork(child))
        say((view == numpy.arange(100_000)).all())
        """
    )
    assert said == "True\n"


def test_grandchildren():
    said = run(
        """
        queue = weft.Queue("q")
        def generation(left):
            queue.put(left)
            if left:
                join(fork(lambda: generation(left - 1)))
        join(fork(lambda: generation(4)))
        say(queue.get_many())
        """
    )
    assert said == "[4, 3, 2, 1, 0]\n"


def test_many_children_share_the_work():
    said = run(
        """
        queue, results = weft.Queue("q"), weft.Queue("results")
        def child():
            for number in queue:
                results.put(number)
        children = [fork(child) for _ in range(6)]
        queue.put_many(range(3000))
        queue.shutdown()
        for pid in children:
            join(pid)
        taken = []
        while not results.empty():
            taken += results.get_many()
        say(sorted(taken) == list(range(3000)), queue.statistics().attached)
        """
    )
    assert said == "True 1\n"


def test_fork_while_another_thread_uses_the_queue():
    said = run(
        """
        import threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        queue = weft.Queue("q", capacity=1 << 20)
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                queue.put(bytes(20_000))
                queue.get()
                with weft.Queue():
                    pass
        thread = threading.Thread(target=churn)
        thread.start()
        with weft.Queue("results") as results:
            for i in range(50):
                join(fork(lambda: results.put(i)))
            stop.set()
            thread.join()
            taken = []
            while not results.empty():
                taken += results.get_many()
            say(taken == list(range(50)), queue.statistics().attached)
        # A child that ended without closing what the thread had open just then left it as the killed do.
        weft.Namespace().clean()
        """
    )
    assert said == "True 1\n"


def test_child_that_has_not_used_its_handle_keeps_the_messages():
    said = run(
        """
        import warnings
        queue = weft.Queue("q")
        queue.put_many([1, 2])
        parent, child_end = os.pipe(), os.pipe()
        def child():
            os.read(parent[0], 1)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                queue.close()
            say([str(warning.message)[:60] for warning in warned])
        pid = fork(child)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            queue.close()
        assert weft.Queue("q", create=False).get() == 1
        os.write(parent[1], b"x")
        join(pid)
        """
    )
    assert "closing the last handle of queue 'q' has thrown away 1 mess" in said


def test_listening_on_both_sides():
    said = run(
        """
        import select
        queue = weft.Queue("q")
        queue.fileno()
        def child():
            select.select([queue], [], [])
            assert queue.get() == "for the child"
            queue.put("for the parent")
        pid = fork(child)
        queue.put("for the child")
        join(pid)
        assert select.select([queue], [], [], 30)[0]
        say(queue.get())
        """
    )
    assert said == "for the parent\n"


def test_asyncio_in_the_child():
    said = run(
        """
        import asyncio
        queue, answers = weft.Queue("q"), weft.Queue("answers")
        async def wait():
            await answers.aput(await queue.aget())
        pid = fork(lambda: asyncio.run(wait()))
        queue.put("through a loop")
        join(pid)
        say(answers.get(timeout=0))
        """
    )
    assert said == "through a loop\n"


@pytest.mark.parametrize("forked", ["in the loop", "beside it"])
def test_child_of_a_waiting_loop_leaves_its_parents_wait_alone(forked):
    said = run(
        f"""
        in_the_loop = {forked == "in the loop"}"""
        """
        import asyncio
        weft._aio.TICK = 1e6  # only a ring wakes the parent
        queue = weft.Queue("q")
        def child():
            [listener] = [waiter._descriptor for waiter in queue._waiters.values()]
            queue.close()
            say("kept" if os.path.lexists(f"/proc/self/fd/{listener}") else "let go")
            with weft.Queue("q") as own:
                own.put("for the child")
                assert asyncio.new_event_loop().run_until_complete(own.aget()) == "for the child"
                own.put("for the parent")
        async def main():
            wait = asyncio.create_task(queue.aget())
            while not queue._waiters:
                await asyncio.sleep(0)
            if in_the_loop:
                join(fork(child))
            return wait
        loop = asyncio.new_event_loop()
        wait = loop.run_until_complete(main())
        if not in_the_loop:
            join(fork(child))
        say(loop.run_until_complete(wait))
        loop.close()
        """
    )
    assert said == "let go\nfor the parent\n"


def test_child_ends_without_waiting_for_a_reader():
    said = run(
        """
        queue = weft.Queue("q")
        join(fork(lambda: queue.put_many([b"x" * 1000] * 10_000)))
        say(queue.qsize())
        while not queue.empty():
            queue.get_many()
        """
    )
    assert said == "10000\n"


def test_nothing_is_left_after_thousands_of_forks(open_queue):
    queue = open_queue("q")
    said = run(
        """
        queue = weft.Queue("q")
        before = len(os.listdir("/proc/self/fd"))
        for i in range(500):
            pid = os.fork()
            if not pid:
                queue.put(i)
                os.kill(os.getpid(), 9)
            os.waitpid(pid, 0)
        say(len(os.listdir("/proc/self/fd")) - before)
        """
    )
    assert said == "0\n"
    assert [queue.get(timeout=0) for _ in range(500)] == list(range(500))
    assert queue.statistics().attached == 1


def test_handle_closed_before_the_fork_stays_closed():
    said = run(
        """
        queue = weft.Queue("q")
        queue.close()
        def child():
            try:
                queue.put(1)
            except weft.ClosedError:
                os._exit(0)
            os._exit(1)
        join(fork(child))
        say("closed")
        """
    )
    assert said == "closed\n"
