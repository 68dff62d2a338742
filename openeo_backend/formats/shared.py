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
    """Computes what windows share when the first of them needs it, and keeps it until all that is made of it is made.

    :param graph: the tasks of all windows.
    :param windows: the keys that each window asks for.
    :param budget: bytes above which nothing more is kept; windows then compute it for themselves.
    """

    def __init__(self, graph: Tasks, windows: Iterable[Sequence[Key]], budget: int) -> None:
        self._graph, self._budget = graph, budget
        windows = list(windows)
        self._needs = cull(graph, [key for keys in windows for key in keys])[1]
        uses: Counter[Key] = Counter()
        below = [self._below(keys) for keys in windows]
        for found in below:
            uses.update(found)
        shared = {key for key, count in uses.items() if count > 1 and _is_task(graph[key])}
        makes = Counter(need for key in uses if _is_task(graph[key]) for need in self._direct(key))
        self._left = {key: makes[key] for key in shared}
        self._groups = [frozenset(found & shared) for found in below]
        self._made: set[Key] = set()
        self._values: dict[Key, Future[Any]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def order(self) -> list[int]:
        """The windows in their order, but those that share the same values behind each other, so that these need not
        be kept for long."""
        groups: dict[frozenset[Key], list[int]] = {}
        for number, group in enumerate(self._groups):
            groups.setdefault(group, []).append(number)
        return [number for numbers in groups.values() for number in numbers]

    def compute(self, keys: Sequence[Key], get: Get) -> Any:
        """The values of the keys of one window.

        :param get: computes keys of a graph in the caller's thread.
        """
        return self._evaluate(keys, get)

    def _below(self, keys: Iterable[Key]) -> set[Key]:
        """Keys and all that they need."""
        found, todo = set(keys), list(keys)
        while todo:
            new = [need for need in self._needs[todo.pop()] if need not in found]
            found.update(new)
            todo += new
        return found

    def _direct(self, key: Key) -> set[Key]:
        """The tasks whose values a task takes, those behind other names included."""
        found: set[Key] = set()
        todo = list(self._needs[key])
        while todo:
            need = todo.pop()
            if _is_task(self._graph[need]):
                found.add(need)
            else:
                todo += self._needs[need]
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
        found = get(tasks, list(keys))
        self._release(key for key, task in tasks.items() if task is self._graph[key])
        return found

    def _value(self, key: Key, get: Get) -> Any:
        """A shared value.

        While a thread computes one it waits only for what that needs, so that threads never wait for each other.
        """
        with self._lock:
            known = self._values.get(key)
            kept = known is None and self._bytes <= self._budget and self._left[key] > 0
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

    def _release(self, made: Iterable[Key]) -> None:
        """Note what was made, and let go of values of which everything is made."""
        with self._lock:
            for key in made:
                if key in self._made or not _is_task(self._graph[key]):
                    continue
                self._made.add(key)
                for need in self._direct(key):
                    if need not in self._left:
                        continue
                    self._left[need] -= 1
                    if self._left[need] == 0 and need in self._values:
                        self._drop(need)

    def _drop(self, key: Key) -> None:
        future = self._values.pop(key)
        if future.done() and future.exception() is None:
            self._bytes -= getattr(future.result(), "nbytes", 0)


def _is_task(node: Any) -> bool:
    return not isinstance(node, DataNode | Alias)
