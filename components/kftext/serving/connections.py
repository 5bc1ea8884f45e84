"""One client's HTTP connection: uvicorn's, with an end to what a client can leave unfinished.

uvicorn waits for ever for the rest of a request's head, however long that grows, and for a client to read its answer, which it
keeps meanwhile. Of a request that asks to go on in another protocol it drops the body: Java's own client asks for HTTP/2 with the
first request on each connection. And what is no HTTP it answers in plain text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kftext.serving.messages import RequestError, error_reply

__all__ = ["MAX_HEAD_BYTES", "Connection", "cut_stalled"]

LOG = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 << 10
"""Longest head of a request, give or take what arrives at once."""

LOOK_SECONDS = 1.0


class Connection(HttpToolsProtocol):
    """uvicorn's protocol for one connection.

    What is done for each request costs next to nothing: who stalls is found out by `cut_stalled`.
    """

    _head_bytes = 0
    _awaited: tuple[object, ...] | None = None
    _awaited_since = 0.0

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        self._unset_keepalive_if_required()
        while True:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as wish:
                if self.scope["method"] == "CONNECT":
                    self._refuse(400, "CONNECT: this server is not a proxy")
                    return
                data = self._head_without_upgrade() + data[wish.args[0] :]
            except httptools.HttpParserError:
                LOG.warning("what a client sent is not HTTP/1.1")
                self._refuse(400, "this is not an HTTP/1.1 request")
                return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request is longer than {MAX_HEAD_BYTES} bytes")
        else:
            self._head_bytes = 0

    @property
    def _in_head(self) -> bool:
        """Whether a part of a request's head has arrived."""
        return self.scope is not None and "path" not in self.scope

    def _should_upgrade(self) -> bool:
        """Leave a request that asks for another protocol to `data_received`."""
        return True

    def _head_without_upgrade(self) -> bytes:
        """The head of the last request, less its wish for another protocol, and a parser to parse it with (RFC 9110, section 7.8)."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        version = self.scope["http_version"].encode()
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def stalled_seconds(self, now: float) -> float:
        """How long nothing has happened that is the client's to do; 0.0 when asked for the first time since something has."""
        awaited: tuple[object, ...] | None = None
        if self.flow.write_paused or self.transport.is_closing():
            awaited = (self.cycle, self.unread_bytes)
        elif self.timeout_keep_alive_task is None and (
            self.cycle is None or self.cycle.response_complete
        ):
            awaited = (self.cycle,)
        if awaited is None or awaited != self._awaited:
            self._awaited, self._awaited_since = awaited, now
        return now - self._awaited_since

    @property
    def unread_bytes(self) -> int:
        """What the client has not taken of its answers, beside what the kernel holds."""
        size: int = self.transport.get_write_buffer_size()
        return size

    def cut(self) -> None:
        """End the connection; a client that has begun a request is told why."""
        if self.unread_bytes or self.transport.is_closing():
            self.transport.abort()
        elif self._in_head:
            self._refuse(408, "the head of the request did not arrive in time")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        reply = error_reply(RequestError(status, message))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {reply.content_type}\r\n"
            f"content-length: {len(reply.body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + reply.body)
        self.transport.close()


async def cut_stalled(
    connections: Collection[Connection], seconds: float, max_unread_bytes: int
) -> None:
    """Cut connections whose clients do nothing, until cancelled.

    Args:
        connections: those there are at any time.
        seconds: how long a client may leave a request's head unfinished, or its answer unread.
        max_unread_bytes: of all answers that are not read; beyond that, clients that don't go on reading are cut at once.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = time.monotonic()
        unread = sum(connection.unread_bytes for connection in connections)
        waiting = [(connection.stalled_seconds(now), connection) for connection in connections]
        reasons: Counter[str] = Counter()
        for stalled, connection in sorted(waiting, key=lambda one: one[0], reverse=True):
            if stalled > seconds:
                reasons[f"the client did nothing for {seconds:g} s"] += 1
            elif stalled and connection.unread_bytes and unread > max_unread_bytes:
                reasons[f"more than {max_unread_bytes} bytes of answers are not read"] += 1
            else:
                continue
            unread -= connection.unread_bytes
            connection.cut()
        for reason, count in reasons.items():
            LOG.warning("connections cut: %d, since %s", count, reason)
