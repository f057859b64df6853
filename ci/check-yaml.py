#!/usr/bin/env python3
"""Checks the YAML files that are given: they parse, no key is there twice, and each is of a kind we know.

What is in them beyond that is for those who read them: kind, the API server (`kubectl apply --dry-run=server`),
actionlint.
"""

import sys

import yaml


class Strict(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key `{key}` is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def problems(path, document):
    if path.startswith(".github/"):
        # PyYAML reads the key `on` as true (YAML 1.1).
        wanted = [] if {"jobs"} <= document.keys() else ["jobs"]
    elif "sonobuoy-config" in document:
        config = document["sonobuoy-config"]
        wanted = [k for k in ("driver", "plugin-name", "result-format") if k not in config]
        wanted += [k for k in ("name", "image") if k not in document.get("spec", {})]
    elif document.get("apiVersion") == "kind.x-k8s.io/v1alpha4":
        wanted = [] if document.get("kind") == "Cluster" else ["kind: Cluster"]
        roles = [node.get("role") for node in document.get("nodes", [])]
        if roles.count("control-plane") != 1 or roles.count("worker") < 2:
            wanted.append("nodes: one control-plane and at least two workers")
    else:
        wanted = [k for k in ("apiVersion", "kind") if not document.get(k)]
        if not document.get("metadata", {}).get("name"):
            wanted.append("metadata.name")
    return wanted


def main(paths):
    bad = documents = 0
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                loaded = [d for d in yaml.load_all(file, Strict) if d is not None]
        except (OSError, yaml.YAMLError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            bad += 1
            continue
        if not loaded:
            print(f"{path}: empty", file=sys.stderr)
            bad += 1
        for document in loaded:
            documents += 1
            for what in problems(path, document) if isinstance(document, dict) else ["a mapping"]:
                print(f"{path}: lacks {what}", file=sys.stderr)
                bad += 1
    if not paths:
        print("no files were given", file=sys.stderr)
        bad += 1
    if bad == 0:
        print(f"{len(paths)} YAML files with {documents} documents are well-formed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
