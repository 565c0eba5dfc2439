// One library as a release of CANN has it: the functions of some groups that its version knows,
// each of which jumps to the one of that name in the simulator. A jump leaves the stack as it is,
// so that the simulator sees the caller.
//
// PIPESERVE_SIM_VERSION: the minor version of ACL. PIPESERVE_SIM_<GROUP>: 1 for each group that the
// library has.
#include "executor/ascend/abi.h"

// In the assembler, where the entry of the next function lies in PipeserveSimFunctions.
#define PIPESERVE_NEXT ".set pipeserve_sim_entry, pipeserve_sim_entry + 8\n"

#if defined(__x86_64__)
#define PIPESERVE_JUMP                                \
  "movq PipeserveSimFunctions@GOTPCREL(%rip), %r11\n" \
  "jmp *pipeserve_sim_entry(%r11)\n"
#elif defined(__aarch64__)
#define PIPESERVE_JUMP                                \
  "adrp x16, :got:PipeserveSimFunctions\n"            \
  "ldr x16, [x16, :got_lo12:PipeserveSimFunctions]\n" \
  "ldr x16, [x16, #pipeserve_sim_entry]\n"            \
  "br x16\n"
#else
#error "the simulator knows no jump for this processor"
#endif

// Assembled where the group and the version say so. What is defined below is left out.
// clang-format off
#define PIPESERVE_EXPORT(group, name, since)                     \
  ".if " #group " && " #since " <= pipeserve_sim_version\n"      \
  ".ifnc " #name ",aclrtGetVersion\n"                            \
  ".globl " #name "\n.type " #name ", %function\n"              \
  #name ":\n" PIPESERVE_JUMP ".size " #name ", . - " #name "\n" \
  ".endif\n.endif\n" PIPESERVE_NEXT
// clang-format on

#define PIPESERVE_RUNTIME(name, since, ...) PIPESERVE_EXPORT(pipeserve_sim_runtime, name, since)
#define PIPESERVE_MODEL(name, since, ...) PIPESERVE_EXPORT(pipeserve_sim_model, name, since)
#define PIPESERVE_META(name, since, ...) PIPESERVE_EXPORT(pipeserve_sim_meta, name, since)
#define PIPESERVE_NN(name, since, ...) PIPESERVE_EXPORT(pipeserve_sim_nn, name, since)
#define PIPESERVE_MATH(name, since, ...) PIPESERVE_EXPORT(pipeserve_sim_math, name, since)
#define PIPESERVE_COMM(name, since, ...) PIPESERVE_EXPORT(pipeserve_sim_comm, name, since)
#define PIPESERVE_COLLECTIVES(name, since, ...) \
  PIPESERVE_EXPORT(pipeserve_sim_collectives, name, since)

#define PIPESERVE_TEXT_OF(value) #value
#define PIPESERVE_TEXT(value) PIPESERVE_TEXT_OF(value)
#define PIPESERVE_SET(symbol, value) ".set " #symbol ", " PIPESERVE_TEXT(value) "\n"

// All groups are named below, in the order of the table.
// clang-format off
#define PIPESERVE_COUNT(name, ...) +1
static_assert(sizeof(pipeserve::ascend::abi::Functions) == 8 * (0
    PIPESERVE_ASCEND_RUNTIME(PIPESERVE_COUNT)
    PIPESERVE_ASCEND_MODEL(PIPESERVE_COUNT)
    PIPESERVE_ASCEND_META(PIPESERVE_COUNT)
    PIPESERVE_ASCEND_NN_OPS(PIPESERVE_COUNT)
    PIPESERVE_ASCEND_MATH_OPS(PIPESERVE_COUNT)
    PIPESERVE_ASCEND_COMM(PIPESERVE_COUNT)
    PIPESERVE_ASCEND_COLLECTIVES(PIPESERVE_COUNT)));

asm(".text\n"
    PIPESERVE_SET(pipeserve_sim_entry, 0)
    PIPESERVE_SET(pipeserve_sim_version, PIPESERVE_SIM_VERSION)
    PIPESERVE_SET(pipeserve_sim_runtime, PIPESERVE_SIM_RUNTIME)
    PIPESERVE_SET(pipeserve_sim_model, PIPESERVE_SIM_MODEL)
    PIPESERVE_SET(pipeserve_sim_meta, PIPESERVE_SIM_META)
    PIPESERVE_SET(pipeserve_sim_nn, PIPESERVE_SIM_NN)
    PIPESERVE_SET(pipeserve_sim_math, PIPESERVE_SIM_MATH)
    PIPESERVE_SET(pipeserve_sim_comm, PIPESERVE_SIM_COMM)
    PIPESERVE_SET(pipeserve_sim_collectives, PIPESERVE_SIM_COLLECTIVES)
    PIPESERVE_ASCEND_RUNTIME(PIPESERVE_RUNTIME)
    PIPESERVE_ASCEND_MODEL(PIPESERVE_MODEL)
    PIPESERVE_ASCEND_META(PIPESERVE_META)
    PIPESERVE_ASCEND_NN_OPS(PIPESERVE_NN)
    PIPESERVE_ASCEND_MATH_OPS(PIPESERVE_MATH)
    PIPESERVE_ASCEND_COMM(PIPESERVE_COMM)
    PIPESERVE_ASCEND_COLLECTIVES(PIPESERVE_COLLECTIVES));
// clang-format on

#if PIPESERVE_SIM_RUNTIME
extern "C" const pipeserve::ascend::abi::Functions PipeserveSimFunctions;

// Several versions may be loaded into one process: each answers with its own.
extern "C" __attribute__((visibility("default"))) pipeserve::ascend::abi::AclCode aclrtGetVersion(
    int32_t* major, int32_t* minor, int32_t* patch) {
  const auto code = PipeserveSimFunctions.aclrtGetVersion(major, minor, patch);
  if (code == pipeserve::ascend::abi::AclCode::kSuccess) *minor = PIPESERVE_SIM_VERSION;
  return code;
}
#endif
