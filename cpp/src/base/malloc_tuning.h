// How the C library's heap behaves in a process that serves.
#pragma once

namespace pipeserve {

// Keeps freed memory for the next request. By default glibc gives the end of its heap back and maps
// large blocks anew, which costs a page fault for every 4 KB of every request. For the whole
// process: called where a server or an agent starts, never where a library is loaded. Later calls
// change nothing.
void TuneMallocForServing();

}  // namespace pipeserve
