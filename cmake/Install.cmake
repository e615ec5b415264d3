# What `cmake --install` puts where: programs, units, users and folders, mail texts to start from, manual
# pages, completions. Below the prefix, so that /usr/local (the default) and /usr both work: systemd and the
# shells look in both. docs/operations.md uses it; tests/integration/test_install.py runs it.
include(GNUInstallDirs)

install(TARGETS keymeterd keymeter RUNTIME DESTINATION bin COMPONENT programs)

# The units name the programs where they are installed, which is known only then (--prefix).
foreach(unit keymeter.service keymeterd@.service keymeter-rotations.service keymeter-rotations.timer)
  install(CODE "
    file(READ \"${CMAKE_SOURCE_DIR}/systemd/${unit}\" text)
    string(REPLACE \"/usr/bin/\" \"\${CMAKE_INSTALL_PREFIX}/bin/\" text \"\${text}\")
    set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")
    message(STATUS \"Installing: \${folder}/${unit}\")
    file(WRITE \"\${folder}/${unit}\" \"\${text}\")
    file(CHMOD \"\${folder}/${unit}\" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/${unit}\")
  " COMPONENT units)
endforeach()
install(FILES systemd/sysusers.d/keymeter.conf DESTINATION lib/sysusers.d COMPONENT units)
install(FILES systemd/tmpfiles.d/keymeter.conf DESTINATION lib/tmpfiles.d COMPONENT units)

# The built-in texts, to be copied and changed (docs/mail-templates.md).
install(DIRECTORY templates/mail DESTINATION share/keymeter/templates COMPONENT templates)

install(FILES docs/man/keymeter.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT man)
install(FILES docs/man/keymeter.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT man)
install(FILES docs/man/keymeterd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT man)
install(FILES README.md LICENSE DESTINATION share/doc/keymeter COMPONENT documents)

# The client writes its own completions.
foreach(pair bash=bash-completion/completions/keymeter zsh=zsh/site-functions/_keymeter
    fish=fish/vendor_completions.d/keymeter.fish)
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 shell)
  list(GET pair 1 file)
  install(CODE "
    set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/${file}\")
    execute_process(COMMAND \"$<TARGET_FILE:keymeter>\" completion ${shell} OUTPUT_VARIABLE text
      COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: \${file}\")
    file(WRITE \"\${file}\" \"\${text}\")
    file(CHMOD \"\${file}\" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${CMAKE_INSTALL_PREFIX}/share/${file}\")
  " COMPONENT completions)
endforeach()
