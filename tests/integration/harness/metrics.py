"""Prometheus text as a dictionary."""
import re

SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?")
LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
ESCAPE = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Metrics(dict):
    """(name, frozenset of label pairs) -> value."""

    @classmethod
    def parse(cls, text):
        metrics = cls()
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = SAMPLE.fullmatch(line)
            assert match, f"not a sample: {line!r}"
            labels = frozenset((name, re.sub(r'\\[\\"n]', lambda m: ESCAPE[m[0]], value))
                               for name, value in LABEL.findall(match[2] or ""))
            key = (match[1], labels)
            assert key not in metrics, f"a second sample of {key}"
            metrics[key] = float(match[3])
        return metrics

    def total(self, name, **labels):
        """The sum over all samples of a name that have these labels; 0 without any."""
        wanted = set(labels.items())
        return sum(value for (key, pairs), value in self.items() if key == name and wanted <= pairs)

    def labels(self, name):
        return [dict(pairs) for (key, pairs) in self if key == name]

    def names(self):
        return {key for key, _ in self}
