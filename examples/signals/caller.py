import time

from weft import signals


def find(name):
    while True:
        try:
            return signals.Process(name)
        except ProcessLookupError:
            time.sleep(0.01)


with find("listener") as listener:
    time.sleep(0.6)
    listener.send("SIGUSR1")
    for value in (1, 2, 3):
        listener.send("SIGRTMIN+1", value)
    time.sleep(0.3)
    print(signals.terminate(listener, timeout=10))
