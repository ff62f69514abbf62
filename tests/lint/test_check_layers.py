"""Proves that cmake/check_layers.py catches what it is there to catch, and nothing else. Run by ctest."""
import contextlib
import importlib.util
import io
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("check_layers", ROOT / "cmake" / "check_layers.py")
check_layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_layers)


class CheckLayers(unittest.TestCase):
    def found_in(self, files):
        """The violations in a tree of these files."""
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            return check_layers.violations(Path(folder))

    def found(self, path, *lines):
        return self.found_in({path: "\n".join(lines) + "\n"})

    def accepts(self, path, *lines):
        self.assertEqual(self.found(path, *lines), [])

    def refuses(self, path, line, reason):
        found = self.found(path, line)
        self.assertEqual(len(found), 1, found)
        self.assertIn(f"{path}:1: ", found[0])
        self.assertIn(reason, found[0])

    def test_accepts_itself_and_what_is_to_the_left(self):
        self.accepts("gateway/http/validate.cpp", '#include "gateway/http/validate.hpp"', '#include "gateway/net/stream.hpp"',
                     '#include "waf/waf.hpp"', '#include "config/address.hpp"', "#include <string>")
        self.accepts("gateway/main.cpp", '#include "gateway/server/server.hpp"', '#include "config/load.hpp"')

    def test_refuses_each_step_to_the_right(self):
        order = ["config", "waf", "gateway/runtime", "gateway/net", "gateway/http", "gateway/upstream", "gateway/filter",
                 "gateway/proxy", "gateway/server"]
        for left, right in zip(order, order[1:]):
            with self.subTest(left=left, right=right):
                self.refuses(f"{left}/a.hpp", f'#include "{right}/b.hpp"', f"{left} stands to the left of {right}")

    def test_refuses_main_as_a_dependency(self):
        self.refuses("gateway/server/a.cpp", '#include "gateway/main.hpp"', "stands to the left of gateway")

    def test_keeps_waf_ratelimit_and_acme_apart(self):
        for own in ("waf", "ratelimit", "acme"):
            for other in {"waf", "ratelimit", "acme"} - {own}:
                with self.subTest(own=own, other=other):
                    self.refuses(f"{own}/a.cpp", f'#include "{other}/b.hpp"', "do not know each other")
            self.refuses(f"{own}/a.cpp", '#include "gateway/runtime/log.hpp"', "stands to the left")

    def test_keeps_each_library_at_home(self):
        for header, home, elsewhere in [
            ("yaml-cpp/yaml.h", "config/load.cpp", "gateway/server/load.cpp"),
            ("idn2.h", "config/host_name.cpp", "gateway/http/host.cpp"),
            ("modsecurity/modsecurity.h", "waf/engine.cpp", "gateway/filter/waf.cpp"),
            ("pcre2.h", "waf/engine.cpp", "config/load.cpp"),
            ("pcre2.h", "waf/screen/program.cpp", "gateway/filter/waf.cpp"),
            ("hs.h", "waf/screen/patterns.cpp", "waf/engine.cpp"),
            ("hs/hs.h", "waf/screen/patterns.cpp", "gateway/filter/waf.cpp"),
            ("yajl/yajl_parse.h", "waf/screen/reading.cpp", "waf/engine.cpp"),
            ("libxml/parser.h", "waf/screen/xml.cpp", "waf/engine.cpp"),
            ("hiredis/read.h", "ratelimit/resp.cpp", "ratelimit/redis_script.cpp"),
            ("nghttp2/nghttp2.h", "gateway/http/h2_session.cpp", "gateway/http/session.cpp"),
            ("prometheus/registry.h", "gateway/runtime/metrics.cpp", "gateway/runtime/log.cpp"),
        ]:
            with self.subTest(header=header):
                self.accepts(home, f"#include <{header}>")
                self.refuses(elsewhere, f"#include <{header}>", "is at home in")
                self.refuses(elsewhere, f'#include "{header}"', "is at home in")

    def test_lets_a_library_have_private_headers_at_home(self):
        self.assertEqual(self.found_in({
            "waf/rules.hpp": "#include <modsecurity/rules_set.h>\n",
            "waf/engine.cpp": '#include "waf/rules.hpp"\n#include "waf/waf.hpp"\n',
            "waf/waf.hpp": "#include <string>\n",
            "gateway/filter/waf.cpp": '#include "waf/waf.hpp"\n',
        }), [])

    def test_refuses_a_library_that_leaves_its_home_through_a_header(self):
        found = self.found_in({
            "waf/rules.hpp": "#include <modsecurity/rules_set.h>\n",
            "waf/waf.hpp": '#include "waf/rules.hpp"\n',
            "gateway/filter/waf.hpp": '#include "waf/waf.hpp"\n',
            "gateway/filter/waf.cpp": '#include "gateway/filter/waf.hpp"\n',
        })
        self.assertEqual(found, ["gateway/filter/waf.hpp:1: include of waf/waf.hpp: brings libmodsecurity, "
                                 "which is at home in waf/ only"])

    def test_survives_headers_that_include_each_other(self):
        self.accepts("config/a.hpp", '#include "config/a.hpp"')

    def test_refuses_tests_and_benchmarks_in_the_product(self):
        self.refuses("config/a.cpp", '#include "tests/unit/helper.hpp"', "does not depend on tests/")
        self.refuses("config/a.cpp", '#include "bench/helper.hpp"', "does not depend on bench/")

    def test_refuses_names_that_are_not_from_the_root(self):
        self.refuses("config/a.cpp", '#include "a.hpp"', "named from the root")
        self.refuses("config/a.cpp", '#include "../waf/waf.hpp"', "named from the root")
        self.refuses("gateway/net/a.cpp", "#include <config/address.hpp>", 'included in ""')

    def test_refuses_folders_without_a_place(self):
        self.refuses("gateway/misc/a.cpp", "int a;", "has no place in the order")
        self.refuses("gateway/main.cpp", '#include "gateway/misc/a.hpp"', "has no place in the order")

    def test_sees_unusual_spellings(self):
        self.refuses("config/a.cpp", '  #  include   "waf/waf.hpp"', "stands to the left")
        self.refuses("config/a.cpp", '#include"waf/waf.hpp"', "stands to the left")
        self.refuses("config/a.cpp", '/* why */ #include "waf/waf.hpp"', "stands to the left")

    def test_ignores_comments(self):
        self.accepts("config/a.cpp", '// #include "waf/waf.hpp"', '/*', '#include "waf/waf.hpp"', '*/',
                     'const char* text = "/*";', '#include "config/a.hpp"')

    def test_reports_the_line(self):
        found = self.found("config/a.cpp", "/* two", "lines */", '#include "waf/waf.hpp"', '#include "acme/order.hpp"')
        self.assertEqual([f.split(": ")[0] for f in found], ["config/a.cpp:3", "config/a.cpp:4"])

    def test_exit_code_says_whether_there_are_any(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(check_layers.main(["check_layers.py", folder]), 0)
            (Path(folder) / "config").mkdir()
            (Path(folder) / "config" / "a.cpp").write_text('#include "waf/waf.hpp"\n', encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self.assertEqual(check_layers.main(["check_layers.py", folder]), 1)
            self.assertIn("config/a.cpp:1: ", printed.getvalue())


if __name__ == "__main__":
    unittest.main()
