# Programs of the tests that are neither unit tests nor part of the product.

# tests/bench: what the server alone can do, and libuv + llhttp without it.
add_executable(plain_server tests/bench/plain_server.c)
target_link_libraries(plain_server PRIVATE km_io)
add_executable(bare_responder tests/bench/bare_responder.c)
target_link_libraries(bare_responder PRIVATE PkgConfig::UV Llhttp::Llhttp)

# tests/integration/test_smtp*.py and tests/bench/mail: the mail transport by itself.
add_executable(mail_driver tests/integration/mail_driver.c)
target_link_libraries(mail_driver PRIVATE km_service PkgConfig::UV)

# tests/integration/test_mail_seal.py: what is composed is read by gpg, openssl and Python.
add_executable(mail_tool tests/integration/mail_tool.c)
target_link_libraries(mail_tool PRIVATE km_service)

# Preloaded, without sanitizers: into mariadbd slow_redo by tests/fault/storm --slow-redo and bad_disk by
# tests/integration/test_faults_database.py, into mail_driver slow_resolver by test_smtp.py.
foreach(name slow_redo bad_disk slow_resolver)
  add_library(${name} MODULE tests/fault/${name}.c)
  target_compile_options(${name} PRIVATE -fno-sanitize=all)
  target_link_options(${name} PRIVATE -fno-sanitize=all)
  target_link_libraries(${name} PRIVATE ${CMAKE_DL_LIBS})
endforeach()

# tests/fuzz: with the preset fuzz, a libFuzzer program a target; otherwise one that replays the
# target's committed corpus, which ctest does. Like the unit tests not in a build that is optimised as
# a whole, which moreover sees nothing of --wrap.
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  return()
endif()
option(KEYMETER_FUZZ "Link the fuzz targets with libFuzzer (clang)" OFF)
add_library(fuzz_wire STATIC tests/fuzz/wire.c)
target_link_libraries(fuzz_wire PUBLIC km_io)
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
add_custom_target(fuzz_all)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE fuzz_ "" target ${name})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE fuzz_wire km_api)
  add_dependencies(fuzz_all ${name})
  if(KEYMETER_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE tests/fuzz/replay.c)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${target})
    set_tests_properties(${name} PROPERTIES TIMEOUT 60)
  endif()
endforeach()
target_link_options(fuzz_api PRIVATE -Wl,--wrap=db_submit,--wrap=token_cache_find
  -Wl,--wrap=token_cache_generation,--wrap=token_cache_changed_since
  -Wl,--wrap=key_hash,--wrap=keyring_pepper_id,--wrap=meter_verify,--wrap=meter_room
  -Wl,--wrap=meter_identity)
add_executable(fuzz_seeds tests/fuzz/seeds.c)
target_include_directories(fuzz_seeds PRIVATE src tests/unit)
add_dependencies(fuzz_all fuzz_seeds)
