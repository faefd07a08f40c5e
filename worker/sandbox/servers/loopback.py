"""A WSGI app served on loopback by a thread of this process, and stopped without a race."""

from __future__ import annotations

import socket
import threading
from typing import Any

from waitress import wasyncore
from waitress.server import create_server


class Loopback:
    """One server in one thread."""

    def __init__(self, app: Any, name: str, *, listening: socket.socket | None = None, threads: int = 4) -> None:
        """Serve at once, on a free loopback port, or on a socket that listens already."""
        where: dict[str, Any] = {"sockets": [listening]} if listening else {"host": "127.0.0.1", "port": 0}
        self._server = create_server(app, threads=threads, channel_timeout=600, **where)
        self.url = f"http://127.0.0.1:{self._server.effective_port}"
        self._thread = threading.Thread(target=self._server.run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let go of every connection."""
        # Closed in the loop's own thread: it must never wait on a socket that another thread has closed. The lock
        # keeps a loop that is awake already from closing the trigger before it has been pulled.
        with self._server.trigger.lock:
            self._server.trigger.thunks.append(lambda: wasyncore.close_all(self._server._map, ignore_all=True))
            self._server.trigger._physical_pull()
        self._thread.join(timeout=5)
        self._server.task_dispatcher.shutdown()
