"""kustomize.py: as much of kustomize as our manifests use, for machines without a recent kubectl.

    documents = kustomize.render("spawn/deploy/kubernetes/overlays/production")

Anything else that a kustomization may say is refused, not passed over.
"""

import copy
import hashlib
import json
import os

import yaml

KEYS = {"apiVersion", "kind", "namespace", "resources", "components", "configMapGenerator", "images",
        "patches"}  # fmt: skip
CLUSTER_WIDE = ("Namespace",)


class Unsupported(Exception):
    pass


def load(path):
    """All documents of a file."""
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def only(mapping, keys, where):
    if extra := set(mapping) - set(keys):
        raise Unsupported(f"{where}: {sorted(extra)} is more than this renderer knows")


def render(directory):
    documents = _collect(directory, [])
    _name_config_maps(documents)
    return documents


def _collect(directory, documents):
    path = os.path.join(directory, "kustomization.yaml")
    (spec,) = load(path)
    only(spec, KEYS, path)
    for name in spec.get("resources", []):
        inner = os.path.join(directory, name)
        documents += _collect(inner, []) if os.path.isdir(inner) else load(inner)
    for entry in spec.get("configMapGenerator", []):
        documents.append(_config_map(entry, directory))
    for name in spec.get("components", []):
        _collect(os.path.join(directory, name), documents)
    for patch in spec.get("patches", []):
        _apply(patch, directory, documents)
    for image in spec.get("images", []):
        only(image, ("name", "newName", "newTag"), path)
        for document in documents:
            _replace_image(document, image)
    if "namespace" in spec:
        for document in documents:
            if document["kind"] not in CLUSTER_WIDE:
                document["metadata"]["namespace"] = spec["namespace"]
    return documents


def _config_map(entry, directory):
    only(entry, ("name", "envs", "files"), directory)
    data = {}
    for name in entry.get("envs", []):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            lines = [line.strip() for line in file]
        data.update(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name in entry.get("files", []):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            data[os.path.basename(name)] = file.read()
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": entry["name"]}, "data": data}


def _apply(patch, directory, documents):
    """RFC 6902's add and replace, from a file, to every target of that kind and name."""
    only(patch, ("target", "path"), directory)
    (operations,) = load(os.path.join(directory, patch["path"]))
    targets = [d for d in documents if d["kind"] == patch["target"]["kind"]
               and d["metadata"]["name"] == patch["target"]["name"]]  # fmt: skip
    if not targets:
        raise Unsupported(f"{directory}: {patch['target']} is not there")
    for target in targets:
        for operation in operations:
            _change(target, operation)


def _change(target, operation):
    *way, last = operation["path"].strip("/").split("/")
    for step in way:
        target = target[int(step)] if isinstance(target, list) else target[step]
    kind, value = operation["op"], copy.deepcopy(operation["value"])
    if kind not in ("add", "replace"):
        raise Unsupported(f"op: {kind}")
    if isinstance(target, list):
        if kind == "add" and last == "-":
            target.append(value)
        elif kind == "replace":
            target[int(last)] = value
        else:
            raise Unsupported(f"add in the middle of a list: {operation['path']}")
    elif kind == "replace" and last not in target:
        raise Unsupported(f"{operation['path']}: there is nothing to replace")
    else:
        target[last] = value


def _replace_image(value, image):
    if isinstance(value, dict):
        name, _, tag = str(value.get("image", "")).partition(":")
        if name == image["name"]:
            tag = image.get("newTag", tag)
            value["image"] = image.get("newName", name) + (f":{tag}" if tag else "")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _replace_image(inner, image)


def _name_config_maps(documents):
    """A hash in the name, so that a change of settings rolls the pods. Not kustomize's own hash."""
    for document in documents:
        if document["kind"] == "ConfigMap":
            text = json.dumps(document["data"], sort_keys=True).encode()
            old = document["metadata"]["name"]
            new = f"{old}-{hashlib.sha256(text).hexdigest()[:10]}"
            document["metadata"]["name"] = new
            for other in documents:
                _rename(other, old, new)


def _rename(value, old, new):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("configMap", "configMapRef") and inner.get("name") == old:
                inner["name"] = new
            _rename(inner, old, new)
    elif isinstance(value, list):
        for inner in value:
            _rename(inner, old, new)
