// What a core file may hold of the process. Called by main before anything is read.
#pragma once

namespace gatehouse::runtime {

/// Keeps all memory that the process writes to (heap, stacks, shared mappings) out of core files: private keys, passwords
/// and requests are in it. What is left are the registers and where code was mapped (core(5), "Controlling which mappings
/// are written to the core dump"). Where the kernel does not offer that, there are no core files at all (prctl(2),
/// PR_SET_DUMPABLE).
void keep_memory_out_of_core_files() noexcept;

}  // namespace gatehouse::runtime
