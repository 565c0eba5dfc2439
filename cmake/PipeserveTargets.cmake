# How a target of this project is built: one INTERFACE target with the flags, one function per
# kind of target.

add_library(pipeserve_flags INTERFACE)
target_compile_features(pipeserve_flags INTERFACE cxx_std_20)
# What is not declared in a public header stays inside the library: docs/decisions/0013.
set(pipeserve_visibility -fvisibility=hidden -fvisibility-inlines-hidden)
target_compile_options(pipeserve_flags INTERFACE -Wall -Wextra -Werror=return-type
                                                 ${pipeserve_visibility})
if(PIPESERVE_SANITIZE)
  target_compile_options(pipeserve_flags INTERFACE -fsanitize=${PIPESERVE_SANITIZE}
                                                   -fno-omit-frame-pointer)
  target_link_options(pipeserve_flags INTERFACE -fsanitize=${PIPESERVE_SANITIZE})
endif()

# pipeserve_unite(VARIABLE FOLDER sources...)
#
# With PIPESERVE_UNITY_BUILD, sets VARIABLE to a few files that include the sources, which are in
# FOLDER below cpp/src; else to the sources. CMake's own unity builds name the checkout in what they
# generate, and ccache would find nothing that another checkout compiled.
function(pipeserve_unite variable folder)
  if(NOT PIPESERVE_UNITY_BUILD)
    set(${variable} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  set(batch_size 6)
  set(rest ${ARGN})
  set(united "")
  while(rest)
    list(SUBLIST rest 0 ${batch_size} batch)
    list(REMOVE_ITEM rest ${batch})
    list(LENGTH united number)
    set(file ${CMAKE_CURRENT_BINARY_DIR}/unity/${folder}_${number}.cc)
    set(content "")
    foreach(source IN LISTS batch)
      string(APPEND content "#include \"${folder}/${source}\"\n")
    endforeach()
    file(CONFIGURE OUTPUT ${file} CONTENT "${content}" @ONLY)
    list(APPEND united ${file})
  endwhile()
  # Warns of anonymous namespaces in what is included, which here are sources.
  set_source_files_properties(${united} PROPERTIES COMPILE_OPTIONS -Wno-subobject-linkage)
  set(${variable} ${united} PARENT_SCOPE)
endfunction()

# pipeserve_add_layer(NAME [PUBLIC_HEADERS ...] SOURCES ... [ALONE ...] DEPENDS layers...
#                     [LIBRARIES ...])
#
# One layer of the core, an object library below cpp/src/NAME. DEPENDS lists the layers that its
# files may include, PUBLIC_HEADERS its share of cpp/include/pipeserve; tools/check_layers.py holds
# every include against them. ALONE are sources with flags of their own, or so large that they are
# never compiled together with others.
function(pipeserve_add_layer name)
  cmake_parse_arguments(ARG "" "" "PUBLIC_HEADERS;SOURCES;ALONE;DEPENDS;LIBRARIES" ${ARGN})
  if(NOT ARG_SOURCES)
    add_library(pipeserve_${name} INTERFACE)
    return()
  endif()
  pipeserve_unite(sources ${name} ${ARG_SOURCES})
  list(APPEND sources ${ARG_ALONE})
  # What is no generated file is in the layer's folder.
  list(TRANSFORM sources PREPEND src/${name}/ REGEX "^[^/].*$")
  add_library(pipeserve_${name} OBJECT ${sources})
  set_target_properties(pipeserve_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(pipeserve_${name} PUBLIC src include)
  target_link_libraries(pipeserve_${name} PUBLIC pipeserve_flags ${ARG_LIBRARIES})
  foreach(layer IN LISTS ARG_DEPENDS)
    target_link_libraries(pipeserve_${name} PUBLIC pipeserve_${layer})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY PIPESERVE_LAYERS ${name})
  list(TRANSFORM ARG_PUBLIC_HEADERS PREPEND pipeserve/)
  set_property(GLOBAL APPEND PROPERTY PIPESERVE_PUBLIC_HEADERS ${ARG_PUBLIC_HEADERS})
endfunction()

# pipeserve_add_test(LAYER [PART name] SOURCES ... [LAYERS more...])
#
# The tests of one layer, or of a part of it that needs a process of its own, as one program,
# linked with the layers below it. They have the layer's name as a label.
function(pipeserve_add_test layer)
  cmake_parse_arguments(ARG "" "PART" "SOURCES;LAYERS;LIBRARIES" ${ARGN})
  set(program pipeserve_${layer}_test)
  if(ARG_PART)
    set(program pipeserve_${layer}_${ARG_PART}_test)
  endif()
  list(TRANSFORM ARG_SOURCES PREPEND ${layer}/)
  add_executable(${program} ${ARG_SOURCES})
  target_include_directories(${program} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  # Object libraries hand on their objects only to direct users, so every layer is named.
  foreach(each IN LISTS ARG_LAYERS ITEMS ${layer})
    target_link_libraries(${program} PRIVATE pipeserve_${each})
  endforeach()
  target_compile_options(${program} PRIVATE $<$<CONFIG:Release>:-O0>)
  target_link_libraries(${program} PRIVATE ${ARG_LIBRARIES}
                        pipeserve_test_main)
  gtest_discover_tests(${program} DISCOVERY_TIMEOUT 60
                       WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
                       PROPERTIES TIMEOUT 150 LABELS ${layer})
endfunction()

# pipeserve_add_proto(NAME SOURCES a.proto... [GRPC])
#
# Generated code of proto/, as an object library that layers link. It is made for the lite runtime,
# so that it registers no descriptors: protobuf ends a program that has code of its own for the same
# messages when the second of them is registered.
function(pipeserve_add_proto name)
  cmake_parse_arguments(ARG "GRPC" "" "SOURCES" ${ARGN})
  set(out ${CMAKE_CURRENT_BINARY_DIR}/proto)
  set(generated "")
  file(MAKE_DIRECTORY ${out})
  foreach(source IN LISTS ARG_SOURCES)
    string(REGEX REPLACE "\\.proto$" "" stem ${source})
    set(outputs ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
    set(grpc_flags "")
    if(ARG_GRPC)
      list(APPEND outputs ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
      set(grpc_flags --grpc_out=${out} --plugin=protoc-gen-grpc=${PIPESERVE_GRPC_PLUGIN})
    endif()
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND protobuf::protoc --cpp_out=lite:${out} ${grpc_flags} -I ${PROJECT_SOURCE_DIR}/proto
              ${PROJECT_SOURCE_DIR}/proto/${source}
      DEPENDS ${PROJECT_SOURCE_DIR}/proto/${source}
      COMMENT "Generating ${source}"
      VERBATIM)
    list(APPEND generated ${outputs})
  endforeach()
  add_library(pipeserve_${name} OBJECT ${generated})
  set_target_properties(pipeserve_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(pipeserve_${name} SYSTEM PUBLIC ${out})
  target_compile_features(pipeserve_${name} PUBLIC cxx_std_20)
  target_compile_options(pipeserve_${name} PRIVATE ${pipeserve_visibility})
  target_link_libraries(pipeserve_${name} PUBLIC protobuf::libprotobuf)
  if(ARG_GRPC)
    target_link_libraries(pipeserve_${name} PUBLIC gRPC::grpc++)
  endif()
endfunction()
