// How tests steer the simulator. Found by dlsym in any of its libraries.
#pragma once

// Carries out one command and returns its answer, which is valid until the calling thread's next
// command. An answer that begins with "error: " says what is wrong with the command.
//
//   set NAME=VALUE,...      changes settings; see settings.h
//   fail FUNCTION N [CODE]  the N-th call from now fails; FUNCTION may be *; without a code it
//                           fails as that function does when it is out of luck
//   hang FUNCTION N         the N-th call from now does not return before it is let go
//   fail-task N [CODE]      the N-th task of a stream from now fails, which the next wait sees
//   hang-task N             it hangs
//   corrupt-task FUNCTION N the N-th task of that function from now leaves a wrong result
//   let-go                  what hangs goes on, and what was to hang does not
//   violations              the broken rules so far, a line each
//   calls                   how many calls there were
//   calls FUNCTION          of that function
//   counts                  "FUNCTION COUNT" lines of all functions that were called
//   copies WAY              how many copies there were: to-device, to-host or on-device
//   tasks                   how many tasks the streams have begun
//   live                    what is not destroyed and not freed, a line each
//   reset                   forgets violations, counts, faults; settings as in the environment
//   wipe                    ends everything, as if the process had just started
//
// $PIPESERVE_ASCEND_SIM_COMMANDS holds commands, apart by ';', that are carried out when the first
// function is called, $PIPESERVE_ASCEND_SIM_DEVICE_<id> such for a process that sets the device of
// that physical id, when it does.
extern "C" const char* PipeserveSimControl(const char* command);
