#!/usr/bin/env python3
"""What Prometheus and Grafana are given works with the real service: configuration and rules are
accepted, each alert fires where it should, a Prometheus scrapes through nginx's second listener,
and each panel of the dashboard shows something."""
# timeout: 240

import json
import math
import os
import re
import shutil
import subprocess
import tempfile

import draw
import prometheus
import service
import tap

DEPLOY = os.path.join(service.TOP, "spawn", "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "rules.yml")
DASHBOARD = os.path.join(DEPLOY, "grafana", "resnet-fcgi.json")
SECONDS = 60


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def promtool(*arguments):
    done = subprocess.run([prometheus.TOOL, *arguments], capture_output=True, text=True, check=False,
                          timeout=SECONDS)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def files_are_accepted():
    for name in ("prometheus.yml", "compose.yml", "kubernetes.yml"):
        code, text = promtool("check", "config", os.path.join(DEPLOY, "prometheus", name))
        tap.ok(code == 0, f"{name}: promtool check config", text)
    code, text = promtool("test", "rules", os.path.join(DEPLOY, "prometheus", "rules_test.yml"))
    tap.ok(code == 0, "promtool test rules", text)
    tested = read(os.path.join(DEPLOY, "prometheus", "rules_test.yml"))
    untold = [name for name in re.findall(r"alert: (\w+)", read(RULES)) if name not in tested]
    tap.equal(untold, [], "each alert has a story that fires it")


def tests_can_fail():
    with tempfile.TemporaryDirectory() as directory:
        for name in ("rules.yml", "rules_test.yml"):
            shutil.copy(os.path.join(DEPLOY, "prometheus", name), directory)
        rules = os.path.join(directory, "rules.yml")
        text = read(rules)
        for what, wrong in (
            ("a threshold", text.replace("ratio_rate5m > 0.01", "ratio_rate5m > 0.05")),
            ("a label", text.replace('reason="overloaded"', 'reason="full"')),
            ("a bracket", text.replace("[15m]", "[15m")),
        ):
            tap.ok(wrong != text, f"can fail: {what} can be broken")
            with open(rules, "w", encoding="utf-8") as file:
                file.write(wrong)
            code, _ = promtool("test", "rules", os.path.join(directory, "rules_test.yml"))
            tap.ok(code != 0, f"can fail: {what}")


def runbooks(rules):
    done = subprocess.run([service.program("resnet-ctl"), "--help"], capture_output=True, text=True,
                          check=True, timeout=SECONDS)  # fmt: skip
    commands = set(re.findall(r"^  ([a-z]+)\b", done.stdout, re.MULTILINE))
    for rule in rules:
        annotations = rule["annotations"]
        named = set(re.findall(r"resnet-ctl ([a-z]+)", annotations.get("runbook", "")))
        tap.ok(annotations.get("summary") and named and named <= commands,
               f"{rule['name']}: its runbook names commands that there are", (named, commands))  # fmt: skip
        tap.ok(rule["labels"].get("severity") in ("page", "ticket"), f"{rule['name']}: severity")


def panels():
    """[(title, expression)] of the dashboard, its variables filled in as Grafana would."""
    fill = {"$__rate_interval": "5m", "$job": "resnet-fcgi", "$instance": ".*"}
    found = []
    for panel in json.loads(read(DASHBOARD))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in fill.items():
                expression = expression.replace(name, value)
            found.append((panel["title"], expression))
    return found


def named_in(expression):
    """Metrics and recorded series in an expression: what stands outside of braces and quotes."""
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\b(by|on|without|ignoring) \([^)]*\)", " ", expression)
    return set(re.findall(r"\b(?:resnet|process)_\w+|\binstance\w*:[\w:]+", bare))


def promised():
    """The metrics of README's table."""
    table = read(os.path.join(service.TOP, "README.md")).partition("## Metrics")[2].partition("\n\nTotals")[0]
    return set(re.findall(r"`(resnet_[a-z_]+)", table))


def configuration(running):
    """The one that is shipped, with this service's port, and seconds where it has more."""
    text = read(os.path.join(DEPLOY, "prometheus", "prometheus.yml"))
    for old, new in (
        ("127.0.0.1:8081", f"127.0.0.1:{running.inside}"),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ("- rules.yml", f"- {RULES}"),
    ):
        if old not in text:
            raise ValueError(f"prometheus.yml: expected {old}")
        text = text.replace(old, new)
    return text


def some_traffic(running, server):
    """Requests between two scrapes, and two more scrapes after them."""
    service.until(lambda: server.query("up == 1"), SECONDS, "the first scrape")
    service.until(lambda: server.query("resnet_requests_total"), SECONDS, "its samples")
    statuses = [running.post(draw.jpeg(seed=i)).status for i in range(5)]
    statuses.append(running.post(b"no picture").status)
    tap.equal(statuses, [200] * 5 + [415], "six answers")
    service.until(lambda: server.query('resnet_requests_total{code="200"} == 5'), SECONDS, "five of them")
    for name in re.findall(r"record: (\S+)", read(RULES)):
        service.until(lambda name=name: server.query(name), SECONDS, name)


def scraped():
    with service.Service(workers=2) as running:
        depth = running.status()["queue"]["depth"]
        with prometheus.Prometheus(configuration(running)) as server:
            some_traffic(running, server)
            known = server.metrics()
            base = {re.sub("_(bucket|sum|count)$", "", name) for name in known}
            if depth is None:
                tap.note("this kernel does not tell a queue's depth")
                base |= {"resnet_queue_depth", "resnet_queue_age_seconds"}
            names = promised()
            tap.ok(len(names) > 15, "README lists metrics", names)
            tap.equal(sorted(names - base), [], "each metric of README is there")
            tap.equal(sorted(n for n in base if n.startswith("resnet_") and n not in names), [],
                      "and README lists each that is there")  # fmt: skip
            dashboard(server, known, depth)
            alerts(server, known)


def dashboard(server, known, depth):
    found = panels()
    tap.ok(len(found) > 20, "the dashboard has panels", len(found))
    for title, expression in found:
        if depth is None and "resnet_queue" in expression:
            tap.skip(title, "this kernel does not tell a queue's depth")
            continue
        samples = server.query(expression)
        numbers = [value for _, value in samples]
        tap.ok(numbers and not any(map(math.isnan, numbers)), f"panel {title}: {expression[:60]}", samples)
        tap.ok(named_in(expression) and named_in(expression) <= known, f"panel {title}: names metrics",
               named_in(expression) - known)  # fmt: skip


def alerts(server, known):
    def evaluated():
        groups = server.get("/api/v1/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = service.until(evaluated, SECONDS, "each rule evaluated")
    alerting = [rule for rule in rules if rule["type"] == "alerting"]
    tap.ok(len(alerting) > 10, "there are alerts", len(alerting))
    for rule in rules:
        tap.equal(rule["health"], "ok", f"{rule['name']}: evaluates")
        missing = named_in(rule["query"]) - known
        tap.equal(missing, set(), f"{rule['name']}: names what there is")
        server.query(rule["query"])
    firing = [rule["name"] for rule in alerting if rule["state"] == "firing"]
    tap.equal(firing, [], "none fires on a good service")
    runbooks(alerting)


def names_can_be_missed():
    found = named_in('sum by (code) (rate(resnet_requets_total{job="resnet_x"}[5m])) / instance:x:y')
    tap.equal(found, {"resnet_requets_total", "instance:x:y"}, "can fail: a metric misspelt is found")


if not prometheus.TOOL:
    tap.skip_all("promtool is not installed (Debian's prometheus; tests/deps.sh full)")
tap.run(files_are_accepted, tests_can_fail, names_can_be_missed, scraped)
