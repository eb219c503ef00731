"""Says what is missing before anything is built."""

import shutil
import sys

if sys.version_info < (3, 11):
    sys.exit(f"weft needs Python 3.11 or later, this is {sys.version.split()[0]}: make PYTHON=python3.12 …")
if not sys.platform.startswith("linux"):
    sys.exit(f"weft runs on Linux only so far, not on {sys.platform}.")
if not any(map(shutil.which, ("c++", "g++", "clang++"))):
    sys.exit("weft needs a C++20 compiler: install g++ (Debian: apt install g++).")
