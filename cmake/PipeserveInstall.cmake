# What C++ developers install (component cpp): the library, its headers, the agent's program, and
# what lets CMake (pipeserve::pipeserve) and pkg-config find them. Users need none of the libraries
# that this project is built with; the tree may be moved.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/pipeserve)

set_target_properties(pipeserve_agent_program PROPERTIES EXPORT_NAME agent)
install(TARGETS pipeserve pipeserve_agent_program EXPORT pipeserve
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cpp
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cpp
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT cpp
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})  # For a CMake that knows no FILE_SET.
install(EXPORT pipeserve NAMESPACE pipeserve:: FILE pipeserveTargets.cmake
        DESTINATION ${package_dir} COMPONENT cpp)

configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/pipeserveConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/package/pipeserveConfig.cmake
  INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(
  ${CMAKE_CURRENT_BINARY_DIR}/package/pipeserveConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/package/pipeserveConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/package/pipeserveConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT cpp)

# From the folder of pipeserve.pc, so that it is right wherever the tree is.
foreach(dir LIBDIR INCLUDEDIR)
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_${dir}
             BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
             OUTPUT_VARIABLE pkgconfig_${dir})
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/pipeserve.pc.in
               ${CMAKE_CURRENT_BINARY_DIR}/package/pipeserve.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/package/pipeserve.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT cpp)

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT cpp)
