# Compiler, build types and hardening; see CMakePresets.json for the combinations in use.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

set(GATEHOUSE_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread); empty: none")
option(GATEHOUSE_FUZZ "Build the libFuzzer targets" OFF)
option(GATEHOUSE_COVERAGE "Count which lines run, for llvm-cov" OFF)
option(GATEHOUSE_LTO "Link with thin LTO" OFF)
option(GATEHOUSE_MIMALLOC "Link mimalloc in front of the C library's allocator" ON)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(gatehouse_flags INTERFACE)
target_include_directories(gatehouse_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(gatehouse_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-missing-field-initializers
  -fno-omit-frame-pointer -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero)
target_link_options(gatehouse_flags INTERFACE -fuse-ld=lld -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
target_compile_definitions(gatehouse_flags INTERFACE GATEHOUSE_VERSION="${PROJECT_VERSION}")
target_link_libraries(gatehouse_flags INTERFACE Threads::Threads)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(gatehouse_flags INTERFACE -fcf-protection=full)
endif()

if(GATEHOUSE_SANITIZE)
  target_compile_options(gatehouse_flags INTERFACE -fsanitize=${GATEHOUSE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(gatehouse_flags INTERFACE -fsanitize=${GATEHOUSE_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_definitions(gatehouse_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(GATEHOUSE_FUZZ)
  target_compile_options(gatehouse_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(GATEHOUSE_COVERAGE)
  target_compile_options(gatehouse_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(gatehouse_flags INTERFACE -fprofile-instr-generate)
endif()
if(GATEHOUSE_LTO)
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION OFF)  # CMake's own switch means full LTO for some generators; say thin ourselves
  target_compile_options(gatehouse_flags INTERFACE -flto=thin)
  target_link_options(gatehouse_flags INTERFACE -flto=thin -Wl,--thinlto-cache-dir=${CMAKE_BINARY_DIR}/lto-cache)
endif()
