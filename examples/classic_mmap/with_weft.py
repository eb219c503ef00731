"""The same with weft: the name is enough, and nothing is left to remove."""

import subprocess
import sys

import weft

with weft.mmap(-1, 4096, tagname="shared") as memory:
    memory[100:105] = b"howdy"
    reader = """
import weft
with weft.mmap(-1, 0, tagname="shared") as memory:
    at = memory.find(b"howdy")
    print("found at", at)
    memory[at:at + 5] = b"HOWDY"
"""
    subprocess.run([sys.executable, "-c", reader], check=True)
    print("and changed to", memory[100:105].decode())
