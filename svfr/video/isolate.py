"""Runs a function in a child process that may die alone: for files that may be hostile to their decoder."""

from __future__ import annotations

import math
import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from svfr.errors import ItemError

T = TypeVar("T")

_PRELOAD = ["svfr.video.probe", "svfr.video.decode"]  # imported once by the server that children are forked from


def run_isolated(
    fn: Callable[..., T],
    *args: object,
    timeout: float = 600.0,
    memory: int = 8 << 30,
    kwargs: dict[str, Any] | None = None,
) -> T:
    """`fn(*args, **kwargs)` in a fresh child process, which is killed after `timeout` seconds.

    `memory` bounds its address space in bytes. `fn`, arguments and result must be picklable. What `fn` raises is
    raised here; further `ItemError` codes: `worker_died` (crashed or killed), `timeout`, `out_of_memory`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, fn, args, kwargs or {}, timeout, memory), daemon=True)
    child.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            raise ItemError("timeout", f"took longer than {timeout:g} s; raise the limit or leave this file out")
        try:
            good, value = receiver.recv()
        except EOFError:
            child.join(5)
            raise ItemError(
                "worker_died",
                f"the decoder process died (exit code {child.exitcode}): a damaged or hostile file, or out of memory",
            ) from None
    finally:
        child.kill()
        child.join()
        receiver.close()
    if good:
        return cast(T, value)
    raise value


def _child(
    sender: Connection,
    fn: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float,
    memory: int,
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    seconds = math.ceil(timeout) + 1  # of CPU, should the parent die and not enforce the wall clock
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer: tuple[bool, object] = (True, fn(*args, **kwargs))
    except MemoryError:
        answer = (False, ItemError("out_of_memory", f"needs more than {memory >> 20} MiB; raise the limit"))
    except Exception as error:
        answer = (False, error)
    try:
        sender.send(answer)
    except MemoryError:
        sender.send((False, ItemError("out_of_memory", f"the result needs more than {memory >> 20} MiB")))
