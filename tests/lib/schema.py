"""schema.py: JSON Schema as far as nginx/html/openapi.json uses it. A keyword that is not known here
is an error, so that nothing is believed to be checked that is not. What a value has and its schema
does not name is a fault as well: a document is to be complete.
"""

import re

NOTES = {"description", "title", "examples", "example", "default", "contentMediaType",
         "contentEncoding", "summary"}  # fmt: skip


class Schemas:
    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        """What a $ref of this document stands for."""
        while "$ref" in node:
            where = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                where = where[step.replace("~1", "/").replace("~0", "~")]
            node = where
        return node

    def faults(self, value, schema, at="$"):
        """Sentences; none if the value is what the schema says."""
        schema = self.resolve(schema)
        found = []
        for keyword, wanted in schema.items():
            if keyword not in NOTES:
                found += getattr(self, "_" + keyword.strip("$"))(value, wanted, schema, at)
        return found

    # ---- one function a keyword ------------------------------------------------------------

    def _type(self, value, wanted, _, at):
        names = [wanted] if isinstance(wanted, str) else wanted
        good = any(IS[name](value) for name in names)
        return [] if good else [f"{at}: {value!r:.60} where {wanted} is expected"]

    def _properties(self, value, wanted, schema, at):
        if not isinstance(value, dict):
            return []
        found = []
        for name, item in value.items():
            if name in wanted:
                found += self.faults(item, wanted[name], f"{at}.{name}")
            elif "additionalProperties" not in schema:
                found.append(f"{at}.{name}: is not in the document")
        return found

    def _additionalProperties(self, value, wanted, schema, at):
        rest = set(value) - set(schema.get("properties", ())) if isinstance(value, dict) else ()
        return [fault for name in rest for fault in self.faults(value[name], wanted, f"{at}.{name}")]

    def _required(self, value, wanted, _, at):
        missing = [name for name in wanted if isinstance(value, dict) and name not in value]
        return [f"{at}.{name}: is missing" for name in missing]

    def _minProperties(self, value, wanted, _, at):
        return [f"{at}: is empty"] if isinstance(value, dict) and len(value) < wanted else []

    def _items(self, value, wanted, _, at):
        items = value if isinstance(value, list) else ()
        return [f for i, item in enumerate(items) for f in self.faults(item, wanted, f"{at}[{i}]")]

    def _maxItems(self, value, wanted, _, at):
        return [f"{at}: more than {wanted}"] if isinstance(value, list) and len(value) > wanted else []

    def _minItems(self, value, wanted, _, at):
        return [f"{at}: fewer than {wanted}"] if isinstance(value, list) and len(value) < wanted else []

    def _minLength(self, value, wanted, _, at):
        return [f"{at}: too short"] if isinstance(value, str) and len(value) < wanted else []

    def _minimum(self, value, wanted, _, at):
        return [f"{at}: {value} is below {wanted}"] if IS["number"](value) and value < wanted else []

    def _maximum(self, value, wanted, _, at):
        return [f"{at}: {value} is above {wanted}"] if IS["number"](value) and value > wanted else []

    def _pattern(self, value, wanted, _, at):
        good = not isinstance(value, str) or re.search(wanted, value)
        return [] if good else [f"{at}: {value!r:.60} is not {wanted}"]

    def _enum(self, value, wanted, _, at):
        return [] if value in wanted else [f"{at}: {value!r:.60} is none of {wanted}"]

    def _const(self, value, wanted, _, at):
        return [] if value == wanted and type(value) is type(wanted) else [f"{at}: is not {wanted!r}"]

    def _oneOf(self, value, wanted, _, at):
        good = sum(not self.faults(value, one, at) for one in wanted)
        return [] if good == 1 else [f"{at}: fits {good} of {len(wanted)} where one is expected"]

    def _anyOf(self, value, wanted, _, at):
        every = [self.faults(value, one, at) for one in wanted]
        return [] if [] in every else min(every, key=len)


IS = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


def shape(value):
    """What a value looks like, its contents aside: names and types, of lists the first."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if IS["number"](value) else type(value).__name__
