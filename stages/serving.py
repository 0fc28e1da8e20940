"""Networks in processes of their own: few servers, each with a share of a GPU, for many workers that decode.

A worker waits for the answer to each request before it makes the next, so no more than one a worker is on its way:
memory stays bounded, and a slow server slows those who ask it. More workers than servers keep the servers busy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from stages.cluster import start_ray
from svfr.errors import PassingError

_PLAIN = (str, int, float, bool, type(None))


class Server:
    """A Ray actor that holds tools: an object whose attributes are callables, such as detectors and scorers."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._tools: Any = None

    def load(self) -> dict[str, dict[str, Any]]:
        """Makes the tools; returns the plain attributes of each (its name, version, batch size ...)."""
        self._tools = self._make()
        return {name: _plain(tool) for name, tool in vars(self._tools).items()}

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What tool `name` answers. Makes the tools anew after Ray has restarted the process."""
        if self._tools is None:
            self.load()
        return getattr(self._tools, name)(*arguments)


class RemoteTool:
    """Stands for one tool of the servers: the same attributes, the same call."""

    def __init__(self, name: str, attributes: dict[str, Any], servers: Sequence[Any]) -> None:
        self.__dict__.update(attributes)
        self._name, self._server = name, servers[os.getpid() % len(servers)]

    def __call__(self, *arguments: Any) -> Any:
        """Asks a server and waits. Raises what the tool raises, `PassingError` `server_died` if its process died."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return ray.get(self._server.call.remote(self._name, arguments))
        except RayActorError as error:
            raise PassingError("server_died", f"the process that runs '{self._name}' died; is memory short?") from error
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None


def start_servers(make: Callable[[], Any], count: int, gpus: float, threads: int) -> tuple[list[Any], Any]:
    """The actors, and what each holds. Raises what `make` raises."""
    import ray

    start_ray(count)
    settings: dict[str, Any] = {"num_cpus": 0, "num_gpus": gpus, "max_restarts": 3, "max_task_retries": 1}
    remote = ray.remote(**settings, runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads)}})(Server)
    servers: list[Any] = [remote.remote(make) for _ in range(count)]
    try:
        held = ray.get([server.load.remote() for server in servers])
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    return servers, held[0]


def remote_tools(servers: Sequence[Any], held: dict[str, dict[str, Any]]) -> SimpleNamespace:
    """The object that a worker uses in place of the tools; made inside the worker's process."""
    return SimpleNamespace(**{name: RemoteTool(name, plain, servers) for name, plain in held.items()})


def _plain(tool: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(tool).items() if isinstance(value, _PLAIN) and not key.startswith("_")}
