"""A display: shows the newest pose whenever there is a newer one, and never half of one."""

import weft

with weft.Cell("pose") as pose, weft.Cell("done") as done:
    step = shown = 0
    while step < 20_000:
        newest = pose.wait_newer()
        assert abs(newest["x"] ** 2 + newest["y"] ** 2 - 1) < 1e-9, "x of one pose and y of another"
        assert newest["step"] >= step
        step, shown = newest["step"], shown + 1
    print("last step shown:", step)
    print("every pose was on the circle:", shown > 0)
    done.set(True)
