# cython: language_level=3
"""Python objects for messages, made with less work than the interpreter's own calls need."""

from cpython.ref cimport PyObject


cdef extern from "shelf.hpp" namespace "weft":
    cdef cppclass Shelf:
        object make(const char *data, Py_ssize_t size)
        PyObject *make_new "make"(const char *data, Py_ssize_t size)  # for append_to
        void clear()

    object list_for(Py_ssize_t count)
    int append_to(list items, PyObject *item) except -1
