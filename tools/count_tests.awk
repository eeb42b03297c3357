# tools/count_tests.awk: what `ctest -V` did, test by test instead of program by program.
#
# Input: the output of ctest -V, and a line "ctest exit N" if ctest itself failed. Passes on one
# line per program, and all of a program's output if it failed. Ends with the names of skipped and
# failed tests and, as the last line, "N passed, N failed, N skipped", summed over what the programs
# say of themselves in cmocka's words. A program that says nothing counts as one test; one that
# ends before it has reported all the tests it announced has failed those. Exit code 1 if anything
# failed. -v note=TEXT is printed before the names. POSIX awk; no dependence on the order in which parallel programs print.

function count_in(line) {
    sub(/^\[[^]]*\] */, "", line)
    sub(/^Running */, "", line)
    return line + 0
}

function remember(list, id, name) {
    if (!((list, id, name) in seen)) {
        seen[list, id, name] = 1
        names[list, id] = names[list, id] name "\n"
    }
}

# A line that program `id` printed.
function program_line(id, text) {
    output[id] = output[id] text "\n"
    if (text ~ /^\[==========\] Running [0-9]+ test/) announced[id] += count_in(text)
    else if (text ~ /^\[  PASSED  \] [0-9]+ test/) passed[id] += count_in(text)
    else if (text ~ /^\[  SKIPPED \] [0-9]+ test/) skipped[id] += count_in(text)
    else if (text ~ /^\[  FAILED  \] [0-9]+ test/) failed[id] += count_in(text)
    else if (text ~ /^\[       OK \] /) ok[id]++
    else if (text ~ /^\[  SKIPPED \] /) remember("skipped", id, substr(text, 14))
    else if (text ~ /^\[  (FAILED  |ERROR   )\] / && text !~ /\] ---/)
        remember("failed", id, substr(text, 14))
}

# The program has ended; `how` is ctest's word for it.
function program_end(id, name, how,    rest) {
    title[id] = name
    order[++programs] = id
    if (ok[id] > passed[id]) passed[id] = ok[id]
    rest = announced[id] - passed[id] - skipped[id] - failed[id]
    if (rest > 0) failed[id] += rest
    if (how == "Skipped" && passed[id] + failed[id] + skipped[id] == 0) {
        skipped[id] = 1
        remember("skipped", id, "(the whole program)")
    } else if (how != "Passed" && how != "Skipped" && failed[id] == 0) {
        failed[id] = 1
        remember("failed", id, "(" how ")")
    } else if (how == "Passed" && passed[id] + failed[id] + skipped[id] == 0) {
        passed[id] = 1
    }
    if (failed[id] > 0 && names["failed", id] == "") remember("failed", id, "(" how ")")
    printf "%-7s %-32s %4d passed, %d failed, %d skipped\n",
        (failed[id] > 0 ? "FAILED" : "ok"), name, passed[id], failed[id], skipped[id]
    if (failed[id] > 0) printf "%s", output[id]
    delete output[id]
}

/^[0-9]+: / {
    id = $0
    sub(/:.*/, "", id)
    text = $0
    sub(/^[0-9]+: /, "", text)
    if (text ~ /^(Test command|Working Directory|Test timeout computed|Environment variables)/) next
    program_line(id, text)
    next
}

/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    id = $0
    sub(/^[^#]*#/, "", id)
    name = id
    sub(/:.*/, "", id)
    sub(/^[0-9]+: /, "", name)
    how = name
    sub(/ .*/, "", name)
    sub(/^[^ ]+ [ .]*/, "", how)
    sub(/ +[0-9.]+ sec.*/, "", how)
    sub(/^\*\*\*/, "", how)
    sub(/ +$/, "", how)
    program_end(id, name, how)
    next
}

/^ctest exit [0-9]+$/ { broken = $3 }

function print_names(list,    i, id, n, part, k) {
    for (i = 1; i <= programs; i++) {
        id = order[i]
        n = split(names[list, id], part, "\n") - 1
        for (k = 1; k <= n; k++) print list ": " title[id] ": " part[k]
    }
}

END {
    for (i = 1; i <= programs; i++) {
        all_passed += passed[order[i]]
        all_failed += failed[order[i]]
        all_skipped += skipped[order[i]]
    }
    print ""
    if (note != "") print note
    print_names("skipped")
    print_names("failed")
    if (broken && all_failed == 0) {
        print "failed: ctest itself, exit code " broken
        all_failed = 1
    }
    printf "%d passed, %d failed, %d skipped\n", all_passed, all_failed, all_skipped
    exit all_failed > 0
}
