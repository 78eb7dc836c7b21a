#!/usr/bin/env bash
# Package: openvino 2026.4.1 (with numpy 2.4.6), on Linux.
#
# Behaviour: the thread that compiles the first model of a Core for the processor gets another
# alternate signal stack, in place of the one that faulthandler has set up. When the Core is
# released in another thread, the stack's memory is unmapped, and the first thread still has its
# address registered. Two Cores that are released in the order they were made leave the same.
# CPython's signal handlers run on that stack, so the next signal ends the process. The script does
# not send one: it only asks where the stack is, and looks for the place in the process's memory map.
#
# A good guess: compiling a model changes nothing of the calling thread, or the change goes with the
# Core. The stack came with pull request 11894 of openvinotoolkit/openvino, for processors with AMX;
# the pages on Core and on its threads say nothing of signals.
#
# For a vector index in sync with SQL tables: an embedder that is evicted by a worker thread makes
# the process die, without a word from faulthandler, at its next Ctrl-C or SIGTERM. A process that
# keeps one Core as long as it lives is safe.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'openvino==2026.4.1' 'numpy==2.4.6'

venv/bin/python -X faulthandler - <<'PY'
import ctypes
import gc
import threading
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13


class Stack(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack():
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.at


def is_mapped(address):
    places = (line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines())
    return any(int(start, 16) <= address < int(end, 16) for start, end in places)


given = opset13.parameter([1, 4], np.float32)
model = ov.Model([opset13.relu(given)], [given], "relu")

before = signal_stack()
held = [ov.Core()]
held.append(held[0].compile_model(model, "CPU"))
compiled = signal_stack()
print("compiling replaces faulthandler's stack:", before != compiled)


def release():
    held.clear()
    gc.collect()


thread = threading.Thread(target=release)
thread.start()
thread.join()
released = signal_stack()
print("after release in another thread, same address:", released == compiled)
print("is that address still mapped:", is_mapped(released))

assert before != compiled, "compiling leaves the thread's signal stack alone now"
assert released == compiled, "the stack is taken back now"
assert not is_mapped(released), "the stack's memory lives on now"
PY

# Output seen:
# compiling replaces faulthandler's stack: True
# after release in another thread, same address: True
# is that address still mapped: False
