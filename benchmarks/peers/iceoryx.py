"""iceoryx2 publish-subscribe, made lossless: one publisher, one subscriber."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import iceoryx2

from .base import Channel, Get, Put, Setup


class Iceoryx(Channel):
    """Busy-polling, or with an event that wakes the subscriber.

    By default a full subscriber's oldest sample is overwritten; with that off, the publisher
    retries until there is room, which polls in either mode: the library has no other way.

    In 0.10 the publisher does so only for a subscriber that is younger than itself; to an older
    one it sends nothing while the buffer is full. The sender must be opened first.
    """

    def __init__(self, setup: Setup, *, event: bool = False, views: bool = False, in_place: bool = False) -> None:
        self.load, self.slots = setup.load, setup.slots or 1024
        self.event, self.views, self.in_place = event, views, in_place
        self.name = f"weft-benchmark/{os.getpid()}/{id(self):x}"
        self.buffer = ctypes.c_uint8 * self.load.size
        self.payload = type("Payload", (ctypes.Structure,), {"_fields_": [("data", self.buffer)]})

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields a `put` that loans a sample and copies into it, or lets it be written there."""
        node, service = self._open()
        publisher = (
            service.publisher_builder()
            .backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )
        loan, write = publisher.loan_uninit, self._writer()

        def put(message: Any) -> None:
            sample = loan()
            write(sample.payload_ptr, message)
            if sample.assume_init().send() != 1:
                raise RuntimeError("the publisher dropped a sample instead of waiting")

        if self.event:
            notify = self._events(node).notifier_builder().create().notify

            def put_and_notify(message: Any) -> None:
                put(message)
                notify()

            yield put_and_notify
        else:
            yield put
        publisher.delete()

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields a `get` that returns bytes, a ctypes view of the sample, or an array in it."""
        node, service = self._open()
        subscriber = service.subscriber_builder().buffer_size(self.slots).create()
        receive, read = subscriber.receive, self._reader()
        # bool() does nothing, as fast as anything can: that is the busy-poll.
        wait: Callable[[], Any] = bool
        if self.event:
            wait = self._events(node).listener_builder().create().blocking_wait
        held: Any = None

        def get_copy() -> Any:
            while (sample := receive()) is None:
                wait()
            return read(sample.payload_ptr)

        def get_view() -> Any:
            nonlocal held
            while (sample := receive()) is None:
                wait()
            held = sample
            return read(sample.payload_ptr)

        yield get_view if self.views or self.load.kind == "array" else get_copy
        held = None
        subscriber.delete()

    def _open(self) -> tuple[Any, Any]:
        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        service = (
            node.service_builder(iceoryx2.ServiceName.new(self.name))
            .publish_subscribe(self.payload)
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(self.slots)
            .max_publishers(1)
            .max_subscribers(1)
            .open_or_create()
        )
        return node, service

    def _events(self, node: Any) -> Any:
        return node.service_builder(iceoryx2.ServiceName.new(self.name)).event().open_or_create()

    def _writer(self) -> Callable[[int, Any], Any]:
        size, copy = self.load.size, ctypes.memmove
        if self.in_place:
            as_array = self._as_array()
            return lambda pointer, fill: fill(as_array(pointer))
        if self.load.kind == "array":
            return lambda pointer, frame: copy(pointer, frame.ctypes.data, size)
        return lambda pointer, message: copy(pointer, message, size)

    def _reader(self) -> Callable[[int], Any]:
        if self.load.kind == "array":
            return self._as_array()
        if self.views:
            return self.buffer.from_address
        size, copy = self.load.size, ctypes.string_at
        return lambda pointer: copy(pointer, size)

    def _as_array(self) -> Callable[[int], Any]:
        import numpy

        at: Callable[[int], Any] = self.buffer.from_address
        shape = self.load.shape
        return lambda pointer: numpy.frombuffer(at(pointer), numpy.uint8).reshape(shape)
