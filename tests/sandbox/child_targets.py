"""Work that the tests give to children."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Emit = Callable[[Mapping[str, Any]], None]


def echo(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    for number in range(payload["events"]):
        emit({"number": number})
    return {"payload": payload, "pid": os.getpid()}


def kill_itself(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    emit({"about": "to die"})
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def tell_some_later(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """Numbers that may wait, one that may not, and others that may; then it ends as it is told."""
    for number in range(6):
        emit({"number": number, "later": number != 2})
    if payload["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def crash(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    raise RuntimeError("a crash")


def sleep(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    Path(payload["pid_file"]).write_text(str(os.getpid()))
    emit({"asleep": True})
    time.sleep(60)
    return {}


def grow(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """Hold more and more memory, and say so often."""
    held = []
    for _ in range(60):
        held.append(bytearray(os.urandom(2**20) * 10))
        emit({"holds": len(held)})
        time.sleep(0.02)
    return {"held": len(held)}


def prepare(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """What children of a pool do first: their mark is there afterwards."""
    os.environ["CHILD_TARGETS"] = payload["mark"]
    return {}


def tell(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    return {"pid": os.getpid(), "mark": os.environ.get("CHILD_TARGETS")}
