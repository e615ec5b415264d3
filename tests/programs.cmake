# Programs of the tests that are neither unit tests nor part of the product.

# tests/bench: what the server alone can do, and libuv + llhttp without it.
add_executable(plain_server tests/bench/plain_server.c)
target_link_libraries(plain_server PRIVATE km_io)
add_executable(bare_responder tests/bench/bare_responder.c)
target_link_libraries(bare_responder PRIVATE PkgConfig::UV Llhttp::Llhttp)

# Preloaded into mariadbd by tests/fault/storm --slow-redo.
if(NOT KEYMETER_SANITIZE)
  add_library(slow_redo MODULE tests/fault/slow_redo.c)
  target_link_libraries(slow_redo PRIVATE ${CMAKE_DL_LIBS})
endif()
