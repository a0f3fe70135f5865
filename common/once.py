"""A value of an object that is computed when it is first read, and kept: also if that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):
    """As `functools.cached_property`, and an error is raised again instead of found again.

    A dataset that cannot be read is read once, however many tests ask for it.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        if instance is None:
            return self
        kept, failed = instance.__dict__, f"{self._name} failed"
        if failed in kept:
            raise kept[failed].with_traceback(None)
        try:
            value = self._compute(instance)
        except Exception as error:
            kept[failed] = error
            raise
        kept[self._name] = value  # found before this descriptor from now on
        return value
