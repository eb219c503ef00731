import os

from weft import signals

with signals.register("listener"), signals.graceful(timeout=10) as stop:
    for name in ("SIGUSR1", "SIGRTMIN+1"):

        @signals.on(name)
        def told(event):
            print(event.name, event.value, "from the caller" if event.pid != os.getpid() else "from here")

    with signals.alarm(0.1, lambda event: print("the alarm")):
        stop.wait(0.2)
    try:
        signals.on("SIGKILL", print)
    except ValueError as error:
        print(str(error).partition(",")[0])

    with signals.blocked("SIGUSR2"):
        signals.send(os.getpid(), "SIGUSR2")  # to itself: it waits until somebody takes it
        print(signals.wait("SIGUSR2").name)

    print("listening")
    while not stop.requested:
        stop.wait(1)
    print("asked to end by", stop.event.name)
