// The kernels of one instruction set. A file that includes this, once, is compiled for that set;
// it names Eigen apart, so that no other file shares a function of it, and then the table.
#pragma once

#define EIGEN_STACK_ALLOCATION_LIMIT 262144  // Past it Eigen takes memory from the heap.
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include "executor/cpu/isa/cast.h"
#include "executor/cpu/isa/elementwise.h"
#include "executor/cpu/isa/matmul.h"
#include "executor/cpu/isa/sum.h"
#include "executor/cpu/kernel_choice.h"

#define PIPESERVE_KERNEL_TABLE(isa) \
  {isa, SelectMatMul, SelectUnary, SelectBinary, SelectSum, SelectCast}
