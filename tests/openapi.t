#!/usr/bin/env python3
"""nginx/html/openapi.json is true: every path that the server routes is in it, and every status,
code, header, media type and example that it names is brought about here and compared.

RESNET_OPENAPI_RECORD=FILE writes what was answered, for whoever has to mend the document.
"""
# timeout: 240

import json
import os
import re
import shutil
import subprocess

import provoke
import service
import sources
import tap
from provoke import Operation
from schema import Schemas, shape

FILE = "nginx/html/openapi.json"
DOCUMENT = json.loads(sources.read(FILE))
SCHEMAS = Schemas(DOCUMENT)
METHODS = ("get", "post", "put")
# nginx's own; every answer has them, and no client has to know
UNNAMED = {"server", "date", "content-type", "content-length", "connection", "cache-control",
           "last-modified", "etag", "x-content-type-options", "content-security-policy",
           "referrer-policy", "cross-origin-opener-policy"}  # fmt: skip
VALIDATOR = "@seriousme/openapi-schema-validator@2.11.0"
RECORD = {}
HEARD = {}  # (id of a response, code): whether an example's sentence was ever said


def operations():
    """(Operation, its part of the document), a path item behind $ref included."""
    for path, item in DOCUMENT["paths"].items():
        item = SCHEMAS.resolve(item)
        for method in METHODS:
            if method in item:
                yield Operation(method.upper(), path, "servers" in item), item[method]


# ---- the document --------------------------------------------------------------------------------


def install_validator():
    """The directory that holds it, or None. npm fetches it once for a build directory."""
    directory = os.path.join(service.BUILD, "npm")
    done = os.path.join(directory, "node_modules", VALIDATOR.rsplit("@", 1)[0], "package.json")
    if shutil.which("npm") and not os.path.exists(done):
        os.makedirs(directory, exist_ok=True)
        command = ["npm", "install", "--prefix", directory, "--no-audit", "--no-fund",
                   "--ignore-scripts", "--fetch-timeout=20000", "--fetch-retries=1", VALIDATOR]
        try:
            subprocess.run(command, capture_output=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            pass
    return directory if os.path.exists(done) else None


def validate(directory, document):
    script = f"""
        import {{Validator}} from '{VALIDATOR.rsplit("@", 1)[0]}';
        let text = ''; for await (const part of process.stdin) text += part;
        const validator = new Validator();
        const {{valid, errors}} = await validator.validate(JSON.parse(text));
        console.log(JSON.stringify({{valid, errors, version: validator.version}}));"""
    path = os.path.join(directory, "validate.mjs")
    with open(path, "w", encoding="utf-8") as file:
        file.write(script)
    done = subprocess.run(["node", path], input=json.dumps(document), capture_output=True, text=True,
                          timeout=60, check=True)  # fmt: skip
    return json.loads(done.stdout)


def is_valid():
    directory = shutil.which("node") and install_validator()
    if not directory:
        return tap.skip("valid as OpenAPI 3.1", "node, npm or its registry cannot be reached")
    found = validate(directory, DOCUMENT)
    tap.equal((found["valid"], found["version"]), (True, "3.1"), "valid as OpenAPI 3.1")
    broken = json.loads(json.dumps(DOCUMENT))
    broken["paths"]["/predict"]["post"]["responses"] = []
    return tap.ok(not validate(directory, broken)["valid"], "can fail: a document that is not")


def hangs_together():
    """What a validator of schemas does not see."""
    text = sources.read(FILE)
    references = set(re.findall(r'"#/components/([^"]+)"', text))
    defined = {f"{kind}/{name}" for kind, names in DOCUMENT["components"].items() for name in names}
    tap.equal(references ^ defined, set(), "every reference leads somewhere, every component is used")
    names = [part["operationId"] for _, part in operations()]
    tap.equal(len(names), len(set(names)), "every operation has a name of its own")
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    tap.equal({t for _, part in operations() for t in part["tags"]}, tags, "and a tag that is explained")
    version = re.search(r"^VERSION\s*[:?]?=\s*(\S+)", sources.read("GNUmakefile"), re.MULTILINE)[1]
    tap.equal(DOCUMENT["info"]["version"], version, "the version is the program's")


def names_every_path():
    control = re.findall(r'\{\.path = "([^"]+)", \.fill', sources.read("spawn/answer.c"))
    workers = re.findall(r'X\(fcgi_\w+, "([^"]+)"', sources.read("fcgi/usage.h"))
    template = sources.read("nginx/templates/resnet.conf.template")
    nginx = set(re.findall(r"^    location = (/\S*) \{", template, re.MULTILINE)) - {"/.resnet/error"}
    tap.ok(len(control) > 5 and workers and nginx, "the tables of paths were found",
           (control, workers, nginx))  # fmt: skip
    tap.equal(set(control) | set(workers) | nginx, set(DOCUMENT["paths"]), "every path, and no other")


def names_every_code():
    ours = re.findall(r'^\s*X\([A-Z0-9_]+, (\d+), "(\w+)"\)', sources.read("fcgi/errors.h"), re.MULTILINE)
    codes = {code for status, code in ours if status not in ("200", "499")}
    template = sources.read("nginx/templates/resnet.conf.template")
    table = template.split("$resnet_error_code {")[1].split("}")[0]
    codes |= set(re.findall(r"(\w+);", table))
    tap.equal(set(DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"]), codes, "every code")


# ---- answers -------------------------------------------------------------------------------------


def cases():
    """(Operation, status, response, name of an example or None), each of them once."""
    for operation, part in operations():
        for status, response in part["responses"].items():
            response = SCHEMAS.resolve(response)
            for kind, content in response.get("content", {}).items():
                for name in content.get("examples", {None: None}):
                    yield operation, status, response, kind, name


def looks_right(answer, response, kind, name):
    """Faults of an answer, compared with what the document says of it."""
    content = response["content"][kind]
    faults = []
    found = (answer.header("content-type") or "").replace("; charset=utf-8", "")
    if found != kind:
        faults.append(f"Content-Type: {found}")
    described = {key.lower(): SCHEMAS.resolve(h) for key, h in response["headers"].items()}
    for key, value in answer.headers:
        if key in described:
            schema = SCHEMAS.resolve(described[key]["schema"])
            value = int(value) if schema.get("type") == "integer" else value
            faults += SCHEMAS.faults(value, schema, key)
        elif key not in UNNAMED:
            faults.append(f"{key}: is not in the document")
    faults += [f"{key}: is missing" for key, h in described.items()
               if h.get("required") and answer.header(key) is None]  # fmt: skip
    if kind == "application/octet-stream":
        return faults
    value = answer.json() if kind == "application/json" else answer.body.decode()
    faults += SCHEMAS.faults(value, content["schema"])
    example = content["examples"][name]["value"] if name else content.get("example")
    if example is not None:
        faults += [f"example: {fault}" for fault in SCHEMAS.faults(example, content["schema"])]
        keys_vary = "additionalProperties" in SCHEMAS.resolve(content["schema"])
        if not keys_vary and shape(value) != shape(example):
            faults.append(f"the example is {example}, the answer {value}")
    if name and "error" in example:
        faults += [] if value["code"] == name == example["code"] else [f"code: {value['code']}"]
        said = same_sentence(value["error"], example["error"])
        HEARD[id(response), name] = said or HEARD.get((id(response), name), False)
    return faults


def same_sentence(one, other):
    """Numbers aside."""
    return len({re.sub(r"\d[\d.]*", "#", text) for text in (one, other)}) == 1


def check(answer, operation, status, response, kind, name):
    title = f"{operation.method} {operation.path} {status} {name or ''}".rstrip()
    RECORD[title] = answer.body.decode("utf-8", "replace")
    expected = int(status) if status != "default" else answer.status
    faults = looks_right(answer, response, kind, name)
    tap.ok(answer.status == expected and not faults, title, lambda: f"{faults}\n{answer}")


def successes(running):
    for operation, part in operations():
        response = SCHEMAS.resolve(part["responses"]["200"])
        for kind, content in response["content"].items():
            for name in content.get("examples", {None: None}):
                answer = provoke.success(running, operation, kind, name)
                check(answer, operation, "200", response, kind, name)


def bodies(running):
    """Every media type that an operation takes, and every example of one, verbatim."""
    for operation, part in operations():
        for kind, content in SCHEMAS.resolve(part.get("requestBody", {})).get("content", {}).items():
            examples = content.get("examples", {})
            for name, example in examples.items():
                body = json.dumps(example["value"]).encode()
                faults = SCHEMAS.faults(example["value"], content["schema"])
                answer = operation.ask(running, body, {"Content-Type": kind})
                tap.ok(answer.status == 200 and not faults, f"{operation.path} takes {kind}: {name}",
                       (faults, answer))  # fmt: skip
            if not examples:
                answer = operation.ask(running, *provoke.typed(operation, kind))
                tap.equal(answer.status, 200, f"{operation.path} takes {kind}")


def parameters(running):
    """What is described is taken: an example of it, or its least or first value."""
    for operation, part in operations():
        for parameter in map(SCHEMAS.resolve, part.get("parameters", ())):
            schema = SCHEMAS.resolve(parameter["schema"])
            value = parameter.get("example", schema.get("minimum", schema.get("enum", ["x" * 9])[0]))
            body, headers = provoke.wrap(operation, provoke.PICTURE)
            path = operation.path
            if parameter["name"] == "Inference-Header-Content-Length":
                value = len(body)  # all of it is JSON
            if parameter["in"] == "query":
                path += f"?{parameter['name']}={value}"
            else:
                headers = {**headers, parameter["name"]: str(value)}
            answer = operation.ask(running, body, headers, path=path)
            tap.equal(answer.status, 200, f"{path} takes {parameter['name']}: {value}")


def methods(running):
    """Allow is what the document lists for the path, and HEAD wherever GET is."""
    for path, item in DOCUMENT["paths"].items():
        item = SCHEMAS.resolve(item)
        listed = {method.upper() for method in METHODS if method in item}
        listed |= {"HEAD"} if "GET" in listed else set()
        operation = Operation("DELETE", path, "servers" in item)
        allowed = set((operation.ask(running).header("allow") or "").split(", "))
        tap.equal(allowed, listed, f"{path}: Allow")
        if "HEAD" in listed:
            tap.equal(operation.ask(running, method="HEAD").status, 200, f"HEAD {path}")


def errors(running, scene):
    ask = provoke.SCENES[scene][2]
    for operation, status, response, kind, name in cases():
        if status != "200" and provoke.scene_of(name) == scene:
            check(ask(running, name, operation), operation, status, response, kind, name)


def exercised():
    for scene, (enter, _, _) in provoke.SCENES.items():
        with enter() as running:
            if scene == "plain":
                for test in (successes, bodies, parameters, methods):
                    test(running)
            errors(running, scene)
    for (_, name), said in HEARD.items():  # a response that several share says it at one, at least
        tap.ok(said, f"the example of {name} is what is said somewhere")
    if path := os.environ.get("RESNET_OPENAPI_RECORD"):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(RECORD, file, indent=1)


def is_served():
    with provoke.plain() as running:
        answer = running.get("/openapi.json")
        tap.equal(answer.json(), DOCUMENT, "the server hands out this very document")


def can_fail():
    response = SCHEMAS.resolve(DOCUMENT["components"]["responses"]["Late"])
    content = response["content"]["application/json"]
    good = content["examples"]["deadline_exceeded"]["value"]
    tap.equal(SCHEMAS.faults(good, content["schema"]), [], "an example is what it should be")
    for change in ({"code": "no_such_code"}, {"success": True}, {"request_id": "x"}, {"more": 1}):
        faults = SCHEMAS.faults({**good, **change}, content["schema"])
        tap.equal(len(faults), 1, f"can fail: {change}")
    tap.ok(not same_sentence(good["error"] + "!", good["error"]), "can fail: another sentence")


tap.run(is_valid, hangs_together, names_every_path, names_every_code, exercised, is_served, can_fail)
