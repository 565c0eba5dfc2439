# Whether a library exports only what its public headers declare: run with cmake -P, NM, LIBRARY and
# HEADERS (their folder) given.

file(GLOB headers ${HEADERS}/*.h)
set(declared "")
foreach(header IN LISTS headers)
  file(READ ${header} text)
  string(APPEND declared "${text}")
endforeach()

execute_process(COMMAND ${NM} -DC --defined-only ${LIBRARY} OUTPUT_VARIABLE symbols
                COMMAND_ERROR_IS_FATAL ANY)
# Symbols may hold what CMake takes for lists.
string(REGEX REPLACE "[][;]" "_" symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
set(count 0)
foreach(symbol IN LISTS symbols)
  if(symbol STREQUAL "")
    continue()
  endif()
  math(EXPR count "${count} + 1")
  string(REGEX REPLACE "^[0-9a-f]* +[A-Za-z] (vtable for |typeinfo for |typeinfo name for )?" ""
         name "${symbol}")
  string(REGEX REPLACE "[(].*" "" name "${name}")
  if(NOT name MATCHES "^pipeserve::(internal::)?([A-Za-z]+)")
    message(SEND_ERROR "not of this project: ${symbol}")
    continue()
  endif()
  set(first ${CMAKE_MATCH_2})
  if(NOT declared MATCHES "[^A-Za-z]${first}[^A-Za-z]" OR name MATCHES "::Impl")
    message(SEND_ERROR "in no public header: ${symbol}")
  endif()
endforeach()
if(count EQUAL 0)
  message(SEND_ERROR "${LIBRARY} exports nothing")
endif()
message(STATUS "${count} symbols")
