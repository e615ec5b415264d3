"""A strict reader of Prometheus' text format 0.0.4: any deviation is an AssertionError."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def labels_of(text):
    found, at = {}, 0
    while text and at < len(text):
        match = LABEL.match(text, at)
        assert match, f"labels: {text}"
        assert match[1] not in found, f"label twice: {text}"
        found[match[1]] = re.sub(r"\\(.)", lambda m: ESCAPES[m[1]], match[2])
        at = match.end()
        assert match[3] == "," or at == len(text)
    assert text is None or not text.endswith(","), text
    return found


class Metric:
    def __init__(self, name, kind, help_text):
        self.name, self.kind, self.help = name, kind, help_text
        self.samples = {}  # (name, ((label, value), …)): number


def histogram_check(metric):
    series = {}
    for (name, labels), value in metric.samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        series.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            series[rest]["buckets"].append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
        else:
            series[rest][name.rsplit("_", 1)[1]] = value
    for one in series.values():
        bounds = [bound for bound, _ in one["buckets"]]
        counts = [count for _, count in one["buckets"]]
        assert bounds == sorted(set(bounds)) and math.isinf(bounds[-1]), metric.name
        assert counts == sorted(counts), metric.name
        assert one["count"] == counts[-1] and one["sum"] >= 0, metric.name


def parse(text):
    """{name: Metric}, in the order in which they stand."""
    assert text.endswith("\n") and "\r" not in text
    metrics, current, pending = {}, None, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _, help_text = line[7:].partition(" ")
            assert re.fullmatch(NAME, name) and help_text, line
            assert name not in metrics and pending is None, f"twice or cut off: {line}"
            pending = (name, help_text)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert pending and pending[0] == name and kind in SUFFIXES, line
            current = metrics[name] = Metric(name, kind, pending[1])
            pending = None
        else:
            match = SAMPLE.match(line)
            assert match and current and pending is None, f"no sample: {line!r}"
            allowed = [current.name + suffix for suffix in SUFFIXES[current.kind]]
            assert match[1] in allowed, f"not of {current.name}: {line}"
            key = (match[1], tuple(sorted(labels_of(match[2]).items())))
            assert key not in current.samples, f"twice: {line}"
            value = float(match[3])
            assert current.kind == "gauge" or value >= 0, line
            current.samples[key] = value
    for metric in metrics.values():
        assert metric.samples, f"nothing of {metric.name}"
        if metric.kind == "histogram":
            histogram_check(metric)
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
    return metrics


def value(metrics, name, suffix="", **labels):
    return metrics[name].samples[(name + suffix, tuple(sorted(labels.items())))]
