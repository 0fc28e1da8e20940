"""The item engine on real Ray workers: what fails costs one row, what is done is never done twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.actor import Item, Result, Worker
from stages.engine import Outcome, map_items
from svfr.errors import ItemError, PassingError, UserError
from svfr.params import EngineParams

STAGE = "numbers"


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    yield
    import ray

    ray.shutdown()


def build() -> Worker:
    """A worker that squares, or does what its item says."""

    def work(payload: dict[str, Any]) -> Result:
        action, value = payload["do"], payload["value"]
        with Path(payload["log"]).open("a") as log:
            log.write(f"{value}\n")
        if action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "sleep":
            time.sleep(60)
        if action == "refuse":
            raise ItemError("odd", f"{value} is refused")
        if action == "offline":
            raise PassingError("offline", f"{value} is out of reach")
        if action == "user":
            raise UserError("the disk is full")
        rows = [{"value": value, "square": value / (0 if action == "crash" else 1) * value}]
        return Result(rows if action != "nan" else [{"value": float("nan")}], {f"{value}.bin": bytes([value])})

    return work


def broken() -> Worker:
    raise UserError("weights missing: svfr weights get NAME")


def buggy() -> Worker:
    raise KeyError("a mistake in the code")


def items(root: Path, actions: dict[int, str]) -> list[Item]:
    log = str(root / "log")
    return [
        Item(f"i{value}", [value, action], {"value": value, "do": action, "log": log})
        for value, action in actions.items()
    ]


def run(root: Path, actions: dict[int, str], workers: int = 1, cache: str = "cache", **engine: Any) -> Outcome:
    options = EngineParams(workers=workers, cache=str(root / cache), **engine)
    return map_items(STAGE, build, items(root, actions), version="1", params={}, engine=options)


def state(outcome: Outcome) -> tuple[list[tuple[str, Result]], list[tuple[str, str, str]]]:
    return list(outcome), sorted((row["item_id"], row["reason"], row["message"]) for row in outcome.failed)


def cached(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / STAGE).rglob("*") if path.is_file()}


def test_results_depend_on_neither_workers_nor_order(tmp_path: Path) -> None:
    actions = dict.fromkeys(range(6), "square") | {3: "refuse"}
    one = run(tmp_path, actions, workers=1, cache="one")
    two = run(tmp_path, dict(reversed(actions.items())), workers=2, cache="two")
    assert state(one) == state(two)
    assert cached(tmp_path / "one") == cached(tmp_path / "two")
    results, failed = state(one)
    assert [item_id for item_id, _ in results] == ["i0", "i1", "i2", "i4", "i5"]
    assert results[2] == ("i2", Result([{"value": 2, "square": 4}], {"2.bin": b"\2"}))
    assert failed == [("i3", "odd", "3 is refused")]
    assert one.executed == two.executed == 6


def test_one_bad_item_costs_one_row_and_only_refusals_are_remembered(tmp_path: Path) -> None:
    actions = {1: "square", 2: "die", 3: "crash", 4: "refuse", 5: "nan", 6: "offline", 7: "square"}
    first = run(tmp_path, actions, workers=2)
    results, failed = state(first)
    assert [item_id for item_id, _ in results] == ["i1", "i7"]
    assert [(item_id, reason) for item_id, reason, _ in failed] == [
        ("i2", "worker_died"),
        ("i3", "error"),
        ("i4", "odd"),
        ("i5", "error"),
        ("i6", "offline"),
    ]
    assert "ZeroDivisionError" in failed[1][2]
    (tmp_path / "log").unlink()
    second = run(tmp_path, actions, workers=1)
    assert state(second) == state(first)
    assert second.executed == 4
    assert sorted((tmp_path / "log").read_text().split()) == ["2", "3", "5", "6"]


def test_a_second_run_executes_nothing_and_an_added_item_itself(tmp_path: Path) -> None:
    first = run(tmp_path, dict.fromkeys(range(4), "square"))
    again = run(tmp_path, dict.fromkeys(range(4), "square"))
    assert (again.executed, state(again)) == (0, state(first))
    more = run(tmp_path, dict.fromkeys(range(5), "square"))
    assert more.executed == 1
    assert (tmp_path / "log").read_text().split() == ["0", "1", "2", "3", "4"]
    engine = EngineParams(workers=1, cache=str(tmp_path / "cache"))
    one = items(tmp_path, {0: "square"})
    assert map_items(STAGE, build, one, version="2", params={}, engine=engine).executed == 1
    assert map_items(STAGE, build, one, version="1", params={"x": 1}, engine=engine).executed == 1
    added = run(tmp_path, dict.fromkeys(range(5), "square") | {9: "crash"})
    assert [row["item_id"] for row in added.failed] == ["i9"]


def test_a_damaged_cache_entry_is_made_again(tmp_path: Path) -> None:
    first = run(tmp_path, {1: "square", 2: "square"})
    first.cache.path(first.keys["i1"]).write_bytes(bytes(4096))
    again = run(tmp_path, {1: "square", 2: "square"})
    assert (again.executed, state(again)) == (1, state(first))
    first.cache.path(first.keys["i2"]).unlink()
    with pytest.raises(UserError, match=r"cache entry of item i2 vanished .* run the stage again"):
        list(first)


def test_an_item_that_overruns_its_time_is_a_row_and_its_worker_is_replaced(tmp_path: Path) -> None:
    outcome = run(tmp_path, {1: "sleep", 2: "square"}, item_timeout=2)
    assert state(outcome)[1] == [("i1", "timeout", "took longer than engine.item_timeout = 2 s")]
    assert list(outcome.keys) == ["i2"]


def test_more_workers_than_the_machine_has_room_for_lose_nothing(tmp_path: Path) -> None:
    actions = dict.fromkeys(range(6), "square")
    outcome = run(tmp_path, actions, workers=4 * (os.cpu_count() or 1), item_timeout=30)
    assert len(outcome.keys) == 6


def test_what_is_no_fault_of_an_item_ends_the_run_as_it_is(tmp_path: Path) -> None:
    engine = EngineParams(workers=1, cache=str(tmp_path / "cache"))
    two = items(tmp_path, {1: "square", 2: "square"})
    with pytest.raises(UserError, match=r"^weights missing: svfr weights get NAME$") as caught:
        map_items(STAGE, broken, two, version="1", params={}, engine=engine)
    assert type(caught.value) is UserError
    with pytest.raises(KeyError, match="a mistake in the code"):
        map_items(STAGE, buggy, two, version="1", params={}, engine=engine)
    with pytest.raises(UserError, match=r"^the disk is full$"):
        run(tmp_path, {1: "square", 2: "user"})
    with pytest.raises(UserError, match="numbers: every item failed, the first with: ZeroDivisionError"):
        run(tmp_path, {3: "crash", 4: "crash"})


def test_no_items_are_no_work(tmp_path: Path) -> None:
    assert state(run(tmp_path, {})) == ([], [])


DRIVER = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from test_engine import MANY, run, summary
print(json.dumps(summary(run(Path(sys.argv[1]), MANY, workers=2))))
"""
MANY = dict.fromkeys(range(20), "square") | {7: "refuse", 8: "crash"}


def summary(outcome: Outcome) -> dict[str, Any]:
    results, failed = state(outcome)
    rows = [[item_id, result.rows, sorted(result.files)] for item_id, result in results]
    return {"executed": outcome.executed, "rows": rows, "failed": [list(row) for row in failed]}


@pytest.mark.slow
def test_a_driver_killed_in_the_middle_and_run_again_ends_with_the_same(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", DRIVER, str(tmp_path)]
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})

    cut = start()
    until = time.monotonic() + 120
    while not (tmp_path / "log").exists() and time.monotonic() < until:
        time.sleep(0.005)
    cut.send_signal(signal.SIGKILL)
    assert cut.communicate()[0] == ""
    second = json.loads(start().communicate()[0])
    whole = summary(run(tmp_path, MANY, cache="whole"))
    assert 0 < second.pop("executed") <= whole.pop("executed") == 20
    assert second == whole
    found = {name: data for name, data in cached(tmp_path / "cache").items() if not name.startswith(".")}
    assert found == cached(tmp_path / "whole")


class Doubler:
    """A tool with a name; it tells which process runs it."""

    def __init__(self) -> None:
        self.name = "doubler"

    def __call__(self, value: int) -> tuple[int, int]:
        if value == 13:
            raise ItemError("unlucky", "13 is refused by the network")
        if value == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * value, os.getpid()


def doubling(tools: Any) -> Worker:
    def work(payload: dict[str, Any]) -> Result:
        double, process = tools.double(payload["value"])
        return Result([{"double": double, "elsewhere": process != os.getpid(), "name": tools.double.name}])

    return work


@pytest.mark.parametrize("servers", [0, 1, 2])
def test_networks_run_in_the_workers_or_in_servers_with_the_same_results(tmp_path: Path, servers: int) -> None:
    engine = EngineParams(workers=2, servers=servers, cache=str(tmp_path / "cache"))
    todo = items(tmp_path, dict.fromkeys((1, 2, 3, 13), "square"))
    tools = lambda: SimpleNamespace(double=Doubler())  # noqa: E731
    outcome = map_items(STAGE, doubling, todo, version="1", params={}, engine=engine, tools=tools)
    rows = [result.rows[0] for _, result in outcome]
    assert [(row["double"], row["name"]) for row in rows] == [(2, "doubler"), (4, "doubler"), (6, "doubler")]
    assert {row["elsewhere"] for row in rows} == {servers > 0}
    assert [(row["item_id"], row["reason"]) for row in outcome.failed] == [("i13", "unlucky")]


def test_a_server_that_dies_costs_the_item_that_kills_it_and_comes_back(tmp_path: Path) -> None:
    engine = EngineParams(workers=1, servers=1, cache=str(tmp_path / "cache"))
    todo = items(tmp_path, dict.fromkeys((1, 66, 5), "square"))
    tools = lambda: SimpleNamespace(double=Doubler())  # noqa: E731
    outcome = map_items(STAGE, doubling, todo, version="1", params={}, engine=engine, tools=tools)
    assert [row["reason"] for row in outcome.failed] == ["server_died"]
    assert [result.rows[0]["double"] for _, result in outcome] == [2, 10]


def test_what_an_item_may_add_to_memory_is_bounded(tmp_path: Path) -> None:
    def hungry() -> Worker:
        return lambda payload: Result([{"bytes": len(bytearray(payload["value"] << 20))}])

    engine = EngineParams(workers=1, item_memory=0.5, cache=str(tmp_path / "cache"))
    todo = items(tmp_path, {10: "square", 2000: "square"})
    outcome = map_items(STAGE, hungry, todo, version="1", params={}, engine=engine)
    assert list(outcome.keys) == ["i10"]
    assert [(row["item_id"], row["reason"]) for row in outcome.failed] == [("i2000", "out_of_memory")]


def test_large_files_go_from_the_worker_s_folder_into_the_cache(tmp_path: Path) -> None:
    def writing() -> Worker:
        def work(payload: dict[str, Any]) -> Result:
            path = Path(payload["scratch"]) / "big"
            path.write_bytes(bytes([payload["value"]]) * 1000)
            return Result([{"scratch": payload["scratch"]}], {"small": b"s"}, large={"big": path})

        return work

    engine = EngineParams(workers=1, cache=str(tmp_path / "cache"))
    ((_, result),) = map_items(STAGE, writing, items(tmp_path, {7: "x"}), version="1", params={}, engine=engine)
    assert dict(result.files) == {"big": b"\x07" * 1000, "small": b"s"}
    assert not Path(result.rows[0]["scratch"]).exists()


def test_what_a_killed_run_left_behind_is_removed_and_a_running_one_s_is_not(tmp_path: Path) -> None:
    root = tmp_path / "cache" / STAGE
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folders = {pid: root / f".scratch.{socket.gethostname()}.{pid}" for pid in (dead.pid, os.getppid())}
    for folder in folders.values():
        (folder / "item").mkdir(parents=True)
    run(tmp_path, {1: "square"})
    assert sorted(root.glob(".scratch*")) == [folders[os.getppid()]]
