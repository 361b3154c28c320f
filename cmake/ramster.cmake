# SPDX-License-Identifier: GPL-2.0-only
# Compiler flags, and the functions by which each folder declares its tests
# (which do nothing in a tree without BUILD_TESTING).

set(RAMSTER_WARNINGS -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wshadow)
if(RAMSTER_WERROR)
	list(APPEND RAMSTER_WARNINGS -Werror)
endif()
add_compile_options(${RAMSTER_WARNINGS})

if(RAMSTER_SANITIZE)
	set(RAMSTER_SANITIZERS -fsanitize=address,undefined -fno-sanitize-recover=all
		-fno-omit-frame-pointer)
	add_compile_options(${RAMSTER_SANITIZERS})
	add_link_options(${RAMSTER_SANITIZERS})
else()
	add_compile_options(-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
endif()

if(BUILD_TESTING)
	find_program(RAMSTER_CLANG NAMES clang-14 clang REQUIRED)
endif()

# ramster_unit_test(NAME SOURCE... [LIBS LIB...])
#
# A CUnit program over unit.h's harness, registered with ctest as unit-NAME.
function(ramster_unit_test name)
	if(NOT BUILD_TESTING)
		return()
	endif()
	cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
	add_executable(unit-${name} ${arg_UNPARSED_ARGUMENTS} ${CMAKE_SOURCE_DIR}/tests/unit/unit.c)
	target_include_directories(unit-${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit)
	target_link_libraries(unit-${name} PRIVATE core cunit ${arg_LIBS})
	add_test(NAME unit-${name} COMMAND unit-${name})
	set_tests_properties(unit-${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()

# ramster_fuzzer(NAME SOURCE... [LIBS -lfoo...])
#
# A libFuzzer program, always by clang with ASan and UBSan, registered with
# ctest as fuzz-NAME: FUZZ_SECONDS (environment, default 60) of fuzzing from
# the seeds in tests/fuzz/corpus/NAME. New inputs and crashes go to the build
# tree. SOURCE includes every .c file it needs (sources of core/ too: they
# must be instrumented).
function(ramster_fuzzer name)
	if(NOT BUILD_TESTING)
		return()
	endif()
	cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
	set(exe ${CMAKE_CURRENT_BINARY_DIR}/fuzz-${name})
	set(sources)
	foreach(source ${arg_UNPARSED_ARGUMENTS})
		get_filename_component(source ${source} ABSOLUTE)
		list(APPEND sources ${source})
	endforeach()
	file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h
		${CMAKE_SOURCE_DIR}/core/*.h ${CMAKE_SOURCE_DIR}/include/ramster/*.h)
	add_custom_command(OUTPUT ${exe}
		COMMAND ${RAMSTER_CLANG} -std=gnu11 -g -O1 ${RAMSTER_WARNINGS} -Wno-missing-prototypes
			-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
			-I${CMAKE_SOURCE_DIR}/core -I${CMAKE_SOURCE_DIR}/include
			${sources} -o ${exe} ${arg_LIBS}
		DEPENDS ${sources} ${headers}
		COMMENT "Building fuzzer ${name}"
		VERBATIM)
	add_custom_target(fuzz-${name} ALL DEPENDS ${exe})
	add_test(NAME fuzz-${name}
		COMMAND ${CMAKE_SOURCE_DIR}/tests/fuzz/run.sh ${exe}
			${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name} ${CMAKE_BINARY_DIR}/fuzz/${name})
	set_tests_properties(fuzz-${name} PROPERTIES LABELS fuzz TIMEOUT 3600)
endfunction()
