"""Values that several windows of a result need, such as the blocks around each block for an overlap."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from dask._task_spec import Alias, DataNode
from dask.optimization import cull

Key = Hashable
Tasks = dict[Key, Any]
Get = Callable[[Tasks, Any], Any]


class Shared:
    """Computes what windows share when the first of them needs it, and keeps it until the last has had it.

    :param graph: the tasks of all windows.
    :param windows: the keys that each window asks for.
    :param budget: bytes above which nothing more is kept; windows then compute it for themselves.
    """

    def __init__(self, graph: Tasks, windows: Iterable[Sequence[Key]], budget: int) -> None:
        self._graph, self._budget = graph, budget
        windows = list(windows)
        self._needs = cull(graph, [key for keys in windows for key in keys])[1]
        uses: Counter[Key] = Counter()
        for keys in windows:
            uses.update(self._below(keys))
        self._left = {key: count for key, count in uses.items() if count > 1 and _is_task(graph[key])}
        self._values: dict[Key, Future[Any]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def compute(self, keys: Sequence[Key], get: Get) -> Any:
        """The values of the keys of one window.

        :param get: computes keys of a graph in the caller's thread.
        """
        try:
            return self._evaluate(keys, get)
        finally:
            self._release(self._below(keys))

    def _below(self, keys: Iterable[Key]) -> set[Key]:
        """Keys and all that they need."""
        found, todo = set(keys), list(keys)
        while todo:
            new = [need for need in self._needs[todo.pop()] if need not in found]
            found.update(new)
            todo += new
        return found

    def _evaluate(self, keys: Sequence[Key], get: Get) -> Any:
        """The values of keys, from shared values and their own tasks."""
        tasks: Tasks = {key: self._graph[key] for key in keys}
        todo = list(keys)
        while todo:
            for need in self._needs[todo.pop()]:
                if need in tasks:
                    continue
                if need in self._left:
                    tasks[need] = DataNode(need, self._value(need, get))
                else:
                    tasks[need] = self._graph[need]
                    todo.append(need)
        return get(tasks, list(keys))

    def _value(self, key: Key, get: Get) -> Any:
        """A shared value.

        While a thread computes one it waits only for what that needs, so that threads never wait for each other.
        """
        with self._lock:
            known = self._values.get(key)
            kept = known is None and self._bytes <= self._budget
            mine: Future[Any] = Future()
            if kept:
                self._values[key] = mine
        if known is not None:
            return known.result()
        try:
            value = self._evaluate([key], get)[0]
        except BaseException as error:
            mine.set_exception(error)
            raise
        mine.set_result(value)
        if kept:
            with self._lock:
                self._bytes += getattr(value, "nbytes", 0)
        return value

    def _release(self, keys: Iterable[Key]) -> None:
        with self._lock:
            for key in keys:
                if key not in self._left:
                    continue
                self._left[key] -= 1
                if self._left[key] > 0 or key not in self._values:
                    continue
                future = self._values.pop(key)
                if future.exception() is None:
                    self._bytes -= getattr(future.result(), "nbytes", 0)


def _is_task(node: Any) -> bool:
    return not isinstance(node, DataNode | Alias)
