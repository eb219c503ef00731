"""``fileno``: a queue in ``select``, ``poll`` and selectors."""

import os
import select
import selectors

import pytest

import weft

from ..helpers import run_program, start_program, until


def is_readable(queue: weft.Queue) -> bool:
    return bool(select.select([queue], [], [], 0)[0])


def test_readable_when_there_is_a_message(open_queue):
    queue, producer = open_queue("q"), open_queue("q")
    assert not is_readable(queue)
    for i in range(50):
        producer.put(i)
        assert is_readable(queue)
        assert queue.get() == i
        with pytest.raises(weft.Empty):
            queue.get_nowait()
        assert not is_readable(queue)


def test_readable_for_what_was_put_before(open_queue):
    queue = open_queue("q")
    queue.put(1)
    assert is_readable(queue)
    assert queue.get() == 1


def test_stays_readable_until_found_empty(open_queue):
    queue = open_queue("q")
    queue.fileno()
    queue.put_many([1, 2, 3])
    for i in (1, 2, 3):
        assert is_readable(queue)
        assert queue.get_nowait() == i
    with pytest.raises(weft.Empty):
        queue.get_nowait()
    assert not is_readable(queue)


@pytest.mark.parametrize("take", ["get", "get_many", "lease", "lease_many"])
def test_whatever_finds_it_empty_hushes_it(open_queue, take):
    queue = open_queue("q")
    queue.fileno()
    queue.put(1)
    assert queue.get() == 1
    with pytest.raises(weft.Empty):
        getattr(queue, take)(timeout=0)
    assert not is_readable(queue)
    queue.put(2)
    assert is_readable(queue)
    assert queue.get() == 2


def test_one_descriptor_that_is_the_queues(open_queue):
    queue = open_queue("q")
    descriptor = queue.fileno()
    assert queue.fileno() == descriptor
    assert not os.get_inheritable(descriptor)
    queue.close()
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_every_listener_hears(open_queue):
    producer, listeners = open_queue("q"), [open_queue("q") for _ in range(3)]
    for listener in listeners:
        assert not is_readable(listener)
    for _ in range(20):
        producer.put("x")
        assert all(is_readable(listener) for listener in listeners)
        assert listeners[0].get() == "x"
        for listener in listeners:
            with pytest.raises(weft.Empty):
                listener.get_nowait()
        assert not any(is_readable(listener) for listener in listeners)


def test_every_program_hears(open_queue):
    queue = open_queue("q")
    code = """
        import select
        queue = weft.Queue("q")
        queue.fileno()
        say("ready")
        count = 0
        while True:
            select.select([queue], [], [])
            try:
                while True:
                    queue.get_nowait()
                    count += 1
            except weft.Empty:
                continue
            except weft.ShutDown:
                break
        say(count)
    """
    with start_program(code) as one, start_program(code) as two, start_program(code) as three:
        programs = (one, two, three)
        for program in programs:
            program.expect("ready")
        for i in range(3000):
            queue.put(i)
            if i % 100 == 0:
                until(queue.empty)
        queue.shutdown()
        assert sum(int(program.finish()) for program in programs) == 3000


@pytest.mark.parametrize("how", ["released", "holder ended", "holder killed"])
def test_readable_when_a_lease_is_given_back(open_queue, how):
    queue = open_queue("q")
    queue.put("job")
    with start_program(
        """
        lease = weft.Queue("q").lease()
        say("leased")
        if hear() == "release":
            lease.release()
            say("released")
            hear()
        """
    ) as holder:
        holder.expect("leased")
        with pytest.raises(weft.Empty):
            queue.get_nowait()
        assert not is_readable(queue)
        if how == "released":
            holder.say("release")
            holder.expect("released")
            assert is_readable(queue)
        elif how == "holder ended":
            holder.say("end")
            holder.finish()
            assert is_readable(queue)
        else:
            holder.process.kill()
            holder.process.wait()
            # Nobody rings for the dead: whoever looks finds the job.
        assert queue.get(timeout=30) == "job"


def test_readable_at_shutdown(open_queue):
    queue, other = open_queue("q"), open_queue("q")
    assert not is_readable(queue)
    other.shutdown()
    assert is_readable(queue)
    assert is_readable(open_queue("q"))


def test_rung_by_an_unrelated_program(open_queue):
    queue = open_queue("q")
    assert not is_readable(queue)
    run_program("weft.Queue('q').put('x')")
    assert is_readable(queue)
    assert queue.get() == "x"


def test_thousands_of_rings_that_nobody_hears_block_nobody(open_queue):
    queue = open_queue("q")
    queue.fileno()
    for i in range(70_000):  # more than a FIFO holds
        queue.put(i)
        assert queue.get() == i
        with pytest.raises(weft.Empty):
            queue.get_nowait()
    queue.put("last")
    assert is_readable(queue)
    assert queue.get() == "last"


def test_selectors(open_queue):
    one, two = open_queue("one"), open_queue("two")
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ)
        selector.register(two, selectors.EVENT_READ)
        assert selector.select(0) == []
        run_program("weft.Queue('two').put('x')")
        assert [key.fileobj for key, _ in selector.select(30)] == [two]
    assert two.get() == "x"


def test_nothing_is_left_of_the_bell(open_queue, namespace):
    queue = open_queue("q")
    queue.fileno()
    assert len(list(namespace.iterdir())) == 2
    queue.close()
    assert list(namespace.iterdir()) == []


@pytest.mark.parametrize("order", ["unlink, close", "close, unlink"])
def test_nothing_is_left_of_a_kept_queues_bell(open_queue, namespace, order):
    queue = open_queue("q", lifetime="kept")
    queue.fileno()
    if order == "close, unlink":
        queue.close()
        queue = open_queue("q")
    queue.unlink()
    queue.close()
    assert list(namespace.iterdir()) == []
