"""Check a JSON value against a JSON Schema: the words that ours use, no more.

schema.py SCHEMA <VALUE     prints what is wrong, exits 1
schema.py -s SCHEMA...      is each schema sound: refers to what is there,
                            uses no word that is not known here
"""
import json
import re
import sys

WORDS = {"$schema", "title", "type", "required", "properties", "$defs", "$ref", "description", "default", "enum",
         "const", "pattern", "minimum", "items", "additionalProperties", "allOf", "if", "then", "examples"}
TYPES = {"string": str, "boolean": bool, "object": dict, "array": list, "number": (int, float), "integer": int}


def is_type(value, name):
    if name in ("number", "integer") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[name])


def check(value, schema, root, at, wrong):
    if value is None:  # as absent, everywhere
        return
    if "$ref" in schema:
        check(value, root["$defs"][schema["$ref"].split("/")[-1]], root, at, wrong)
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_type(value, n) for n in names):
            wrong.append(f"{at}: {value!r} is no {' or '.join(names)}")
            return
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{at}: {value!r} is not {schema.get('const', schema.get('enum'))}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        wrong.append(f"{at}: {value!r} does not match {schema['pattern']}")
    if "minimum" in schema and value < schema["minimum"]:
        wrong.append(f"{at}: {value} is less than {schema['minimum']}")
    for one in schema.get("allOf", []):
        check(value, one, root, at, wrong)
    if "if" in schema:
        no = []
        check(value, schema["if"], root, at, no)
        if not no:
            check(value, schema["then"], root, at, wrong)
    if isinstance(value, list) and "items" in schema:
        for i, v in enumerate(value):
            check(v, schema["items"], root, f"{at}[{i}]", wrong)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key in schema.get("required", []):
            if key not in value:
                wrong.append(f"{at}.{key}: missing")
        for key, v in value.items():
            more = schema.get("additionalProperties", True)
            if key in known:
                check(v, known[key], root, f"{at}.{key}", wrong)
            elif more is False:
                wrong.append(f"{at}.{key}: no such key")
            elif isinstance(more, dict):
                check(v, more, root, f"{at}.{key}", wrong)


def sound(schema, root, at):
    for word, v in schema.items():
        assert word in WORDS, f"{at}: {word}"
        if word == "$ref":
            assert v.split("/")[-1] in root["$defs"], f"{at}: {v}"
        elif word in ("properties", "$defs"):
            for k, one in v.items():
                sound(one, root, f"{at}.{k}")
        elif word in ("items", "if", "then") or word == "additionalProperties" and isinstance(v, dict):
            sound(v, root, f"{at}.{word}")
        elif word == "allOf":
            for one in v:
                sound(one, root, f"{at}.{word}")
        elif word == "pattern":
            re.compile(v)


def main():
    if sys.argv[1] == "-s":
        for path in sys.argv[2:]:
            schema = json.load(open(path))
            sound(schema, schema, path)
        return 0
    schema = json.load(open(sys.argv[1]))
    wrong = []
    check(json.load(sys.stdin), schema, schema, "", wrong)
    print("\n".join(wrong))
    return 1 if wrong else 0


sys.exit(main())
