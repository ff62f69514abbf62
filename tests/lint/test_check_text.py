"""Proves that scripts/check_text.py finds stray blanks and dead links. Run by ctest."""
import importlib.util
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("check_text", ROOT / "scripts" / "check_text.py")
check_text = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_text)


class CheckText(unittest.TestCase):
    def found(self, files, name):
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text if isinstance(text, bytes) else text.encode())
            return check_text.findings(Path(folder), [name])

    def test_accepts_a_clean_file(self):
        self.assertEqual(self.found({"a.txt": "one\n\ntwo\n"}, "a.txt"), [])
        self.assertEqual(self.found({"a.txt": ""}, "a.txt"), [])

    def test_finds_stray_blanks_and_line_ends(self):
        for text, expected in [
            ("one \ntwo\n", "a.txt:1: blanks at the end of the line"),
            ("one\n\ttwo\t\n", "a.txt:2: blanks at the end of the line"),
            ("one", "a.txt:1: no newline at the end"),
            ("one\n\n", "a.txt:2: empty lines at the end"),
            ("<<<<<<< mine\n", "a.txt:1: a merge was not finished"),
            (b"\xff\n", "a.txt:1: not UTF-8"),
        ]:
            with self.subTest(text=text):
                self.assertEqual(self.found({"a.txt": text}, "a.txt"), [expected])
        self.assertIn("a.txt:1: carriage return", self.found({"a.txt": "one\r\n"}, "a.txt"))

    def test_leaves_binary_files_and_fuzz_seeds_alone(self):
        self.assertEqual(self.found({"a.png": b"\0 \n\n"}, "a.png"), [])
        self.assertEqual(self.found({"tests/fuzz/http/h1.corpus/a": b"GET / HTTP/1.1 \r\n\r\n"}, "tests/fuzz/http/h1.corpus/a"), [])

    def test_follows_links_to_files_and_headings(self):
        files = {"README.md": "# Top\n[a](docs/a.md) [b](docs/a.md#two-words) [c](#top) [d](https://example.org/x)\n",
                 "docs/a.md": "# A\n\n## Two words\n[up](../README.md)\n"}
        self.assertEqual(self.found(files, "README.md"), [])
        self.assertEqual(self.found(files, "docs/a.md"), [])

    def test_finds_links_that_lead_nowhere(self):
        for link, expected in [
            ("[a](docs/b.md)", "link to nothing: docs/b.md"),
            ("[a](#nothing)", "no such heading: #nothing"),
            ("[a](/etc/passwd)", "link out of the tree: /etc/passwd"),
            ("[a](../up.md)", "link out of the tree: ../up.md"),
        ]:
            with self.subTest(link=link):
                self.assertEqual(self.found({"README.md": f"# Top\n{link}\n"}, "README.md"), [f"README.md:2: {expected}"])

    def test_ignores_code(self):
        self.assertEqual(self.found({"README.md": "`[a](b)`\n```\n[a](b)\n```\n"}, "README.md"), [])


if __name__ == "__main__":
    unittest.main()
