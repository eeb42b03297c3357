# Compiler flags of every target: the warning set of CONTRIBUTING.md, sanitizers, and paths cut to
# the project's root so that messages and binaries do not carry the builder's folders.
# -ffp-contract=off: a product and a sum are fused only where the source says so, else results would
# depend on the compiler.

add_library(fil_flags INTERFACE)
target_compile_options(fil_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    -Wvla -Wcast-qual -Wwrite-strings -Wformat=2 -Wdouble-promotion -Wimplicit-fallthrough
    -ffp-contract=off -fno-omit-frame-pointer -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=
    $<$<BOOL:${FIL_WERROR}>:-Werror>)
target_include_directories(fil_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)

if(FIL_SANITIZE)
    # Two of clang's checks of C++ need a run time that a C program does not link; there is one C++ file.
    target_compile_options(fil_flags INTERFACE -fsanitize=${FIL_SANITIZE} -fno-sanitize-recover=all
        $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-fno-sanitize=vptr,function>)
    # Sanitizers call dlopen on a program's behalf, where only the old kind of rpath is asked.
    target_link_options(fil_flags INTERFACE -fsanitize=${FIL_SANITIZE} -Wl,--disable-new-dtags)
endif()
if(FIL_FUZZ)
    target_compile_options(fil_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
