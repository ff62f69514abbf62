#!/usr/bin/python3
"""Shows that the differential test finds faults of the screen: each of those below is planted in a copy of the sources, and
screen_compare has to find a disagreement there.

    faults.py --build FOLDER [--mutations N] [--only WORD] FILE.jsonl...

FOLDER is for the copy and its build; what is compiled there comes from the compiler cache but for what a fault touches.
Ends with 1 if a fault is not found.
"""
import argparse
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What it is, the file, what stands there, what is put there instead.
FAULTS = [
    ("a transformation is left out of the plans", "waf/screen/program.cpp",
     "        chain.push_back(lower_case(a.value));",
     "        { if (lower_case(a.value) != \"urldecodeuni\") chain.push_back(lower_case(a.value)); }"),
    ("a text with entities is taken for one that htmlEntityDecode keeps", "waf/screen/transformation.cpp",
     '{"htmlEntityDecode", ampersand}', '{"htmlEntityDecode", nul}'),
    ("lowercase does nothing", "waf/screen/transformation.cpp",
     "place[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;", "place[i] = c;"),
    ("a pair of bytes over a text's parts is not seen", "waf/screen/transformation.cpp",
     "    last = byte;\n", "    last = byte == '/' ? '0' : byte;\n"),
    ("phrases are looked for in one case", "waf/screen/patterns.cpp", 'std::string out = "(?i)";', "std::string out;"),
    ("a dot does not match a line's end", "waf/screen/patterns.cpp", "HS_FLAG_DOTALL | HS_FLAG_MULTILINE", "HS_FLAG_MULTILINE"),
    ("cookies are not looked at", "waf/screen/screen.cpp",
     "for (const Source source : {Source::args, Source::cookies, Source::headers})",
     "for (const Source source : {Source::args, Source::headers})"),
    ("the names of elements are not looked at", "waf/screen/screen.cpp",
     "         passes(plans.names, element.name, source, true, &element);",
     "         true;"),
    ("the first argument of a body is skipped", "waf/screen/screen.cpp",
     "arguments_seen_ = reading.elements(Source::args).size();", "arguments_seen_ = reading.elements(Source::args).size() + 1;"),
    ("'+' stays as it is in arguments", "waf/screen/reading.cpp", "      c = ' ';\n", "      c = '+';\n"),
    ("a rule's second injection check is lost", "waf/screen/screen.cpp", "if (found != 0 && may_match(rule))",
     "if (found != 0 && injection.is_xss && may_match(rule))"),
    ("rules that no set can hold are not tried", "waf/screen/screen.cpp",
     "    if (const Rule& rule = program_->rules_[index]; may_match(rule)) return doubt(rule.id);",
     "    if (const Rule& rule = program_->rules_[index]; may_match(rule) && rule.id == 0) return doubt(rule.id);"),
    ("a negated operator is taken for a plain one", "waf/screen/screen.cpp",
     "return answer(text.empty() || op.argument.find(text) != std::string::npos);",
     "return text.empty() || op.argument.find(text) != std::string::npos ? Answer::yes : Answer::no;"),
    ("texts between empty containers of JSON are lost", "waf/screen/reading.cpp",
     "    return add(path_ + taken_key(), text);", "    return path_.empty() ? 1 : add(path_ + taken_key(), text);"),
    ("attributes of XML are not looked at", "waf/screen/reading.cpp",
     "  for (const std::string& value : texts->attributes) add(", "  for (const std::string& value : {texts->text}) add("),
]


def run(command, folder, **options):
    environment = {**os.environ, "CCACHE_BASEDIR": folder, "CCACHE_NOHASHDIR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)


def build(folder):
    made = run(["ninja", "-C", "build/dev", "screen_compare"], folder)
    if made.returncode != 0:
        sys.exit(made.stdout[-3000:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--mutations", type=int, default=20000)
    parser.add_argument("--only", default="")
    parser.add_argument("--rules", action="append", default=[])
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.build)
    files = [os.path.abspath(name) for name in arguments.files]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, tracked):
        if not os.path.isfile(os.path.join(ROOT, name)):
            continue
        os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
        shutil.copy2(os.path.join(ROOT, name), os.path.join(folder, name))
    run(["cmake", "--preset", "dev", "-DGATEHOUSE_SCREEN=ON"], folder)
    build(folder)
    missed = []
    for what, name, old, new in FAULTS:
        if arguments.only not in what:
            continue
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.count(old) != 1:
            sys.exit(f"{name}: {old!r} stands there {text.count(old)} times; the fault '{what}' cannot be planted")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
        try:
            build(folder)
            command = ["build/dev/tests/screen/screen_compare"] + (["--rules", *arguments.rules] if arguments.rules else [])
            found = 0
            for more in ([], ["--mutations", str(arguments.mutations)]):
                result = run([*command, *more, "--", *files], folder)
                found = result.stdout.count("DISAGREE")
                if found:
                    break
            print(f"{'found' if found else 'MISSED'}  {what}: {found} disagreements", flush=True)
            missed += [] if found else [what]
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if missed:
        sys.exit(f"not found: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
