"""Sends arrays, which arrive as read-only views, and is refused with another key."""

import time

import numpy as np
from server import ADDRESS, KEY

import weft


def connect(key: str) -> weft.sockets.Connection:
    while True:
        try:
            return weft.Client(ADDRESS, authkey=key)
        except ConnectionRefusedError:  # the server is about to start
            time.sleep(0.01)


with connect(KEY) as connection:
    for size in (10, 1_000_000):
        connection.send(np.ones(size, "u1"))
        print("client: so far", connection.recv())

try:
    connect("a guess")
except weft.AuthenticationError as error:
    print("client:", error)

with connect(KEY) as connection:
    connection.send(None)
