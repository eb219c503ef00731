"""Several producers and several consumers of one queue: messages per second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from time import perf_counter, sleep

from .flow import chunks, put_all
from .loads import Load
from .peers.base import Channel
from .processes import partner, stop

# A consumer shows its count once in so many messages: rarely enough to cost nothing, and often
# enough to be wrong by less than one in a hundred with the slowest peer.
_STRIDE = 32
# Each process shows its numbers in a cache line of its own, or showing them would be measured.
_LINE = 8
_COUNT, _SUM, _REACHED = range(3)
_OPEN, _TIMED, _EXACT, _STOPPED, _DONE = range(1, 6)


@dataclass(frozen=True)
class Board:
    """What the processes show each other, in memory that forked processes share.

    Attributes:
        words: The phase that everyone is to be in, then a line for each process.
        seen: How often each message of the proof has arrived.
    """

    words: memoryview
    seen: mmap

    @classmethod
    def make(cls, processes: int, proofs: int) -> Board:
        """Maps the memory."""
        words = memoryview(mmap(-1, (1 + processes) * _LINE * 8)).cast("Q")
        return cls(words, mmap(-1, proofs))

    def line(self, process: int) -> memoryview:
        """Returns a process's own words: count, sum, and phase reached."""
        start = (1 + process) * _LINE
        return self.words[start : start + _LINE]


def run(channel: Channel, load: Load, seconds: float, producers: int, consumers: int) -> dict[str, float]:
    """Measures what the consumers take while the producers keep putting.

    After the measurement consumers show every single message, then producers stop, and the counts
    and sums of what was put and what was taken must become the same.

    Returns:
        ``value``, in messages per second, and ``least share`` of a consumer, in percent.
    """
    # One proof per producer, none equal to any other nor to a timed message.
    proofs = [[b"proof %d" % i + m[7:] for m in load.proof] for i in range(producers)]
    numbers = {message: n for n, message in enumerate(m for proof in proofs for m in proof)}
    board = Board.make(producers + consumers, len(numbers))
    putting = [board.line(i) for i in range(producers)]
    taking = [board.line(producers + i) for i in range(consumers)]
    patience = 10 + 5 * seconds

    def taken(word: int) -> list[int]:
        return [line[word] for line in taking]

    takers = [partner(_consume, channel, load, board, line, i, numbers) for i, line in enumerate(taking)]
    _wait(lambda: min(taken(_REACHED)) == _OPEN, "the consumers to open", patience)
    givers = [partner(_produce, channel, load, board, line, proof) for line, proof in zip(putting, proofs, strict=True)]
    all_once = bytes([1]) * len(numbers)
    _wait(lambda: board.seen[:] == all_once, "every message of the proof, once", patience)

    board.words[0] = _TIMED
    sleep(seconds / 10)
    start, before = perf_counter(), taken(_COUNT)
    sleep(seconds)
    elapsed, after = perf_counter() - start, taken(_COUNT)

    board.words[0] = _EXACT
    _wait(lambda: min(taken(_REACHED)) == _EXACT, "every consumer to have its turn", patience)
    board.words[0] = _STOPPED
    _wait(lambda: all(p[_REACHED] == _STOPPED for p in putting), "the producers", patience)
    laps = sum(line[_COUNT] for line in putting)
    put = laps * len(load.lap), laps * load.lap_weight
    _wait(lambda: (sum(taken(_COUNT)), sum(taken(_SUM))) == put, "everything put to arrive", patience)
    board.words[0] = _DONE
    for process in givers:
        process.join()
    for process in takers:
        stop(process)
    shares = [b - a for a, b in zip(before, after, strict=True)]
    return {"value": sum(shares) / elapsed, "least share": 100 * min(shares) / sum(shares)}


def _produce(channel: Channel, load: Load, board: Board, line: memoryview, proof: list[bytes]) -> None:
    lap = chunks(load.lap, channel.batch)
    words = board.words
    with channel.sender() as put:
        put_all(put, chunks(proof, channel.batch))
        while words[0] < _TIMED:
            sleep(0.001)
        laps = 0
        while words[0] < _STOPPED:
            put_all(put, lap)
            laps += 1
        line[_COUNT] = laps
        line[_REACHED] = _STOPPED
        # A sender that leaves may take along what has not been received.
        while words[0] < _DONE:
            sleep(0.001)


def _consume(
    channel: Channel,
    load: Load,
    board: Board,
    line: memoryview,
    index: int,
    numbers: dict[bytes, int],
) -> None:
    words, key, batch = board.words, load.key, channel.batch
    with channel.receiver(index) as get:
        line[_REACHED] = _OPEN
        messages = get(batch) if batch else [get()]
        # The first timed message is put when all of the proof has arrived.
        while messages[0] in numbers:
            for message in messages:
                board.seen[numbers[message]] += 1
            messages = get(batch) if batch else [get()]
        count, total = len(messages), sum(message[key] for message in messages)
        line[_COUNT], line[_SUM] = count, total
        while True:
            stride = _STRIDE if words[0] < _EXACT else 1
            messages = get(batch) if batch else [get() for _ in range(stride)]
            # Messages of one size: their weights stand as far apart in what they are joined to.
            arrived = b"".join(messages)
            if len(arrived) != len(messages) * load.size:
                raise ValueError("a message was cut or grew")
            count += len(messages)
            total += sum(arrived[key :: load.size])
            # Shown after the count it belongs to, so that nobody takes an old count for exact.
            line[_COUNT], line[_SUM] = count, total
            if words[0] >= _EXACT:
                line[_REACHED] = _EXACT


def _wait(condition: Callable[[], bool], what: str, patience: float) -> None:
    end = perf_counter() + patience
    while not condition():
        if perf_counter() > end:
            raise TimeoutError(f"waited in vain for {what}")
        sleep(0.001)
