"""Maps a function over items on Ray actors: paths in, small columns out, one bad item costs one row.

Each actor builds its worker once (models load once), takes one item at a time and writes the result into the item
cache itself; the driver holds only keys. An actor that dies (a hostile file, out of memory) or overruns its time
takes its item into the rejects and is replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.actor import RESULT, Actor, Item, Result, Worker
from stages.cluster import start_ray
from stages.serving import remote_tools, start_servers
from svfr.artifacts import ItemCache, digest_of, disk_errors
from svfr.errors import UserError
from svfr.params import EngineParams
from svfr.progress import Progress
from svfr.tables import Row, reject


@dataclass
class Outcome:
    """Keys of finished items and rows of failed ones; results are read back one at a time, in order of item id."""

    cache: ItemCache
    keys: dict[str, str] = field(default_factory=dict)
    failed: list[Row] = field(default_factory=list)
    executed: int = 0

    def __iter__(self) -> Iterator[tuple[str, Result]]:
        for item_id in sorted(self.keys):
            entry = self.cache.open(self.keys[item_id])
            if entry is None:
                raise UserError(f"cache entry of item {item_id} vanished from {self.cache.root}: run the stage again")
            meta = json.loads(entry[RESULT])
            del entry.places[RESULT]
            yield item_id, Result(meta["rows"], entry, meta["rejects"])


def map_items(
    stage: str,
    build: Callable[..., Worker],
    items: Sequence[Item],
    *,
    version: str,
    params: Any,
    engine: EngineParams,
    tools: Callable[[], Any] | None = None,
) -> Outcome:
    """Runs `build()`'s worker over `items` and returns where the results lie.

    `version` changes when the stage's code changes its meaning; `params` is the part of the parameters that the
    result depends on. Items already in the cache are not executed again. With `tools`, which makes an object of
    networks, the worker is `build(tools())`: with networks of its own, or with those of `engine.servers` processes.
    Raises the worker's own error if it cannot be built (missing weights), and `UserError` if every item failed
    unexpectedly.
    """
    outcome = Outcome(ItemCache(Path(engine.cache) / stage))
    todo: list[tuple[Item, str]] = []
    for item in items:
        key = digest_of({"stage": stage, "version": version, "params": params, "item": item.fingerprint})
        entry = outcome.cache.open(key)
        if entry is None:
            todo.append((item, key))
        else:
            _take(outcome, stage, item.id, key, json.loads(entry[RESULT]).get("error"))
    outcome.executed = len(todo)
    with Progress(stage, len(items)) as progress:
        progress.advance(len(items) - len(todo), note="(cached)" if len(todo) < len(items) else "")
        if todo:
            with _equipped(build, tools, engine) as ready, _scratch(outcome.cache.root) as scratch:
                _run(stage, ready, todo, outcome, engine, progress, scratch)
    crashes = [row for row in outcome.failed if row["reason"] == "error"]
    if crashes and len(crashes) == len(items):
        raise UserError(f"{stage}: every item failed, the first with: {crashes[0]['message']}")
    return outcome


@contextmanager
def _equipped(
    build: Callable[..., Worker], tools: Callable[[], Any] | None, engine: EngineParams
) -> Iterator[Callable[[], Worker]]:
    """`build` as the workers call it; servers live as long as the block."""
    if tools is None:
        yield build
    elif not engine.servers:
        yield lambda: build(tools())
    else:
        import ray

        servers, held = start_servers(tools, engine.servers, engine.gpus_per_server, engine.threads)
        try:
            yield lambda: build(remote_tools(servers, held))
        finally:
            for server in servers:
                ray.kill(server)


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A folder for what workers write before it is stored; those of killed runs on this machine are removed."""
    mine = (root / f".scratch.{socket.gethostname()}.{os.getpid()}").resolve()
    for folder in root.glob(f".scratch.{socket.gethostname()}.*"):
        try:
            os.kill(int(folder.name.rpartition(".")[2]), 0)  # asks whether the process lives, sends nothing
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:  # it lives, and is someone else's
            pass
    with disk_errors(mine):
        mine.mkdir(parents=True, exist_ok=True)
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _take(outcome: Outcome, stage: str, item_id: str, key: str, error: tuple[str, str] | None) -> None:
    if error is None:
        outcome.keys[item_id] = key
    else:
        outcome.failed.append(reject(stage, item_id, error[0], error[1]))


@dataclass(frozen=True)
class _Job:
    """An item that `actor` has been working on since `began` (monotonic seconds)."""

    actor: Any
    item: Item
    key: str
    began: float


def _outcome_of(ref: Any) -> tuple[bool, tuple[str, str] | None]:
    """Whether the actor lives on, and what `Actor.run` returned. Raises the `UserError` that ended the worker."""
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    try:
        return True, ray.get(ref)
    except RayActorError:
        message = "the worker process died on this item (hostile or damaged media, or out of memory)"
        return False, ("worker_died", message)
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, UserError) else error from None


def _run(
    stage: str,
    build: Callable[[], Worker],
    todo: list[tuple[Item, str]],
    outcome: Outcome,
    engine: EngineParams,
    progress: Progress,
    scratch: Path,
) -> None:
    import ray

    start_ray(engine.workers)
    threads = {"env_vars": {"OMP_NUM_THREADS": str(engine.threads)}}
    remote = ray.remote(num_cpus=1, num_gpus=engine.gpus_per_worker, runtime_env=threads)(Actor)
    # address space says little about a process that maps a GPU
    memory = 0 if engine.gpus_per_worker else int(engine.item_memory * 2**30)
    timeout = ("timeout", f"took longer than engine.item_timeout = {engine.item_timeout:g} s")
    waiting = list(reversed(todo))
    loading: dict[Any, Any] = {}  # an actor has no item, and no clock runs, until its worker is built
    running: dict[Any, _Job] = {}

    def start() -> None:
        actor: Any = remote.remote(build, outcome.cache, scratch, memory)
        loading[actor.load.remote()] = actor

    def give(actor: Any) -> None:
        if waiting:
            item, key = waiting.pop()
            running[actor.run.remote(item, key)] = _Job(actor, item, key, time.monotonic())
        else:
            ray.kill(actor)

    for _ in range(min(engine.workers, len(todo))):
        start()
    try:
        while waiting or running:
            ready, _ = ray.wait([*loading, *running], timeout=1.0)
            for ref in ready:
                if ref in loading:
                    if not _outcome_of(ref)[0]:
                        raise UserError(f"{stage}: a worker process died while it was started; is memory short?")
                    give(loading.pop(ref))
            late = [ref for ref, job in running.items() if time.monotonic() - job.began > engine.item_timeout]
            for ref in {*running} & {*ready, *late}:
                job = running.pop(ref)
                if ref in ready:
                    alive, error = _outcome_of(ref)
                else:
                    ray.kill(job.actor)
                    alive, error = False, timeout
                _take(outcome, stage, job.item.id, job.key, error)
                progress.advance(note=job.item.id)
                if alive:
                    give(job.actor)
                elif waiting:
                    start()
    finally:
        for actor in [*loading.values(), *(job.actor for job in running.values())]:
            ray.kill(actor)
