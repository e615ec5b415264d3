# Llhttp::Llhttp, from the first of: pkg-config's libllhttp (Debian 13), the C sources that Debian 12's
# package node-llhttp carries. LLHTTP_ROOT may point at an unpacked node-llhttp (scripts/dependencies
# unpacks one under build/llhttp, because installing the package would pull in Node.js).
find_package(PkgConfig QUIET)
pkg_check_modules(PC_LLHTTP QUIET IMPORTED_TARGET libllhttp)
if(PC_LLHTTP_FOUND)
  add_library(Llhttp::Llhttp ALIAS PkgConfig::PC_LLHTTP)
  set(Llhttp_SOURCE "pkg-config ${PC_LLHTTP_VERSION}")
else()
  find_path(LLHTTP_INCLUDE llhttp.h
    PATHS ${LLHTTP_ROOT}/usr/share/include/llhttp ${CMAKE_SOURCE_DIR}/build/llhttp/usr/share/include/llhttp
          /usr/share/include/llhttp /usr/include)
  find_path(LLHTTP_SOURCES llhttp.c
    PATHS ${LLHTTP_ROOT}/usr/share/llhttp ${CMAKE_SOURCE_DIR}/build/llhttp/usr/share/llhttp /usr/share/llhttp)
  if(LLHTTP_INCLUDE AND LLHTTP_SOURCES)
    add_library(llhttp_packaged STATIC ${LLHTTP_SOURCES}/api.c ${LLHTTP_SOURCES}/http.c ${LLHTTP_SOURCES}/llhttp.c)
    target_include_directories(llhttp_packaged SYSTEM PUBLIC ${LLHTTP_INCLUDE})
    # Loose, 8.1.0 takes a lone CR inside a header line for its end (CVE-2023-30589).
    target_compile_definitions(llhttp_packaged PRIVATE LLHTTP_STRICT_MODE=1)
    target_compile_options(llhttp_packaged PRIVATE -w)
    add_library(Llhttp::Llhttp ALIAS llhttp_packaged)
    set(Llhttp_SOURCE "${LLHTTP_SOURCES}")
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Llhttp REQUIRED_VARS Llhttp_SOURCE)
