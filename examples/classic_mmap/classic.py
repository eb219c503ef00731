"""The way it has been on Linux: make a file, fill it, map it; tell others where it is, and remove it at the end."""

import mmap
import os
import subprocess
import sys
import tempfile

SIZE = 4096
path = os.path.join(tempfile.mkdtemp(), "shared")
with open(path, "wb") as file:
    file.write(b"\0" * SIZE)  # a file that is not full can't be mapped, or only to fail later
with open(path, "r+b") as file, mmap.mmap(file.fileno(), SIZE) as memory:
    memory[100:105] = b"howdy"
    reader = f"""
import mmap
with open({path!r}, "r+b") as file, mmap.mmap(file.fileno(), {SIZE}) as memory:
    at = memory.find(b"howdy")
    print("found at", at)
    memory[at:at + 5] = b"HOWDY"
"""
    subprocess.run([sys.executable, "-c", reader], check=True)
    print("and changed to", memory[100:105].decode())
os.unlink(path)
os.rmdir(os.path.dirname(path))
