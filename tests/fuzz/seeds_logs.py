"""seeds_logs.py: seeds of `resnet-ctl why`: logs of workers, supervisor and nginx, as they are and
behind what collectors put in front."""

import json

START = 1795168800.0  # 2026-11-20T10:00:00Z
NGINX = {
    "time": "2026-11-20T10:00:02+00:00", "msec": START + 2, "host": "h", "request_id": "the-request", "nginx_id": "n1",
    "client": "::1", "request": "POST /predict HTTP/1.1", "status": 200, "bytes_in": 100, "bytes_out": 200, "seconds": 2.0,
    "attempts": 2, "upstream": "unix:/r/work.sock, unix:/r/work.sock", "upstream_status": "502, 200",
    "upstream_connect": "0.000, 0.000", "completed": "OK",
}  # fmt: skip


def line(seconds, program, event, slot=0, pid=20, **fields):
    stamp = f"2026-11-20T10:00:{seconds:06.3f}Z"
    text = {"level": "info", "program": program, "host": "h", "slot": slot, "gen": 1, "pid": pid, "event": event,
            "request_id": "the-request", "nginx_id": "n1", **fields}  # fmt: skip
    return stamp, {key: value for key, value in text.items() if value is not None}


def service(seconds, event, **fields):
    return line(seconds, "resnet-spawn", event, None, 1, gen=None, request_id=None, nginx_id=None, **fields)


def logfmt(record):
    stamp, fields = record
    words = [f'{k}="{v}"' if " " in str(v) else f"{k}={v}" for k, v in fields.items()]
    return stamp + " " + " ".join(words)


def as_json(record):
    return json.dumps({"time": record[0], **record[1]}, separators=(",", ":"))


def nginx(**changed):
    return json.dumps({**NGINX, **changed}, separators=(",", ":"))


TIMES = {"ms": 1985, "queue_ms": 1500, "read_ms": 1, "decode_ms": 4, "resize_ms": 2, "infer_ms": 300, "write_ms": 1}
RECORDS = {
    "dequeue": line(0.1, "resnet-fcgi", "dequeue", queue_ms=5), "fault": line(0.2, "resnet-fcgi", "fault", what="segv", at="layer2.0"),
    "crashed": line(1.4, "resnet-fcgi", "crashed", 1, 10, signal="SEGV", stage="infer", layer="layer2.0.conv1"),
    "death": line(1.41, "resnet-spawn", "death", 1, 1, worker_pid=10, count=1),
    "lost": line(1.45, "resnet-spawn", "lost", 1, 1, worker_pid=10, end="crashed", how="signal:11", stage="infer", layer=9,
                 layer_name="layer2.0.conv1", queue_ms=5, ms=1445),
    "running": line(1.46, "resnet-spawn", "running", 1, 1, worker_pid=10, stage="infer", ms=900, cpu_ms=890),
    "stuck": line(1.46, "resnet-spawn", "stuck", 1, 1, worker_pid=10, stage="infer", because="cpu", kind="spinning", idle_ms=900, cpu_ms=890, wall_ms=900),
    "stuck-wall": line(1.46, "resnet-spawn", "stuck", 1, 1, worker_pid=10, because="time", kind="blocked", wall_ms=9),
    "slow-verdict": line(1.46, "resnet-spawn", "slow", 1, 1, worker_pid=10, stage="infer"),
    "not-taken": line(1.99, "resnet-fcgi", "request", status=200, code="ok", sent="no"),
    "starved": line(1.46, "resnet-spawn", "starved", 1, 1, worker_pid=10, stage="infer", idle_ms=900, cpu_ms=3, throttled_ms=700),
    "violation": line(1.3, "resnet-fcgi", "sandbox_violation", 1, 10, syscall="execve", stage="decode"),
    "violation-unknown": line(1.3, "resnet-fcgi", "sandbox_violation", 1, 10, syscall="?"),
    "quarantined": line(1.5, "resnet-spawn", "quarantined", 1, 1, body="0123abcd"),
    "request": line(1.99, "resnet-fcgi", "request", status=200, code="ok", sent="yes", **TIMES),
    "failed": line(2.5, "resnet-fcgi", "request", 1, 30, status=422, code="image_undecodable", sent="no", error="the JPEG \x1b[31m is cut"),
    "slow": line(1.99, "resnet-fcgi", "slow", layers="conv1:5.0,layer1.0.conv1:4.0"),
    "shed": line(0.5, "resnet-control", "shed", 0, 5, reason="overloaded", retry_after=2),
    "ready": line(3, "resnet-spawn", "worker_ready", 1, 1), "reload": line(0.05, "resnet-spawn", "reload", 0, 1),
    "cancelled": line(0.5, "resnet-fcgi", "request", status=499, code="cancelled", sent="no", stage="infer", error="the client hung up"),
    "late": line(0.5, "resnet-fcgi", "request", status=504, code="deadline_exceeded", sent="yes", queue_ms=5, error="late"),
}  # fmt: skip


def why():
    every = list(RECORDS.values())
    whole = [logfmt(r) for r in every] + [nginx()]
    out = {
        "logfmt": whole, "json": [as_json(r) for r in every] + [nginx()], "backwards": whole[::-1],
        "journal": ["Nov 20 10:00:01 h resnet-spawn[1]: " + text for text in whole],
        "journal-iso": ["2026-11-20T10:00:01+0000 h resnet-spawn[1]: " + text for text in whole],
        "compose": ["backend-1  | " + text for text in whole], "kubectl": ["[pod/x/backend] " + text for text in whole],
        "nginx-shed": [nginx(upstream="unix:/r/work.sock, unix:/r/work.sock, unix:/r/shed.sock", upstream_status="502, 502, 503",
                             upstream_connect="-, -, 0.000", status=503), logfmt(RECORDS["shed"])],
        "nginx-gone": [nginx(status=499, completed="", upstream_status="-", upstream="-")],
        "nginx-alone": [nginx(attempts=0, upstream="", upstream_status="", status=413)],
        "nginx-lists": [nginx(upstream="a : b, c", upstream_status="502 : 200, 1", upstream_connect="x")],
        "by-nginx-id": [text.replace("the-request", "another") for text in whole],
        "twice": whole + [text.replace("n1", "n2") for text in whole], "two-hosts": whole + [text.replace('"h"', '"g"').replace("host=h", "host=g") for text in whole],
        "cut": [text[: len(text) * 2 // 3] for text in whole], "no-time": ["x " + text for text in whole],
        "escapes": ['2026-11-20T10:00:01.000Z level=info program=resnet-fcgi event=request request_id=the-request error="a\\"b\\\\c\\n\\u001b"'],
        "words": ["hello", "", "{}", "[1]", '{"time":5}', "2026-11-20T10:00:01.000Z", "2026-13-40T99:99:99.999Z level=info"],
        "many": [logfmt(line(i / 10, "resnet-fcgi", "dequeue", i, i)) for i in range(50)],
        "many-verdicts": [logfmt(RECORDS["dequeue"])] + [logfmt(RECORDS["running"])] * 40,
        "service": [logfmt(service(i / 10, event, reason="x")) for i, event in enumerate(
            ("start", "serving", "reload", "reload_done", "reload_failed", "reload_stopped", "drain", "drain_timeout", "idle_exit",
             "stopped"))] + [logfmt(RECORDS["request"]), nginx()],
        "nobody": [nginx(upstream="unix:/r/work.sock, unix:/r/work.sock", upstream_status="502, 502", upstream_connect="-, -", status=502)],
        "broke": [nginx(upstream_status="502, 502", upstream_connect="0.000, 0.001", status=502)], "once": [nginx(attempts=1)],
        "hung-up": [nginx(status=499, completed=""), logfmt(RECORDS["dequeue"]), logfmt(RECORDS["cancelled"])],
    }  # fmt: skip
    for name, (stamp, fields) in RECORDS.items():
        out["only-" + name] = [logfmt((stamp, fields))]
    for end in ("killed", "stuck", "recycled", "drained", "oom", "drain_timeout", "crashed", "idle_exit", "new"):
        out["end-" + end] = [logfmt(RECORDS["dequeue"]), logfmt(line(1.5, "resnet-spawn", "lost", 0, 1, worker_pid=20, end=end, how="signal:9", ms=5))]
    for signal in (4, 6, 7, 8, 9, 11, 15, 31):
        out[f"signal-{signal}"] = [logfmt(line(1.5, "resnet-spawn", "lost", 0, 1, worker_pid=20, end="crashed", how=f"signal:{signal}", stage="decode"))]
    first = {"by-nginx-id": "n1"}
    made = {name: "\n".join([first.get(name, "the-request"), *texts]).encode() for name, texts in out.items()}
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = f"00-{trace}-b7ad6b7169203331-01"
    made["by-trace"] = "\n".join([trace, *(text + " traceparent=" + parent for text in whole)]).encode()
    made["bytes"] = b"the-request\n\xff\xfe\x00\x1b[2J\xe2\x80\xae\n" + logfmt(RECORDS["request"]).encode().replace(b"ok", b"\xe2\x80\xae\x1b\x00\xff")
    return made


DRAWN = {"why": why}
