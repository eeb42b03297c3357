#!/usr/bin/env python3
"""tests/tools/test_tools.py: every rule of tools/ fails on a planted violation, and only then.

A small tree that obeys all rules is written to a scratch folder; a test plants one violation and
expects the finding, in the right file. Words that a check forbids are put together from halves
here, so that the check passes on this file. Prints cmocka's lines, which ./run test counts.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools")

PUBLIC = """/* filigree/filigree.h: a public header.
 *
 * This one stands for the manual: more than
 * three fifths of its lines are
 * comment, as the check demands.
 */
#ifndef FILIGREE_H
#define FILIGREE_H
#include <stdint.h>
/* Answers.
 * Cannot fail. */
int32_t fil_answer(void);
#endif
"""

CLEAN = {
    "include/filigree/filigree.h": PUBLIC,
    "src/base/ctx.h": "/* base/ctx.h: a. */\n#include \"filigree/filigree.h\"\n",
    "src/base/ctx.c": "/* base/ctx.c: a. */\n#include <string.h>\n#include \"base/ctx.h\"\n",
    "src/base/os_posix.c": "/* base/os_posix.c: a. */\n#include <unistd.h>\n#include \"base/ctx.h\"\n",
    "src/tensor/view.h": "/* tensor/view.h: a. */\n#include \"base/ctx.h\"\n",
    "src/io/json.c": "/* io/json.c: a. */\n#include <jansson.h>\n#include \"tensor/view.h\"\n",
    "src/kernel/registry.c": "/* kernel/registry.c: a. */\n#ifdef FIL_CUDA\n#endif\n",
    "src/kernel/cuda/attn.cu": "/* attn.cu: a. */\n#include <cuda_runtime.h>\n",
    "src/engine/file_api.c": "/* engine/file_api.c: a. */\n#include \"io/json.h\"\n",
    "src/io/json.h": "/* io/json.h: a. */\n#include \"tensor/view.h\"\n",
    "cli/main.c": "/* cli/main.c: a. */\n#include <stdio.h>\n#include \"cli/verb.h\"\n"
                  "#include \"filigree/filigree.h\"\n",
    "cli/verb.h": "/* cli/verb.h: a. */\n",
    "tests/unit/test_ctx.c": "/* tests/unit/test_ctx.c: a. */\n#include \"base/ctx.h\"\n"
                             "void t(double diff, double tol, int steps, int i)\n{\n"
                             "    if (!(diff <= tol)) return;\n    if (i > steps) return;\n}\n",
    "README.md": "# A\n",
}


def write(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


class Planted(unittest.TestCase):
    """The clean tree in a scratch folder."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="filigree-tools-")
        self.addCleanup(shutil.rmtree, self.root)
        write(self.root, CLEAN)

    def run_tool(self, tool, *args):
        return subprocess.run([sys.executable, "-B", os.path.join(TOOLS, tool), *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def expect_clean(self, tool):
        run = self.run_tool(tool, self.root)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def expect(self, tool, path, text, message):
        """`text` added to the clean file at `path` (or as a new file) gives that finding there."""
        write(self.root, {path: CLEAN.get(path, "") + text})
        run = self.run_tool(tool, self.root)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        found = [line for line in run.stdout.splitlines() if message in line]
        self.assertTrue(found, "expected '%s', found:\n%s" % (message, run.stdout))
        self.assertTrue(any(line.startswith(path + ":") for line in found), run.stdout)


TESTS = """cmake_minimum_required(VERSION 3.25)
project(planted NONE)
enable_testing()
foreach(name a b c)
    add_custom_command(OUTPUT ${name}.out COMMAND touch ${name}.out)
    add_custom_target(make_${name} DEPENDS ${name}.out)
endforeach()
add_test(NAME first COMMAND ${CMAKE_CURRENT_BINARY_DIR}/a.out ${CMAKE_CURRENT_BINARY_DIR}/other)
add_test(NAME second COMMAND cat ${CMAKE_CURRENT_BINARY_DIR}/b.out)
set_tests_properties(second PROPERTIES ENVIRONMENT "PLACE=${CMAKE_CURRENT_BINARY_DIR}/c.out")
add_test(NAME third COMMAND true)
"""


class Targets(Planted):
    """What is built for chosen tests."""

    def setUp(self):
        super().setUp()
        write(self.root, {"tree/CMakeLists.txt": TESTS})
        self.build = os.path.join(self.root, "build")
        subprocess.run(["cmake", "-G", "Ninja", "-S", os.path.join(self.root, "tree"), "-B", self.build],
                       check=True, stdout=subprocess.DEVNULL)

    def targets_of(self, *options):
        run = self.run_tool("test_targets.py", self.build, *options)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout.split()

    def test_commands_and_environments_name_what_is_made(self):
        self.assertEqual(self.targets_of("-R", "first"), ["a.out"])
        self.assertEqual(self.targets_of("-E", "first"), ["b.out", "c.out"])

    def test_a_test_may_need_nothing(self):
        self.assertEqual(self.targets_of("-R", "third"), [])

    def test_no_test_is_a_failure(self):
        run = self.run_tool("test_targets.py", self.build, "-R", "fourth")
        self.assertEqual(run.returncode, 1)
        self.assertIn("no test of", run.stderr)


class Layers(Planted):
    def expect_layer(self, path, text, message):
        self.expect("check_layers.py", path, text, message)

    def test_clean_tree_passes(self):
        self.expect_clean("check_layers.py")

    def test_upward_include(self):
        self.expect_layer("src/base/ctx.c", '#include "io/json.h"\n', "upward include")

    def test_sideways_include(self):
        self.expect_layer("src/kernel/registry.c", '#include "io/json.h"\n', "sideways include")

    def test_folder_without_a_place(self):
        self.expect_layer("src/misc/x.c", '/* x.c: a. */\n#include "base/ctx.h"\n', "no place")

    def test_include_cycle(self):
        write(self.root, {"src/tensor/other.h": '/* other.h: a. */\n#include "tensor/view.h"\n'})
        write(self.root, {"src/tensor/view.h": '/* view.h: a. */\n#include "tensor/other.h"\n'})
        run = self.run_tool("check_layers.py", self.root)
        self.assertEqual(run.returncode, 1)
        self.assertIn("include cycle: src/tensor/", run.stdout)

    def test_header_that_includes_itself(self):
        self.expect_layer("src/base/ctx.h", '#include "base/ctx.h"\n', "include cycle")

    def test_relative_include(self):
        self.expect_layer("src/base/ctx.c", '#include "../io/json.h"\n', "write the path from src/")

    def test_include_by_bare_name(self):
        self.expect_layer("src/base/ctx.c", '#include "ctx.h"\n', "write the path from src/")

    def test_include_of_nothing(self):
        self.expect_layer("src/base/ctx.c", '#include "base/gone.h"\n', "no such file")

    def test_program_that_looks_inside(self):
        self.expect_layer("cli/main.c", '#include "base/ctx.h"\n', "sees include/filigree only")

    def test_model_tool_that_looks_inside(self):
        self.expect_layer("models/make.c", '/* make.c: a. */\n#include "io/json.h"\n',
                          "sees include/filigree only")

    def test_program_that_parses_by_itself(self):
        self.expect_layer("cli/main.c", "#include <jansson.h>\n", "belongs to src/io/")

    def test_public_header_that_includes_private(self):
        self.expect_layer("include/filigree/filigree.h", '#include "base/ctx.h"\n',
                          'only "filigree/..." is public')

    def test_public_header_with_a_heavy_include(self):
        self.expect_layer("include/filigree/filigree.h", "#include <stdio.h>\n", "a public header")

    def test_cuda_header_outside_its_folder(self):
        self.expect_layer("src/kernel/registry.c", "#include <cuda_runtime.h>\n", "(CUDA)")

    def test_json_library_outside_io(self):
        self.expect_layer("src/engine/file_api.c", "#include <jansson.h>\n", "(JSON)")

    def test_openmp_outside_the_pool(self):
        self.expect_layer("src/kernel/registry.c", "#include <omp.h>\n", "(OpenMP)")

    def test_system_header_outside_the_os_layer(self):
        for header in ("unistd.h", "fcntl.h", "sys/stat.h", "dirent.h"):
            self.expect_layer("src/io/json.c", "#include <%s>\n" % header, "only src/base/os_posix.c")

    def test_threads_outside_the_os_layer_and_the_backend(self):
        self.expect_layer("src/io/json.c", "#include <pthread.h>\n", "belongs to src/base/os_posix.c")

    def test_backend_ifdef_outside_the_registry(self):
        for macro in ("__CUDACC__", "FIL_CUDA", "__AVX2__", "USE_METAL", "_OPENMP", "FIL_HAVE_X"):
            self.expect_layer("src/engine/file_api.c", "#ifdef %s\n#endif\n" % macro, "#if on " + macro)

    def test_backend_condition_on_a_second_line(self):
        self.expect_layer("src/engine/file_api.c", "#if defined(A) || \\\n defined(__AVX2__)\n#endif\n",
                          "#if on __AVX2__")

    def test_machine_ifdef_outside_cpu(self):
        self.expect_layer("src/engine/file_api.c", "#ifdef __x86_64__\n#endif\n", "#if on __x86_64__")

    def test_include_in_a_comment_is_none(self):
        write(self.root, {"src/base/ctx.h": '/* ctx.h: a.\n#include "io/json.h"\n*/\n'})
        self.expect_clean("check_layers.py")


class Text(Planted):
    def expect_text(self, path, text, message):
        self.expect("check_text.py", path, text, message)

    def test_clean_tree_passes(self):
        self.expect_clean("check_text.py")

    def test_tab(self):
        self.expect_text("src/base/ctx.c", "int\ta;\n", "tab")

    def test_trailing_blank(self):
        self.expect_text("README.md", "text \n", "blanks at the end")

    def test_carriage_return(self):
        self.expect_text("README.md", "text\r\n", "U+000D does not show")

    def test_missing_last_line_feed(self):
        self.expect_text("README.md", "text", "no line feed at the end")

    def test_zero_width_space(self):
        self.expect_text("src/base/ctx.c", "/* a\u200bb */\n", "U+200B does not show")

    def test_direction_override(self):
        self.expect_text("README.md", "a\u202eb\n", "U+202E does not show")

    def test_bytes_that_are_no_utf8(self):
        with open(os.path.join(self.root, "README.md"), "wb") as f:
            f.write(b"a\xffb\n")
        self.assertIn("U+FFFD", self.run_tool("check_text.py", self.root).stdout)

    def test_long_line(self):
        self.expect_text("src/base/ctx.c", "/* %s */\n" % ("x" * 100), "line of 106 columns")

    def test_long_file(self):
        self.expect_text("src/base/ctx.c", "\n" * 900, "limit 900")

    def test_long_function(self):
        body = "void fili_a(void)\n{\n" + "    ;\n" * 99 + "}\n"
        self.expect_text("src/base/ctx.c", body, "function of 101 lines")

    def test_function_of_the_limit_passes(self):
        body = "void fili_a(void)\n{\n" + "    ;\n" * 98 + "}\n"
        write(self.root, {"src/base/ctx.c": CLEAN["src/base/ctx.c"] + body})
        self.expect_clean("check_text.py")

    def test_long_kernel_has_its_own_limit(self):
        path, body = "src/kernel/ref/attn.c", "/* attn.c: a. */\nvoid filk_a(void)\n{\n%s}\n"
        write(self.root, {path: body % ("    ;\n" * 248)})
        self.expect_clean("check_text.py")
        self.expect_text(path, body % ("    ;\n" * 249), "function of 251 lines; limit 250")

    def test_second_file_of_a_name(self):
        self.expect_text("src/tensor/json.c", "/* json.c: a. */\n", "a second file of this name")

    def test_what_stands_in_for_cuda_bears_its_names(self):
        write(self.root, {"tests/support/cuda/one.cc": "/* one.cc: a. */\n#include <cuda.h>\n",
                          "tests/support/cuda/cublasLt.h": "/* cublasLt.h: a. */\n"})
        self.expect_clean("check_text.py")
        self.expect_clean("check_layers.py")
        self.expect_text("tests/support/cuda/json.c", "/* json.c: a. */\n",
                         "a second file of this name")

    def test_file_name_in_capitals(self):
        self.expect_text("src/tensor/View.c", "/* View.c: a. */\n", "lower snake case")

    def test_no_opening_comment(self):
        self.expect_text("src/tensor/new.c", "int fili_x;\n", "does not open with a comment")

    def test_opening_comment_of_another_file(self):
        self.expect_text("src/tensor/new.c", "/* old.c: a. */\n", "does not begin with the file")

    def test_process_ends(self):
        for call in ("exit(1)", "abort()", "_exit(0)", "raise(6)"):
            self.expect_text("src/base/ctx.c", "void f(void) { %s; }\n" % call, "ends the process")

    def test_library_prints(self):
        for call in ('printf("")', 'fprintf(stderr, "")', 'puts("")', 'perror("")'):
            self.expect_text("src/io/json.c", "void f(void) { %s; }\n" % call, "prints")

    def test_library_changes_the_process(self):
        for call in ("signal(1, 0)", 'setlocale(0, "")'):
            self.expect_text("src/io/json.c", "void f(void) { %s; }\n" % call, "changes the process")
        self.expect_text("src/io/json.c", "void f(void) { omp_set_num_threads(1); }\n",
                         "changes OpenMP settings")

    def test_memory_past_the_context(self):
        self.expect_text("src/io/json.c", "void *f(void) { return malloc(1); }\n", "use fili_alloc")

    def test_memory_of_the_backend(self):
        write(self.root, {"src/kernel/cuda/x.cu": "/* kernel/cuda/x.cu: a. */\n"
                                                  "void *f(void) { return malloc(1); }\n"})
        self.expect_clean("check_text.py")

    def test_stack_without_a_bound(self):
        self.expect_text("src/io/json.c", "void f(int n) { (void)alloca(n); }\n", "without a bound")

    def test_unbounded_copy(self):
        self.expect_text("src/io/json.c", "void f(char *a) { strcpy(a, a); }\n", "has no bound")

    def test_forbidden_words_in_comments_and_strings_are_text(self):
        write(self.root, {"src/base/ctx.c": CLEAN["src/base/ctx.c"] +
                          '/* never abort() */\nstatic const char s[] = "exit(1)";\n'})
        self.expect_clean("check_text.py")

    def test_members_called_free_are_no_calls_of_libc(self):
        write(self.root, {"src/io/json.c": "/* io/json.c: a. */\nvoid f(T *t) { t->free(t); }\n"})
        self.expect_clean("check_text.py")

    def test_dead_code(self):
        self.expect_text("src/base/ctx.c", "#if " "0\n#endif\n", "dead code")

    def test_unfinished_work(self):
        self.expect_text("src/base/ctx.c", "/* TO" "DO: more */\n", "belongs in an issue")

    def test_relaxed_floating_point(self):
        self.expect_text("CMakeLists.txt", "add_compile_options(-f" "fast-math)\n", "relaxed")

    def test_comparison_that_a_nan_passes(self):
        for test in ("if (diff > tol)", "assert_false(diff >= max_tol)", "if (1e-3 * tol < diff)"):
            self.expect_text("tests/unit/test_ctx.c", "void f(void) { %s; }\n" % test, "a NaN passes")

    def test_outside_folder(self):
        self.expect_text("README.md", "see ../sha" "red/x\n", "outside the project")

    def test_path_of_a_machine(self):
        for path in ("/wo" "rk/main", "/ro" "ot/x", "/tmp/" "wt/x", "/ho" "me/me/x"):
            self.expect_text("README.md", "see %s\n" % path, "somebody's machine")


class Headers(Planted):
    def test_clean_tree_passes(self):
        self.expect_clean("check_headers.py")

    def test_header_that_does_not_stand_alone(self):
        text = PUBLIC.replace("#include <stdint.h>\n", "")
        write(self.root, {"include/filigree/filigree.h": text})
        run = self.run_tool("check_headers.py", self.root)
        self.assertEqual(run.returncode, 1)
        self.assertIn("does not stand alone under gcc c c17", run.stdout)

    def test_header_that_is_no_cpp(self):
        if not shutil.which("g++"):
            self.skipTest("no g++")
        text = PUBLIC.replace("int32_t fil_answer(void);", "int32_t fil_answer(int class);")
        write(self.root, {"include/filigree/filigree.h": text})
        run = self.run_tool("check_headers.py", self.root)
        self.assertEqual(run.returncode, 1)
        self.assertIn("does not stand alone under g++ c++ c++17", run.stdout)
        self.assertNotIn("under gcc", run.stdout)

    def test_header_without_guard(self):
        text = PUBLIC.replace("#ifndef FILIGREE_H\n", "").replace("#endif\n", "enum a { B };\n")
        write(self.root, {"include/filigree/filigree.h": text})
        self.assertIn("does not stand alone", self.run_tool("check_headers.py", self.root).stdout)

    def test_header_that_does_not_explain_itself(self):
        self.expect("check_headers.py", "include/filigree/filigree.h",
                    "void fil_a(void);\n" * 10, "of the lines carry comment")

    def test_tree_without_headers(self):
        os.remove(os.path.join(self.root, "include/filigree/filigree.h"))
        run = self.run_tool("check_headers.py", self.root)
        self.assertEqual(run.returncode, 1)


class Symbols(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="filigree-symbols-")
        self.addCleanup(shutil.rmtree, self.folder)

    def build(self, code):
        """A static and a shared library of `code`; the tool's run on them."""
        source = os.path.join(self.folder, "a.c")
        with open(source, "w") as f:
            f.write(code)
        for command in (["gcc", "-fPIC", "-fvisibility=hidden", "-c", "a.c", "-o", "a.o"],
                        ["ar", "rcs", "libfiligree_static.a", "a.o"],
                        ["gcc", "-shared", "a.o", "-o", "libfiligree.so"]):
            subprocess.run(command, cwd=self.folder, check=True)
        return subprocess.run([sys.executable, "-B", os.path.join(TOOLS, "check_symbols.py"),
                               self.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)

    SHOWN = '__attribute__((visibility("default"))) int %s(void) { return 1; }\n'
    GOOD = SHOWN % "fil_a" + "int fili_b(void) { return 1; }\nint filk_c(void) { return 2; }\n"

    def test_clean_libraries_pass(self):
        run = self.build(self.GOOD)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_unprefixed_symbol_in_the_static_library(self):
        run = self.build(self.GOOD + "int helper(void) { return 1; }\n")
        self.assertEqual(run.returncode, 1)
        self.assertIn("libfiligree_static.a: symbol 'helper'", run.stdout)
        self.assertNotIn(".so:", run.stdout)

    def test_unprefixed_variable(self):
        self.assertIn("symbol 'state'", self.build(self.GOOD + "int state = 1;\n").stdout)

    def test_internal_symbol_that_leaves_the_shared_library(self):
        run = self.build(self.GOOD + self.SHOWN % "fili_leak")
        self.assertEqual(run.returncode, 1)
        self.assertIn("libfiligree.so: symbol 'fili_leak'", run.stdout)

    def test_library_that_exports_nothing(self):
        self.assertIn("exports nothing", self.build("int fili_b(void) { return 1; }\n").stdout)

    def test_folder_without_a_library(self):
        run = subprocess.run([sys.executable, "-B", os.path.join(TOOLS, "check_symbols.py"),
                              self.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(run.returncode, 1)


class CountTests(unittest.TestCase):
    """tools/count_tests.awk, whose last line people trust."""

    def count(self, *lines):
        run = subprocess.run(["awk", "-f", os.path.join(TOOLS, "count_tests.awk")],
                             input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True)
        return run.returncode, run.stdout.splitlines()[-1], run.stdout

    END = "1/1 Test #1: prog ....................%s    0.00 sec"

    def test_tests_are_counted_not_programs(self):
        code, last, _ = self.count(
            "1: [==========] Running 3 test(s).", "2: [==========] Running 2 test(s).",
            "1: [  PASSED  ] 3 test(s).", "2: [  PASSED  ] 2 test(s).",
            "1/2 Test #1: a ....   Passed    0.00 sec", "2/2 Test #2: b ....   Passed    0.00 sec")
        self.assertEqual((code, last), (0, "5 passed, 0 failed, 0 skipped"))

    def test_skipped_tests_are_named(self):
        code, last, text = self.count(
            "1: [==========] Running 2 test(s).", "1: [  SKIPPED ] needs_it",
            "1: [  PASSED  ] 1 test(s).", "1: [  SKIPPED ] 1 test(s), listed below:",
            "1: [  SKIPPED ] needs_it", self.END % "   Passed")
        self.assertEqual((code, last), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertEqual(text.count("skipped: prog: needs_it"), 1)

    def test_a_part_that_a_passing_test_skips_counts(self):
        code, last, text = self.count(
            "1: [==========] Running 1 test(s).", "1: [  SKIPPED ] convert avx512: not of this CPU",
            "1: [  PASSED  ] 1 test(s).", self.END % "   Passed")
        self.assertEqual((code, last), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("skipped: prog: convert avx512: not of this CPU", text)

    def test_failed_tests_are_named(self):
        code, last, text = self.count(
            "1: [==========] Running 2 test(s).", "1: [  FAILED  ] bad",
            "1: [  PASSED  ] 1 test(s).", "1: [  FAILED  ] 1 test(s), listed below:",
            "1: [  FAILED  ] bad", self.END % "***Failed")
        self.assertEqual((code, last), (1, "1 passed, 1 failed, 0 skipped"))
        self.assertIn("failed: prog: bad", text)

    def test_a_crash_fails_what_was_not_reported(self):
        code, last, _ = self.count("1: [==========] Running 5 test(s).", "1: [       OK ] one",
                                   self.END % "***Exception: SegFault")
        self.assertEqual((code, last), (1, "1 passed, 4 failed, 0 skipped"))

    def test_a_program_that_leaves_early_with_success_fails(self):
        code, last, _ = self.count("1: [==========] Running 5 test(s).", "1: [       OK ] one",
                                   self.END % "   Passed")
        self.assertEqual((code, last), (1, "1 passed, 4 failed, 0 skipped"))

    def test_a_broken_setup_is_a_failure(self):
        code, last, _ = self.count(
            "1: [==========] Running 2 test(s).", "1: [  ERROR   ] a", "1: [  PASSED  ] 1 test(s).",
            "1:  1 FAILED TEST(S)", self.END % "***Failed")
        self.assertEqual((code, last), (1, "1 passed, 1 failed, 0 skipped"))

    def test_all_passed_but_the_program_failed(self):
        code, last, _ = self.count("1: [==========] Running 1 test(s).", "1: [  PASSED  ] 1 test(s).",
                                   "1: ERROR: LeakSanitizer", self.END % "***Failed")
        self.assertEqual((code, last), (1, "1 passed, 1 failed, 0 skipped"))

    def test_silent_programs_count_as_one(self):
        self.assertEqual(self.count(self.END % "   Passed")[:2], (0, "1 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.count(self.END % "***Skipped")[:2], (0, "0 passed, 0 failed, 1 skipped"))
        self.assertEqual(self.count(self.END % "***Not Run (Disabled)")[:2],
                         (0, "0 passed, 0 failed, 1 skipped"))
        for how in ("***Failed", "***Timeout", "***Not Run"):
            self.assertEqual(self.count(self.END % how)[:2], (1, "0 passed, 1 failed, 0 skipped"))

    def test_no_test_at_all(self):
        self.assertEqual(self.count("No tests were found!!!")[:2], (0, "0 passed, 0 failed, 0 skipped"))

    def test_ctest_itself_failed(self):
        self.assertEqual(self.count("ctest exit 1")[0], 1)


class CmockaLines(unittest.TestResult):
    """Says what happened in cmocka's words."""

    def startTest(self, test):
        super().startTest(test)
        print("[ RUN      ] %s" % name(test), flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        print("[       OK ] %s" % name(test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print("[  SKIPPED ] %s" % name(test))

    def report(self, test, error):
        print(self._exc_info_to_string(error, test))
        print("[  FAILED  ] %s" % name(test))

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.report(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.report(test, error)


def name(test):
    return ".".join(test.id().split(".")[-2:])


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    print("[==========] Running %d test(s)." % suite.countTestCases())
    result = suite.run(CmockaLines())
    failed = len(result.failures) + len(result.errors)
    print("[==========] %d test(s) run." % result.testsRun)
    print("[  PASSED  ] %d test(s)." % (result.testsRun - failed - len(result.skipped)))
    if result.skipped:
        print("[  SKIPPED ] %d test(s)." % len(result.skipped))
    if failed:
        print("[  FAILED  ] %d test(s)." % failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
