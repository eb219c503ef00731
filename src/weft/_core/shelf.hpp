// Small bytes objects that are used again.
//
// A program that takes messages one after the other lets go of each before long. A handle keeps the small
// bytes objects that it has made last, and one to which nothing but the handle refers is given the next
// message instead of being freed and made anew, as zip() does with its tuples. Who holds on to a message
// keeps it: the handle makes another in its place.
#pragma once

#include <Python.h>

#include "weft/queue_layout.hpp"

namespace weft {

// Under the GIL; without one, and where objects are not what CPython's are, nothing is kept.
class Shelf {
public:
    Shelf() = default;
    ~Shelf() { clear(); }

    // Bytes to which nobody else refers; NULL and an exception if there is no memory.
    PyObject* make(const char* data, Py_ssize_t size) noexcept {
#if !defined(Py_GIL_DISABLED) && !defined(PYPY_VERSION)
        if (size - kLeast <= kMost - kLeast && size >= kLeast) {
            PyObject* place = used_ ? places_[next_] : nullptr;
            if (place && Py_REFCNT(place) == 1 && PyBytes_GET_SIZE(place) == size) {
                step();
                reinterpret_cast<PyBytesObject*>(place)->ob_shash = -1;  // its hash was the last message's
                copy_short(PyBytes_AS_STRING(place), data, uint64_t(size));
                return Py_NewRef(place);
            }
            return make_place(data, size);
        }
#endif
        return PyBytes_FromStringAndSize(data, size);
    }

    void clear() noexcept {
        while (used_) Py_DECREF(places_[--used_]);
        PyMem_Free(places_);
        places_ = nullptr;
        next_ = 0;
    }

private:
    static constexpr uint32_t kPlaces = 512;             // two batches: one is looked at while the next is taken
    static constexpr Py_ssize_t kLeast = 2, kMost = 128;  // shorter ones are the interpreter's own; below 100 KiB in all

    void step() noexcept { next_ = next_ + 1 < used_ ? next_ + 1 : 0; }

    [[gnu::noinline]] PyObject* make_place(const char* data, Py_ssize_t size) noexcept {
        PyObject* made = PyBytes_FromStringAndSize(data, size);
        if (!made) return nullptr;
        if (!places_) places_ = static_cast<PyObject**>(PyMem_Malloc(kPlaces * sizeof(PyObject*)));
        if (!places_) return made;
        // As long as there are places, at the end: so they come round in the order in which they were given out.
        PyObject* before = nullptr;
        if (used_ < kPlaces) next_ = used_++;
        else before = places_[next_];
        places_[next_] = Py_NewRef(made);
        step();
        Py_XDECREF(before);  // of bytes, whose end runs no code
        return made;
    }

    PyObject** places_ = nullptr;
    uint32_t used_ = 0, next_ = 0;
};

// Appends to a list made by `list_for`, and takes over the reference to `item`.
inline int append_to(PyObject* list, PyObject* item) noexcept {
    if (!item) return -1;
    auto items = reinterpret_cast<PyListObject*>(list);
    const Py_ssize_t size = Py_SIZE(items);
#ifndef Py_GIL_DISABLED
    if (size < items->allocated) {
        PyList_SET_ITEM(list, size, item);
        Py_SET_SIZE(items, size + 1);
        return 0;
    }
#endif
    const int failed = PyList_Append(list, item);
    Py_DECREF(item);
    return failed;
}

// An empty list with room for `count`.
inline PyObject* list_for(Py_ssize_t count) noexcept {
    PyObject* list = PyList_New(count);
    if (list) Py_SET_SIZE(reinterpret_cast<PyListObject*>(list), 0);
    return list;
}

}  // namespace weft
