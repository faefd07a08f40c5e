"""The web server: waitress, run so that it ends when told to, and ends well."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from worker.config import Server
from worker.web.api import MOST_BYTES

LOOKS_UP_EVERY: Final = 0.5
"""Seconds between two looks whether it is over, while nobody calls."""
DRAINS_FOR: Final = 5.0
"""Seconds, of the machine's own clock, for requests that are under way when it is over."""


class CannotListen(Exception):
    """The address cannot be listened on; the sentence says why and what to do."""


class WebServer:
    """Listens from the beginning; answers once it runs."""

    def __init__(self, app: Flask, settings: Server, host: str, port: int) -> None:
        """Port 0 takes a free one. Raises CannotListen."""
        self._map: dict[int, Any] = {}
        try:
            self._server = create_server(
                app, self._map, host=host, port=port, threads=settings.threads,
                # The app refuses what is over its limits in its own words; this bounds what it never gets to see.
                max_request_body_size=2 * MOST_BYTES,
                # How many proxies are believed is a setting, and the app's affair: see `forwarded_hops`.
                clear_untrusted_proxy_headers=False,
                asyncore_use_poll=True, ident="",
            )  # fmt: skip
        except (OSError, ValueError) as error:  # waitress raises ValueError for a host that no name server knows
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CannotListen(
                f"http://{host}:{port} cannot be listened on: {why}; is another Keepwell running? Else choose another"
                " with --host and --port, or under [server] in config.toml"
            ) from None
        addresses = getattr(self._server, "effective_listen", None)  # a name can stand for several
        self.host, self.port = addresses[0] if addresses else (self._server.effective_host, self._server.effective_port)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Answer until it is over; then listen no more, and finish what is under way."""
        try:
            while not is_over():
                wasyncore.loop(LOOKS_UP_EVERY, use_poll=True, map=self._map, count=1)
            self._drain()
        finally:
            self._server.task_dispatcher.shutdown(timeout=2)
            wasyncore.close_all(self._map, ignore_all=True)

    def _drain(self) -> None:
        for one in list(self._map.values()):
            if one.accepting:
                wasyncore.dispatcher.close(one)
        late = threading.Event()
        timer = threading.Timer(DRAINS_FOR, late.set)
        timer.daemon = True
        timer.start()
        while not late.is_set() and any(_is_busy(one) for one in self._map.values()):
            wasyncore.loop(0.05, use_poll=True, map=self._map, count=1)
        timer.cancel()


def _is_busy(channel: Any) -> bool:
    """Whether a connection has a request under way, or an answer that has not left."""
    return bool(getattr(channel, "requests", ()) or getattr(channel, "total_outbufs_len", 0))
