// Tensors as MSService spells them: the numbers of its data types, what it refuses, its codes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "pipeserve/tensor.h"

namespace pipeserve {

// kUnknown for a number that stands for no data type.
DataType DataTypeFromWire(int32_t number);
int32_t DataTypeToWire(DataType dtype);

// The code of an error in ErrorMsg: 0 success, 2 invalid inputs (which is also what a failed
// pipeline has), 1 everything else.
int64_t ErrorMsgCode(StatusCode code);

// Whether dtype, dimensions and size fit together. `byte_size` counts for numbers, `item_count` for
// text, of which a request may hold one. Errors: kInvalidArgument, in the original's words.
Status CheckTensor(DataType dtype, std::span<const int64_t> dims, size_t byte_size,
                   size_t item_count);

// What every door refuses of one input. Errors: those of CheckTensor(), naming the input.
Status CheckRequestTensor(std::string_view input, DataType dtype, std::span<const int64_t> dims,
                          size_t byte_size, size_t item_count);

// Whether a shape may be built of these: few enough, none negative, only the last one 0.
bool AreDimsValid(std::span<const int64_t> dims);

}  // namespace pipeserve
