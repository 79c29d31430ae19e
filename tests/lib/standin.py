"""standin.py: a service that is not ours: it answers every POST as a test says, well or badly.

    with StandIn(standin.good()) as server: ... server.port, server.requests ...

A way of answering is an async function (request, writer); the server closes the connection after it,
unless it returns True.
"""

import asyncio
import collections
import json
import threading

Request = collections.namedtuple("Request", "path headers body")


def whole(body, status="200 OK", kind="application/json", more=""):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


PREDICTIONS = {"success": True, "predictions": [{"class_id": 1, "label": "goldfish", "probability": 0.9}]}


def answer(body=None, status="200 OK", kind="application/json", delay_s=0, more=""):
    """Answers whole, after a time; keeps the connection."""
    data = whole(json.dumps(PREDICTIONS if body is None else body).encode()
                 if not isinstance(body, bytes) else body, status, kind, more)  # fmt: skip

    async def way(_, writer):
        if delay_s:
            await asyncio.sleep(delay_s)
        writer.write(data)
        return True

    return way


def raw(data):
    """These bytes, whatever they mean, then the end."""

    async def way(_, writer):
        writer.write(data)

    return way


async def silent(_, writer):
    await asyncio.sleep(3600)


async def reset(_, writer):
    writer.transport.abort()


class StandIn:
    def __init__(self, way):
        self.way, self.requests = way, []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run)
        self.ready, self.tasks = threading.Event(), set()

    def _run(self):
        self.loop.run_until_complete(self._main())
        self.loop.close()

    async def _main(self):
        self.ended = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.ended.wait()
        server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while request := await read(reader):
                self.requests.append(request)
                kept = await self.way(request, writer)
                await writer.drain()
                if not kept or request.headers.get("connection") == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # gone, or the test is over
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    def __enter__(self):
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


async def read(reader):
    """A request with its body, or None at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(head[0].split(" ")[1], headers, body)
