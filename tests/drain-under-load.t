#!/usr/bin/env python3
"""TERM through nginx: what was sent before is answered 200 or told to come back, all of it whole;
what comes after gets our own 503. And a cold start costs waiting, not errors."""

import concurrent.futures
import signal
import threading
import time

import draw
import tap
import web
from service import Service, until

PICTURE = draw.jpeg()


def ask(service):
    try:
        answer = service.post(PICTURE)
        return answer.status, answer.code()
    except web.Broken as error:
        return "broken", str(error)


def cold_start():
    with Service(workers=2) as service:
        service.stop()
        service.nginx.start()
        service.start_spawn()
        until(lambda: service.get("/health/live").status == 200, 60, "life")
        tap.note(f"/health/startup: {service.get('/health/startup').status}")
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            results = list(pool.map(lambda _: ask(service), range(32)))
        tap.equal(set(results), {(200, None)}, "32 requests before any worker: all 200")


def drain():
    with Service(workers=2, RESNET_ISA="ref") as service:
        results, stopped = [], threading.Event()

        def client():
            while not stopped.is_set():
                results.append(ask(service))

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(results) > 8, 60, "answers")
        service.spawn.send_signal(signal.SIGTERM)
        tap.equal(service.spawn.wait(60), 0, "TERM under load: exit code 0")
        time.sleep(0.2)
        stopped.set()
        for thread in threads:
            thread.join()
        kinds = {kind: results.count(kind) for kind in set(results)}
        tap.note(kinds)
        allowed = {(200, None), (503, "draining"), (503, "unavailable")}
        tap.ok(set(kinds) <= allowed, "200s, then 503 draining or unavailable", kinds)
        tap.ok((200, None) in kinds and len(kinds) > 1, "some of both")
        first = next(i for i, kind in enumerate(results) if kind[0] == 503)
        late = [kind for kind in results[first + 8 :] if kind[0] == 200]
        tap.ok(len(late) <= 8, "after the first 503 only what was queued is still answered", late)
        service.start_spawn()
        service.wait_ready()
        tap.equal(ask(service), (200, None), "and a new supervisor serves again")


tap.run(cold_start, drain)
