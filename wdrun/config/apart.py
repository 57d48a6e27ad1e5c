"""Hydra for us alone: a program that uses Hydra itself finds its own as it left it, and threads take turns."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HYDRAS = ("hydra", "_dummy_empty_config_.yaml")  # what Hydra itself has stored


class Turn:
    """A lock that one thread holds at a time, as often as it likes.

    In a process that was forked while another thread held it, it is free: that thread is not there.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


_turn = Turn()


@contextmanager
def apart() -> Iterator[None]:
    """What Hydra keeps for the whole process is as new inside, and as it was afterwards: one thread at a time.

    That is the Hydra that runs, its config, its job, its version_base, the configs that the program has stored, and
    OmegaConf's resolvers. What plugins there are stays known.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.plugins import Plugins
    from hydra.core.singleton import Singleton
    from hydra.core.utils import JobRuntime
    from hydra.version import VersionBase
    from omegaconf.basecontainer import BaseContainer

    with _turn:
        Plugins.instance()  # found once, which takes a while; they store configs of their own
        instances, resolvers = Singleton._instances, BaseContainer._resolvers
        own = ConfigStore.__new__(ConfigStore)  # without the program's: a "config" of its own would take ours' place
        own.repo = {name: node for name, node in ConfigStore.instance().repo.items() if name in HYDRAS}
        anew = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
        kept = {kind: instance for kind, instance in instances.items() if kind not in anew}
        Singleton._instances = {**kept, ConfigStore: own}  # type: ignore[dict-item]
        BaseContainer._resolvers = dict(resolvers)
        try:
            yield
        finally:
            Singleton._instances, BaseContainer._resolvers = instances, resolvers
