#!/usr/bin/env python3
"""nginx takes the rendered configuration in every variation, and senseless values are refused."""

import os
import re
import shutil
import subprocess
import tempfile

import service
import tap

RENDER = os.path.join(service.TOP, "nginx", "render.sh")
ENVSH = os.path.join(service.TOP, "nginx", "15-resnet.envsh")
TEMPLATE = os.path.join(service.TOP, "nginx", "templates", "resnet.conf.template")


def shell(command, **environment):
    return subprocess.run(
        command, env=service.clean_environment(**environment), timeout=30, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def rendered(directory, *options, **environment):
    done = shell([RENDER, "-d", directory, *options], **environment)
    if done.returncode:
        return done.returncode, done.stdout
    with open(os.path.join(directory, "conf.d", "resnet.conf"), encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(directory, "nginx.conf"), encoding="utf-8") as file:
        return 0, text + file.read()


def variations():
    cases = [
        ("defaults", (), {}, "fastcgi_read_timeout 130000ms;"),
        ("1.5m", (), {"RESNET_REQUEST_TIMEOUT": "1.5m"}, "fastcgi_send_timeout 100000ms;"),
        ("500ms", (), {"RESNET_REQUEST_TIMEOUT": "500ms"}, "fastcgi_read_timeout 10500ms;"),
        ("plain seconds", (), {"RESNET_REQUEST_TIMEOUT": "7"}, "fastcgi_read_timeout 17000ms;"),
        ("read time-out", (), {"RESNET_READ_TIMEOUT": "3s"}, "fastcgi_read_timeout 3000ms;"),
        ("drain", (), {"RESNET_DRAIN_TIMEOUT": "2m"}, "worker_shutdown_timeout 120000ms;"),
        ("16MiB", (), {"RESNET_MAX_BODY": "16MiB"}, "client_max_body_size 16777216;"),
        ("2k", (), {"RESNET_MAX_BODY": "2k"}, "client_max_body_size 2048;"),
        ("5 GiB", (), {"RESNET_MAX_BODY": "5GiB"}, "client_max_body_size 5368709120;"),
        ("rate limit", (), {"RESNET_RATE_LIMIT": "5"}, "rate=5r/s;"),
        ("no CORS", (), {}, "# NGINX_CORS_ORIGIN is empty"),
        ("CORS", (), {"NGINX_CORS_ORIGIN": "https://a.example http://[::1]:80"},
         'default ""; "https://a.example" $http_origin; "http://[::1]:80" $http_origin;'),
        ("CORS for all", (), {"NGINX_CORS_ORIGIN": "*"}, 'default "*";'),
        ("port", ("-p", "9000"), {}, "listen 127.0.0.1:9001 default_server;"),
        ("address", ("-a", "[::1]", "-p", "9000"), {}, "listen [::1]:9000 default_server;"),
        ("run dir", (), {"RESNET_RUN_DIR": "/run/x"}, 'server "unix:/run/x/work.sock"'),
    ]
    for name, options, environment, expected in cases:
        with tempfile.TemporaryDirectory() as directory:
            code, text = rendered(directory, *options, **environment)
            tap.ok(code == 0 and expected in text, f"{name}: has {expected}", text)
            conf = os.path.join(directory, "nginx.conf")
            test = shell([service.NGINX, "-t", "-p", directory, "-c", conf])
            tap.equal((test.returncode, "warn" in test.stdout), (0, False), f"{name}: nginx -t")


def eight_retries():
    with tempfile.TemporaryDirectory() as directory:
        text = rendered(directory)[1]
    tap.equal(text.count("work.sock\" max_fails=0;"), 8, "the work socket is listed eight times")
    tap.ok("shed.sock\" max_fails=0 backup;" in text, "the shed socket is the backup")
    lines = [line.split() for line in text.splitlines()]
    policy = next(line for line in lines if line[:1] == ["fastcgi_next_upstream"])
    tap.equal(policy[1:], ["error", "invalid_header", "non_idempotent;"], "what is tried again")


def slots():
    with tempfile.TemporaryDirectory() as directory:
        text = rendered(directory, NGINX_SLOTS="3", RESNET_RUN_DIR="/run/x")[1]
        conf = os.path.join(directory, "nginx.conf")
        test = shell([service.NGINX, "-t", "-p", directory, "-c", conf])
        tap.equal((test.returncode, "warn" in test.stdout), (0, False), "three slots: nginx -t")
    listed = re.findall(r'^    server "unix:/run/x/(\S+)"( max_fails=0( backup)?);$', text, re.M)
    expected = {"work.sock": ("", 8), "shed.sock": (" backup", 1), "ctl.sock": ("", 1)}
    found = {}
    for path, _, backup in listed:
        slot, name = path.split("/")
        found.setdefault(name, []).append((slot, backup))
    for name, (backup, times) in expected.items():
        tap.equal(found.get(name), [(slot, backup) for slot in "123"] * times,
                  f"{name} of three slots, by turns")  # fmt: skip


def refused():
    cases = [
        {"NGINX_SLOTS": "many"},
        {"NGINX_SLOTS": "-1"},
        {"NGINX_SLOTS": "33"},
        {"RESNET_REQUEST_TIMEOUT": "soon"},
        {"RESNET_REQUEST_TIMEOUT": "0"},
        {"RESNET_READ_TIMEOUT": "10 s"},
        {"RESNET_MAX_BODY": "16X"},
        {"RESNET_RATE_LIMIT": "-1"},
        {"RESNET_RATE_LIMIT": "many"},
        {"NGINX_CORS_ORIGIN": "app.example.org"},
        {"NGINX_CORS_ORIGIN": "https://a.example/path"},
        {"NGINX_CORS_ORIGIN": 'https://a"; x "'},
        {"NGINX_CORS_ORIGIN": "* https://a.example"},
        {"RESNET_RUN_DIR": "/run/a;b"},
        {"RESNET_RUN_DIR": "/run/a$b"},
    ]
    for environment in cases:
        with tempfile.TemporaryDirectory() as directory:
            code, text = rendered(directory, **environment)
            ((name, value),) = environment.items()
            tap.ok(code == 78 and value in text, f"{name}={value}: exit 78, and named", (code, text))
    with tempfile.TemporaryDirectory() as directory:
        for options in (("-p", "80x"), ("-p", "0"), ("-p", "65535"), ("-z",)):
            tap.equal(rendered(directory, *options)[0], 64, f"{' '.join(options)}: exit 64")


def version_dependent():
    """keepalive_min_timeout appears exactly where nginx has it. nginx is played by a script."""
    for version, has in (("1.22.1", False), ("1.27.3", False), ("1.27.4", True), ("1.29.0", True)):
        with tempfile.TemporaryDirectory() as directory:
            fake = os.path.join(directory, "nginx")
            with open(fake, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\necho 'nginx version: nginx/{version} (Ubuntu)' >&2\n")
            os.chmod(fake, 0o755)
            text = rendered(directory, NGINX=fake)[1]
            tap.equal("\n    keepalive_min_timeout 5s;" in text, has, f"nginx {version}")


def as_the_stock_image():
    """Its entrypoint sources the .envsh and fills in with envsubst: the same file comes out."""
    if not shutil.which("envsubst"):
        return tap.skip("envsubst makes the same file", "envsubst (gettext-base) is not here")
    settings = {
        "RESNET_RUN_DIR": "/run/resnet-fcgi", "RESNET_RATE_LIMIT": "3", "NGINX_LISTEN": "8080",
        "NGINX_INTERNAL_LISTEN": "127.0.0.1:8081", "NGINX_ACCESS_LOG": "/dev/stdout",
        "NGINX_PAGE_DIR": "/usr/share/resnet-fcgi/nginx/html", "NGINX": service.NGINX,
    }  # fmt: skip
    script = f"""set -e; . {ENVSH}
        names=$(printf '${{%s}} ' $(env | cut -d= -f1 | grep -E '^(RESNET|NGINX)'))
        envsubst "$names" < {TEMPLATE}"""
    stock = shell(["sh", "-c", script], **settings)
    with tempfile.TemporaryDirectory() as directory:
        rendered(directory, **settings)
        with open(os.path.join(directory, "conf.d", "resnet.conf"), encoding="utf-8") as file:
            tap.equal(stock.stdout, file.read(), "envsubst makes the same file")
    return None


tap.run(variations, eight_retries, slots, refused, version_dependent, as_the_stock_image)
