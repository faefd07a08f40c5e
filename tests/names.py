"""A name system of the tests' own: as a value, and as a server on loopback for the real resolver."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from worker.lib.dns import NotAsked

Records = Mapping[str, Sequence[str]]


class Names:
    """Answers from {name: [TXT …]}; a name with MX or an address is listed in `takes_mail`. Counts the questions."""

    def __init__(
        self, txt: Records, *, mx: Records | None = None, addresses: Records | None = None, silent: Sequence[str] = ()
    ) -> None:
        self._txt, self._mx, self._addresses, self._silent = txt, mx or {}, addresses or {}, silent
        self.questions: list[tuple[str, str]] = []

    def txt(self, name: str) -> list[str]:
        return self._answer("TXT", name, self._txt)

    def mx(self, name: str) -> list[str]:
        return self._answer("MX", name, self._mx)

    def addresses(self, name: str) -> list[str]:
        return self._answer("A", name, self._addresses)

    def _answer(self, kind: str, name: str, records: Records) -> list[str]:
        self.questions.append((kind, name))
        if name in self._silent or "*" in self._silent:
            raise NotAsked(f"no name server answered about {name}")
        return [*records.get(name, ())]


@contextmanager
def name_server(records: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[str]:
    """A server that answers {(name, "TXT"): ['"v=spf1 -all"']} in zone-file spelling; gives its place, `127.0.0.1:port`.

    A name with kind "SERVFAIL" is broken; all others do not exist, those that have another kind of record apart.
    """
    known = {name for name, _ in records}

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, channel = self.request
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
            answer.flags |= dns.flags.RA
            [asked] = question.question
            name, kind = asked.name.to_text(omit_final_dot=True), asked.to_text().split()[-1]
            if (name, "SERVFAIL") in records:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif (name, kind) in records:
                answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *records[name, kind]))
            elif name not in known:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            channel.sendto(answer.to_wire(), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
