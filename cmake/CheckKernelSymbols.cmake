# Whether the kernels of each instruction set keep to themselves: run with cmake -P, NM and OBJECTS
# (separated by commas) given.
#
# The linker keeps one copy of a function that several objects define weakly, possibly one that not
# every CPU can run. So everything visible that such an object defines has the name of its
# instruction set in it, and nothing runs before main().

string(REPLACE "," ";" objects "${OBJECTS}")
if(NOT objects)
  message(FATAL_ERROR "no objects to check")
endif()
foreach(object IN LISTS objects)
  get_filename_component(isa ${object} NAME)
  string(REGEX REPLACE "\\..*" "" isa ${isa})
  execute_process(COMMAND ${NM} -C --defined-only ${object} OUTPUT_VARIABLE symbols
                  COMMAND_ERROR_IS_FATAL ANY)
  # Symbols may hold what CMake takes for lists.
  string(REGEX REPLACE "[][;]" "_" symbols "${symbols}")
  string(REPLACE "\n" ";" symbols "${symbols}")
  set(tables 0)
  foreach(symbol IN LISTS symbols)
    string(TOLOWER "${symbol}" lower)
    if(symbol MATCHES "_GLOBAL__sub_I")
      message(SEND_ERROR "${isa} runs before main(): ${symbol}")
    elseif(symbol MATCHES "^[0-9a-f]* [A-TV-Zu] " AND NOT lower MATCHES "${isa}")
      message(SEND_ERROR "${isa} defines for all: ${symbol}")
    elseif(lower MATCHES "kernels::k${isa}kernels")
      set(tables 1)
    endif()
  endforeach()
  if(NOT tables)
    message(SEND_ERROR "${object} has no table of ${isa}")
  endif()
endforeach()
