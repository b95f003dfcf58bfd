# Reads what was exported into a folder: others.py CHECK FOLDER. Exits with 77 when a package is missing.
import csv, json, os, sys

check, folder = sys.argv[1:]
path = lambda name: os.path.join(folder, name)
csv.field_size_limit(1 << 30)


def text(cell):
    return cell[1:] if cell.startswith("'") else cell


def same(got, want, what):
    if got != want:
        sys.exit(f"{what} is {got!r:.200}, want {want!r:.200}")


with open(path("jsonl"), encoding="utf-8", newline="") as f:
    events = [json.loads(line) for line in f]


def compare(rows):
    same(len(rows), len(events), "the number of rows")
    for row, event in zip(rows, events):
        fields, details = event["fields"], event.get("request", {})
        same(row["id"], event["id"], "the id")
        same(row["datetime"], event["datetime"], "the time")
        same(text(row["username"] or ""), event["username"], "the user")
        for name in ("reason", "target", "tenant", "for", "service", "user_agent", "forwarded", "route"):
            same(text(row[name] or ""), details.get(name, ""), name)
        same(text(row["fields.text"] or ""), fields["text"], "the text")
        same(int(row["fields.n"]), fields["n"], "the integer")
        same(int(row["fields.big"]), fields["big"], "the large integer")
        same(float(row["fields.f"]), fields["f"], "the number")
        same(row["fields.yes"], json.dumps(fields["yes"]), "the boolean")
        same(json.loads(text(row["fields.map"])), fields["map"], "the map")
        same(json.loads(text(row["fields.list"])), fields["list"], "the list")


if check == "json":
    for name in ("jsonl", "ecs", "ocsf"):
        with open(path(name), encoding="utf-8", newline="") as f:
            same(sum(isinstance(json.loads(line), dict) for line in f), len(events), name)
elif check == "csv":
    with open(path("csv"), encoding="utf-8", newline="") as f:
        compare(list(csv.DictReader(f, strict=True)))
elif check == "duckdb":
    try:
        import duckdb
    except ImportError as e:
        print(e)
        sys.exit(77)
    read = duckdb.sql("SELECT * FROM read_csv(?, header=true, all_varchar=true, delim=',', quote='\"', escape='\"', new_line='\\r\\n', max_line_size=16777216)", params=[path("csv")])
    compare([dict(zip(read.columns, row)) for row in read.fetchall()])
    for name in ("jsonl", "ecs", "ocsf"):
        n = duckdb.sql("SELECT count(*) FROM read_json_objects(?, format='newline_delimited', maximum_object_size=16777216)", params=[path(name)]).fetchall()[0][0]
        same(n, len(events), name)
elif check == "ocsf":
    try:
        from jsonschema import Draft202012Validator
        from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
    except ImportError as e:
        print(e)
        sys.exit(77)
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    validators = {}
    with open(path("ocsf"), encoding="utf-8", newline="") as f:
        for line in f:
            event = json.loads(line)
            key = event["class_uid"], *event["metadata"]["profiles"]
            if key not in validators:
                validators[key] = Draft202012Validator(schema.get_class_schema(schema.lookup_class_name_from_uid(key[0]), list(key[1:])))
            for error in validators[key].iter_errors(event):
                sys.exit(f"{error.json_path}: {error.message:.500}\n{line:.2000}")
    same({key[0] for key in validators}, {6003, 3002}, "the classes")
print("checked")
