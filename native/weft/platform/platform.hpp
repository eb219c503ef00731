// The one door to the operating system. Everything above includes this file and nothing below it.
//
// A port supplies the same names in its own folder: files and mappings (file.hpp), locks that the
// kernel releases when their holder dies (file_lock.hpp), sleeping on a word of shared memory
// (futex.hpp), the doorbell (bell.hpp), facts about this process (process.hpp), other processes held by a
// descriptor (pidfd.hpp) and signals (signal.hpp).
#pragma once

#if defined(__linux__)
#include "linux/bell.hpp"
#include "linux/file.hpp"
#include "linux/file_lock.hpp"
#include "linux/futex.hpp"
#include "linux/pidfd.hpp"
#include "linux/process.hpp"
#include "linux/signal.hpp"
#include "linux/trial.hpp"
#else
#error "weft runs on Linux only so far: a port adds a folder beside native/weft/platform/linux"
#endif
